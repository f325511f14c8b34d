"""What the front asks of an engine, and nothing else: tokens in, tokens out.

Text, chat templates, stop strings and every HTTP matter belong to the front, so that each engine answers alike.
Closing the iterator of `generate` cancels the work: there is no other way to end it, so none can be forgotten.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Finish = Literal["stop", "length"]
SMALLEST_PENALTY = 1e-3
"""Of repetition: a logit divided by less may be no number."""
COLDEST = 1e-5
"""Below this temperature nothing but the likeliest token has a chance, and numbers overflow."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen; the defaults are those of plain sampling from the model's own distribution."""

    max_tokens: int
    min_tokens: int = 0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    stop_tokens: frozenset[int] = frozenset()
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    schema: str | None = None
    other: Mapping[str, object] = field(default_factory=dict)
    """Arguments that only `generate` itself understands: beams, bad words and the like."""

    @property
    def greedy(self) -> bool:
        return self.temperature < COLDEST or self.top_k == 1


@dataclass(frozen=True, slots=True)
class Work:
    """One sequence to continue."""

    prompt: Sequence[int]
    sampling: Sampling
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A chosen token; `top` holds the likeliest tokens at its place with their log probabilities, if asked for."""

    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one step added to a sequence; the chunk with `finish` is the last."""

    tokens: tuple[Token, ...] = ()
    finish: Finish | None = None
    prompt: tuple[Token, ...] = ()
    """The prompt's tokens with their log probabilities, in the first chunk, where they were asked for."""


@dataclass(frozen=True, slots=True)
class Stats:
    running: int = 0
    waiting: int = 0
    cache_usage: float = 0.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine cannot do is refused by the front, by the name of the field."""

    engine: str
    mode: str
    context: int
    unsupported: frozenset[str] = frozenset()
    adapters: tuple[str, ...] = ()


class Engine(Protocol):
    """A loaded model that continues sequences."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def failure(self) -> str | None:
        """Why the engine is dead, or None while it lives."""

    def generate(self, work: Work) -> AsyncGenerator[Chunk, None]: ...

    def stats(self) -> Stats: ...

    def prometheus(self) -> bytes | None:
        """Metrics that the engine keeps itself under the `vllm:` names; None leaves them to the front."""

    async def close(self) -> None: ...


class EngineDeadError(Exception):
    """The engine ended in the middle of the work."""
