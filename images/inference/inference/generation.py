"""One sequence from its prompt to its text: tokens become text, stop strings end it, times are measured."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from inference.deployment import Served
from inference.engine.protocol import Chunk, Finish, Token, Work
from inference.metrics import Metrics
from inference.text.detokenize import Decode, Detokenizer, Spell, StopStrings, context
from inference.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Ending:
    """When a text is over, and what of its end is shown."""

    stops: tuple[str, ...] = ()
    include_stop: bool = False
    special_tokens: bool = False
    stops_after: int = 0
    """Tokens at the beginning whose text no stop string ends."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that is certain, with the tokens that arrived with it; the piece with `finish` is the last.

    `stop` is the string or the token of the request that ended the text; the model's own end is neither.
    """

    text: str
    tokens: tuple[Token, ...] = ()
    finish: Finish | None = None
    stop: str | int | None = None
    prompt: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """What a request wants of one sequence."""

    work: Work
    ending: Ending
    index: int = 0
    prompt_index: int = 0


async def pieces(served: Served, order: Order, metrics: Metrics) -> AsyncGenerator[Piece, None]:
    """Run the order; closing the iterator ends the work in the engine."""
    writer = _Writer(served, order)
    with metrics.request(len(order.work.prompt)) as clock:
        async with aclosing(served.engine.generate(order.work)) as chunks:
            async for chunk in chunks:
                clock.tokens(len(chunk.tokens))
                piece = writer.write(chunk)
                if piece.finish:
                    clock.finished(piece.finish)
                yield piece
                if piece.finish:
                    return


def continued(tokenizer: Tokenizer, order: Order) -> list[int]:
    """The end of the prompt, behind which the answer's tokens are read."""
    return context(order.work.prompt, *reading(tokenizer, special=order.ending.special_tokens))


def reading(tokenizer: Tokenizer, *, special: bool) -> tuple[Decode, Spell]:
    """The tokenizer's ways to read, with or without special tokens."""
    return partial(tokenizer.decode, special=special), partial(tokenizer.spell, special=special)


class _Writer:
    """The state of one text."""

    def __init__(self, served: Served, order: Order) -> None:
        special, tokenizer = order.ending.special_tokens, served.tokenizer
        self._text = Detokenizer(*reading(tokenizer, special=special), before=continued(tokenizer, order))
        self._stops = StopStrings(order.ending.stops, include=order.ending.include_stop)
        self._stops_after = order.ending.stops_after
        self._ends = tokenizer.end_tokens
        self._special = special
        self._made = 0

    def write(self, chunk: Chunk) -> Piece:
        """A token at a time: behind the one that completes a stop string, engines may have made more."""
        text = ""
        for place, token in enumerate(chunk.tokens, 1):
            said, met = self._take(token.id, chunk.finish if place == len(chunk.tokens) else None)
            text += said
            if met is not None:
                return Piece(text, chunk.tokens[:place], "stop", met, chunk.prompt)
        if not chunk.finish:
            return Piece(text, chunk.tokens, prompt=chunk.prompt)
        rest, met = self._stops.push(self._text.push([], last=True))
        text += rest + self._stops.flush()
        if met is not None:
            return Piece(text, chunk.tokens, "stop", met, chunk.prompt)
        return Piece(text, chunk.tokens, chunk.finish, self._end(chunk), chunk.prompt)

    def _take(self, token: int, finish: Finish | None) -> tuple[str, str | None]:
        """The text that is certain with this token, and the stop string that it completes."""
        self._made += 1
        shown = [] if finish == "stop" and not self._special else [token]
        text = self._text.push(shown, last=finish is not None)
        return self._stops.push(text, exempt=self._made <= self._stops_after)

    def _end(self, chunk: Chunk) -> int | None:
        """The token of the request that ended the text."""
        last = chunk.tokens[-1].id if chunk.finish == "stop" and chunk.tokens else None
        return None if last in self._ends else last


def joined(texts: Sequence[Piece]) -> Piece:
    """All pieces of a text as one."""
    last = texts[-1]
    return Piece(
        text="".join(piece.text for piece in texts),
        tokens=tuple(token for piece in texts for token in piece.tokens),
        finish=last.finish,
        stop=last.stop,
        prompt=tuple(token for piece in texts for token in piece.prompt),
    )
