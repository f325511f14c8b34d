"""Log probabilities in OpenAI's two forms, each token with the bytes that it adds to the text that is sent.

Whoever joins the bytes gets the text. So a token that the text does not show, such as the one that ended it, adds none;
its name says which one it was.
"""

from dataclasses import dataclass
from typing import Any

from inference.deployment import Served
from inference.engine.protocol import Token
from inference.generation import Order, Piece, continued
from inference.text.tokenizer import Tokenizer

LEAST = -9999.0


@dataclass(frozen=True, slots=True)
class Spelled:
    """A token in writing; `raw` are its bytes, where the tokenizer tells them."""

    name: str
    raw: bytes | None

    @property
    def label(self) -> str:
        """The name in the older form, where a name is all there is: parts of characters are told apart by bytes."""
        if self.raw is None or self.name.encode() == self.raw or not self.raw:
            return self.name
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in self.raw)


class Speller:
    """Spells the tokens of one text in their order, each with the likeliest ones at its place."""

    def __init__(
        self, tokenizer: Tokenizer, *, special: bool = False, hidden: frozenset[int] = frozenset(), first: bool = True
    ) -> None:
        self._tokenizer = tokenizer
        self._special = special
        self._hidden = frozenset() if special else hidden
        self._first = first

    def spell(self, token: Token) -> tuple[Spelled, list[tuple[Spelled, float]]]:
        spelled = self._one(token.id)
        top = [(self._one(other), value) for other, value in token.top]
        # The space that a decoder strips counts as well: it strips only one.
        self._first = self._first and self._tokenizer.spell(token.id, special=self._special) == b""
        return spelled, top

    def _one(self, token: int) -> Spelled:
        raw = self._tokenizer.spell(token, special=self._special, first=self._first)
        raw = b"" if token in self._hidden else raw
        return Spelled(raw.decode(errors="replace") if raw else self._tokenizer.decode([token], special=True), raw)


def answer_speller(served: Served, order: Order) -> Speller:
    """For the tokens of an answer, which continue the prompt's text."""
    return Speller(
        served.tokenizer,
        special=order.ending.special_tokens,
        hidden=order.work.sampling.stop_tokens,
        first=not continued(served.tokenizer, order),
    )


class ChatReport:
    """The form of chats: bytes beside each name."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._spellers: dict[int, Speller] = {}

    def of(self, order: Order, piece: Piece) -> dict[str, Any]:
        if order.index not in self._spellers:
            self._spellers[order.index] = answer_speller(self._served, order)
        speller = self._spellers[order.index]
        return {"content": [_entry(speller, token) for token in piece.tokens], "refusal": None}


def _entry(speller: Speller, token: Token) -> dict[str, Any]:
    spelled, top = speller.spell(token)
    likeliest = [_named(other, value) for other, value in top]
    return _named(spelled, token.logprob) | {"top_logprobs": likeliest}


def _named(token: Spelled, logprob: float | None) -> dict[str, Any]:
    return {
        "token": token.name,
        "logprob": finite(logprob or 0.0),
        "bytes": None if token.raw is None else list(token.raw),
    }


class CompletionReport:
    """The older form: lists beside each other, names as keys, and where each token begins in the text."""

    def __init__(self, served: Served, order: Order) -> None:
        self._prompt = Speller(served.tokenizer)
        self._answer = answer_speller(served, order)
        self._begun = 0
        """Characters whose first byte has been there."""

    def of(self, piece: Piece, *, silent: bool) -> dict[str, Any]:
        answer = () if silent else piece.tokens
        spelled = [self._prompt.spell(token) for token in piece.prompt]
        spelled += [self._answer.spell(token) for token in answer]
        tokens = (*piece.prompt, *answer)
        return {
            "tokens": [own.label for own, _ in spelled],
            "token_logprobs": [None if token.logprob is None else finite(token.logprob) for token in tokens],
            "top_logprobs": [_labelled(token, *named) for token, named in zip(tokens, spelled, strict=True)],
            "text_offset": [self._offset(own) for own, _ in spelled],
        }

    def _offset(self, token: Spelled) -> int:
        """The character that the token begins in, counted from the first that is reported."""
        raw = token.name.encode() if token.raw is None else token.raw
        offset = self._begun - (bool(raw) and _continues(raw[0]) and self._begun > 0)
        self._begun += sum(not _continues(byte) for byte in raw)
        return offset


def _labelled(token: Token, own: Spelled, top: list[tuple[Spelled, float]]) -> dict[str, float] | None:
    if token.logprob is None:
        return None
    return {other.label: finite(value) for other, value in top} | {own.label: finite(token.logprob)}


def _continues(byte: int) -> bool:
    """Whether the byte goes on with a character that an earlier one began."""
    return byte & 0xC0 == 0x80  # noqa: PLR2004 -- UTF-8's own bits


def finite(logprob: float) -> float:
    """JSON has no infinity; OpenAI writes this for what is next to impossible."""
    return max(logprob, LEAST)
