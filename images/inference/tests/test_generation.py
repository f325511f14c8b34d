"""From an engine's chunks to a text: however they are cut, the same text, end and count of tokens."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence

import pytest

from inference.api.work import Desk
from inference.deployment import Deployment, Served
from inference.engine.echo import END, EchoEngine, EchoTokenizer
from inference.engine.protocol import Chunk, Sampling, Token, Work
from inference.generation import Ending, Order, Piece, joined, pieces
from inference.settings import Front

TEXT = "one café two 世界 stop three"


class Scripted(EchoEngine):
    """Says what it is told to, in chunks that are cut as it is told to."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        super().__init__()
        self._chunks = chunks

    async def generate(self, work: Work) -> AsyncGenerator[Chunk, None]:
        del work
        for chunk in self._chunks:
            yield chunk


def chunks(tokens: Sequence[int], cuts: Sequence[int], finish: str = "stop") -> list[Chunk]:
    parts = [tokens[start:end] for start, end in zip([0, *cuts], [*cuts, len(tokens)], strict=True)]
    made = [Chunk(tuple(Token(token) for token in part)) for part in parts]
    return [*made[:-1], Chunk(made[-1].tokens, "stop" if finish == "stop" else "length")]


def answer(made: Sequence[Chunk], ending: Ending, stop_tokens: frozenset[int] = frozenset({END})) -> Piece:
    served = Served(Scripted(made), EchoTokenizer(), ("echo",))
    order = Order(Work([65], Sampling(max_tokens=99, stop_tokens=stop_tokens)), ending)
    desk = Desk(Deployment(), Front())

    async def whole() -> Piece:
        return joined([piece async for piece in pieces(served, order, desk.metrics)])

    return asyncio.run(whole())


def cut_at_random(ending: Ending, finish: str = "stop") -> list[Piece]:
    dice = random.Random(4)  # noqa: S311 -- nothing secret
    tokens = [*TEXT.encode(), END] if finish == "stop" else list(TEXT.encode())
    ways = [sorted(dice.sample(range(1, len(tokens)), size)) for size in (0, 1, 2, 5, 9, 20, len(tokens) - 1)]
    return [answer(chunks(tokens, cuts, finish), ending) for cuts in ways]


@pytest.mark.parametrize("stop", ["stop", "é two", "世", "界 s", "café"])
@pytest.mark.parametrize("include", [False, True])
def test_a_stop_string_ends_text_and_tokens_wherever_the_chunks_end(stop: str, include: bool) -> None:
    """An engine that is ahead of its reader puts several tokens into one chunk: nobody asked for those behind."""
    before = TEXT[: TEXT.index(stop)]
    for piece in cut_at_random(Ending((stop, "never met"), include_stop=include)):
        assert piece.text == before + (stop if include else "")
        assert (piece.finish, piece.stop) == ("stop", stop)
        assert bytes(token.id for token in piece.tokens) == (before + stop).encode()


def test_the_models_own_end_is_no_stop_of_the_request() -> None:
    for piece in cut_at_random(Ending()):
        assert (piece.text, piece.finish, piece.stop) == (TEXT, "stop", None)
        assert len(piece.tokens) == len(TEXT.encode()) + 1
    named = answer(chunks([65, 66], []), Ending(), frozenset({END, 66}))
    assert (named.text, named.stop) == ("A", 66)
    for piece in cut_at_random(Ending(), "length"):
        assert (piece.text, piece.finish, piece.stop) == (TEXT, "length", None)


@pytest.mark.parametrize(("after", "expected"), [(0, "x"), (2, "x"), (3, "xabx"), (5, "xabx"), (9, "xabxabxab")])
def test_stop_strings_wait_for_the_shortest_answer(after: int, expected: str) -> None:
    """As vLLM counts: a stop string must end behind the tokens that are owed, wherever it begins."""
    tokens = list(b"xabxabxab")
    for cuts in ([], [1, 2, 3, 4, 5, 6, 7, 8], [2, 5]):
        piece = answer(chunks(tokens, cuts, "length"), Ending(("ab",), stops_after=after))
        assert piece.text == expected
