"""How many tokens an answer took: said at its end or, where a load generator wants to know, with every event."""

from collections.abc import Sequence
from typing import Any

from inference.api.openai_wire import StreamOptions
from inference.generation import Order, Piece


def usage(made: Sequence[Order], completion: int) -> dict[str, int]:
    """Tokens of each prompt once, however many choices it got, and of all answers."""
    asked = sum({order.prompt_index: len(order.work.prompt) for order in made}.values())
    return {"prompt_tokens": asked, "completion_tokens": completion, "total_tokens": asked + completion}


def counted(answers: Sequence[Piece]) -> int:
    return sum(len(answer.tokens) for answer in answers)


class Tally:
    """Counts the tokens of a stream, and says so as often as the client asked for."""

    def __init__(self, options: StreamOptions | None, made: Sequence[Order]) -> None:
        self._wanted = bool(options and options.include_usage)
        self._always = self._wanted and bool(options and options.continuous_usage_stats)
        self._made = made
        self._tokens = 0

    def count(self, piece: Piece) -> None:
        self._tokens += len(piece.tokens)

    def beside(self) -> dict[str, Any]:
        """What an event with choices says."""
        if not self._wanted:
            return {}
        return {"usage": usage(self._made, self._tokens) if self._always else None}

    def last(self) -> list[dict[str, Any]]:
        """The event behind the last choice, if there is to be one."""
        return [{"choices": [], "usage": usage(self._made, self._tokens)}] if self._wanted else []
