"""What the next step does: who joins, how much of a prompt is read, who leaves.

A step reads prompts of newcomers, a bounded number of tokens, and then adds one token to every sequence that is past
its prompt: so a long prompt delays the others by a bounded time. Whoever came first is served first.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from inference.engine.protocol import Chunk, Finish, Stats, Token, Work
from inference.engine.transformers.forward import Rows
from inference.engine.transformers.sampler import Sampler, describe
from inference.errors import RequestError

log = logging.getLogger(__name__)
PROMPT_TOKENS = 512
"""Tokens of prompts that one step reads at most."""
REPORTED_TOKENS = 64
"""The same where the logits of every token are kept: a large vocabulary makes each of them a megabyte."""


@dataclass(slots=True, eq=False)
class Running:
    """One sequence from its arrival to its last token."""

    work: Work
    sampler: Sampler
    owner: Any
    adapter: str | None = None
    length: int = 0
    """Tokens whose keys and values are in the cache."""
    made: int = 0
    last: int = 0
    cancelled: bool = False
    prompt_report: list[Token] = field(default_factory=list)

    @property
    def need(self) -> int:
        return len(self.work.prompt) + self.work.sampling.max_tokens

    @property
    def reading(self) -> bool:
        return self.length < len(self.work.prompt)


Step = list[tuple[Running, Chunk | RequestError]]


class Scheduler:
    """The waiting and the running; `step` moves every running sequence on."""

    def __init__(self, rows: Rows, running: int) -> None:
        self._rows = rows
        self._limit = running
        self._waiting: deque[Running] = deque()
        self._running: list[Running] = []

    def add(self, sequence: Running) -> None:
        self._waiting.append(sequence)

    def sequences(self) -> list[Running]:
        return [*self._running, *self._waiting]

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._running

    def stats(self) -> Stats:
        return Stats(len(self._running), len(self._waiting), min(1.0, self._rows.usage(self._needs())))

    def step(self) -> Step:
        """Let the cancelled go, read prompts, add a token to everybody else."""
        self._leave()
        done = self._read()
        self._leave()
        done += self._advance()
        self._leave()
        return done

    def _needs(self) -> list[int]:
        return [sequence.need for sequence in self._running]

    def _leave(self) -> None:
        """Remove whoever was cancelled or has finished, from the last row down: the last row fills each gap."""
        self._waiting = deque(sequence for sequence in self._waiting if not sequence.cancelled)
        for row in reversed(range(len(self._running))):
            if self._running[row].cancelled:
                last = self._running[-1]
                self._rows.drop(row, len(self._running) - 1, last.length)
                self._running[row] = last
                self._running.pop()

    def _read(self) -> Step:
        partial = next((sequence for sequence in self._running if sequence.reading), None)
        if partial is not None:
            return self._read_part(self._running.index(partial), partial)
        group = self._admit()
        if not group:
            return []
        first = len(self._running)
        self._running += group
        self._rows.reserve(self._needs())
        if len(group) == 1:
            return self._read_part(first, group[0])
        prompts = [sequence.work.prompt for sequence in group]
        logits = self._rows.read(first, prompts, 0, [sequence.adapter for sequence in group])
        for sequence in group:
            sequence.length = len(sequence.work.prompt)
        return self._choose(group, logits)

    def _admit(self) -> list[Running]:
        """The newcomers whose prompts fit into one pass; one that is too long, or wants reports, comes alone."""
        group: list[Running] = []
        while self._waiting and len(self._running) + len(group) < self._limit:
            candidate = self._waiting[0]
            together = [*group, candidate]
            longest = max(len(sequence.work.prompt) for sequence in together)
            alone = candidate.work.sampling.prompt_logprobs is not None
            if group and (alone or longest * len(together) > PROMPT_TOKENS):
                break
            if not self._rows.fits([*self._needs(), *(sequence.need for sequence in together)]):
                break
            group.append(self._waiting.popleft())
            if alone:
                break
        return group

    def _read_part(self, row: int, sequence: Running) -> Step:
        start, wanted = sequence.length, sequence.work.sampling.prompt_logprobs
        limit = PROMPT_TOKENS if wanted is None else REPORTED_TOKENS
        part = sequence.work.prompt[start : start + limit] if self._rows.in_parts else sequence.work.prompt
        logits = self._rows.read(row, [part], start, [sequence.adapter], every=wanted is not None)
        sequence.length += len(part)
        if wanted is not None:
            self._report_prompt(sequence, start, logits, wanted)
            logits = logits[-1:]
        return [] if sequence.reading else self._choose([sequence], logits)

    def _report_prompt(self, sequence: Running, start: int, logits: Tensor, count: int) -> None:
        """The log probability of each prompt token under what is before it; the first has none."""
        prompt, report = sequence.work.prompt, sequence.prompt_report
        if start == 0:
            report.append(Token(prompt[0]))
        places = zip(prompt[start + 1 : start + 1 + len(logits)], logits, strict=False)
        report += [describe(token, at, count) for token, at in places]

    def _advance(self) -> Step:
        """One token more for every row.

        A row whose prompt is still being read is left out where it is the last one. Elsewhere it takes part with a
        token that nobody looks at: what that writes is overwritten by the next part of the prompt.
        """
        rows = self._running[:-1] if self._running and self._running[-1].reading else self._running
        if all(sequence.reading for sequence in rows):
            return []
        adapters = [sequence.adapter for sequence in rows]
        logits = self._rows.advance([row.last for row in rows], [row.length for row in rows], adapters)
        ready = [place for place, sequence in enumerate(rows) if not sequence.reading]
        chosen = [rows[place] for place in ready]
        for sequence in chosen:
            sequence.length += 1
        return self._choose(chosen, logits if len(ready) == len(rows) else logits[ready])

    def _choose(self, sequences: Sequence[Running], logits: Tensor) -> Step:
        if all(sequence.sampler.plain for sequence in sequences):
            tokens = [Token(token) for token in logits.argmax(-1).tolist()]
            for sequence, token in zip(sequences, tokens, strict=True):
                sequence.sampler.accept(token.id)
            return [(sequence, _chunk(sequence, token)) for sequence, token in zip(sequences, tokens, strict=True)]
        return [
            (sequence, _chosen(sequence, row)) for sequence, row in zip(sequences, torch.unbind(logits), strict=True)
        ]


def _chosen(sequence: Running, logits: Tensor) -> Chunk | RequestError:
    """The next token; a sequence that has none leaves alone, the others go on."""
    try:
        return _chunk(sequence, sequence.sampler.choose(logits))
    except torch.AcceleratorError:
        raise  # of a lost device every sequence would suffer
    except Exception as error:
        sequence.cancelled = True
        if isinstance(error, RequestError):
            return error
        log.exception("a sequence has no next token")
        return RequestError("the next token could not be chosen", status=500, code="internal_error")


def _chunk(sequence: Running, token: Token) -> Chunk:
    """Take the token into the sequence, and say whether it was the last one."""
    sampling = sequence.work.sampling
    sequence.made += 1
    sequence.last = token.id
    finish: Finish | None = None
    if token.id in sampling.stop_tokens and sequence.made > sampling.min_tokens:
        finish = "stop"
    elif sequence.made >= sampling.max_tokens:
        finish = "length"
    sequence.cancelled = finish is not None
    prompt, sequence.prompt_report = tuple(sequence.prompt_report), []
    return Chunk((token,), finish, prompt)
