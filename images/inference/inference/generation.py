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


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that is certain, with the tokens that arrived with it; the piece with `finish` is the last."""

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
        self._special = special

    def write(self, chunk: Chunk) -> Piece:
        ids = [token.id for token in chunk.tokens]
        ended = ids[-1] if chunk.finish == "stop" and ids else None
        shown = ids if ended is None or self._special else ids[:-1]
        text, met = self._stops.push(self._text.push(shown, last=chunk.finish is not None))
        if met is not None:
            return Piece(text, chunk.tokens, "stop", met, chunk.prompt)
        if chunk.finish:
            text += self._stops.flush()
        return Piece(text, chunk.tokens, chunk.finish, ended, chunk.prompt)


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
