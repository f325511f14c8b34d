"""Answers that must fit a JSON schema: llguidance says at each place which tokens may follow."""

from typing import Any

import torch
from torch import Tensor

from inference.errors import RequestError


class Grammars:
    """Compiles schemas for one tokenizer; the tokenizer's own tables are built with the first schema."""

    def __init__(self, tokenizer: Any, ends: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._ends = ends
        self._tables: Any = None

    def compile(self, schema: str) -> "Grammar":
        import llguidance
        import llguidance.hf

        if not self._ends:
            raise RequestError("the model has no token that could end an answer of this form", "response_format")
        try:
            if self._tables is None:
                self._tables = llguidance.hf.from_tokenizer(self._tokenizer, eos_token=min(self._ends))
            grammar = llguidance.LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_flexible": False})
            matcher = llguidance.LLMatcher(self._tables, grammar)
        except Exception as error:
            reason = _first_line(str(error))
            raise RequestError(f"no grammar can be made for this model: {reason}", "response_format") from error
        if matcher.is_error():
            raise RequestError(
                f"the JSON schema cannot be followed: {_first_line(matcher.get_error())}", "response_format"
            )
        return Grammar(matcher, self._ends)


class Grammar:
    """How far one answer has come."""

    def __init__(self, matcher: Any, ends: frozenset[int]) -> None:
        self._matcher = matcher
        self._ends = ends

    @property
    def over(self) -> bool:
        """Whether the answer is complete, so that only its end can follow."""
        return bool(self._matcher.is_stopped())

    def accept(self, token: int) -> None:
        if token not in self._ends:
            self._matcher.consume_token(token)

    def mask(self, logits: Tensor) -> Tensor:
        """Rule out every token that cannot follow."""
        if self.over:
            allowed = torch.zeros(logits.shape[-1], dtype=torch.bool)
            allowed[list(self._ends)] = True
        else:
            allowed = _bits(self._matcher.compute_bitmask(), logits.shape[-1])
        return logits.masked_fill(~allowed.to(logits.device), float("-inf"))


def _bits(mask: bytes, size: int) -> Tensor:
    """A bit for each token, lowest first; tokens beyond the tokenizer's own are never allowed."""
    words = torch.frombuffer(bytearray(mask), dtype=torch.uint8)
    bits = (words[:, None] >> torch.arange(8, dtype=torch.uint8)) & 1
    flat = bits.flatten().bool()[:size]
    return torch.cat([flat, torch.zeros(size - flat.shape[0], dtype=torch.bool)])


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "unknown reason"
