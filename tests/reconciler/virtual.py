"""An event loop whose clock jumps: an hour of waiting takes no time, and each run goes the same way."""

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
STILL = 20_000
"""Turns of the loop at one moment; a thousand are many."""


class _Selector(selectors.BaseSelector):
    """Asks for files without waiting, and lets the clock pass instead."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = 1000.0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = self._real.select(0)
        self._turns += 1
        if not found and timeout != 0:
            assert timeout is not None, "nothing will ever happen"
            self.now += max(timeout, 0.0)
            self._turns = 0
        if self._turns > STILL:
            self._turns = 0
            raise AssertionError("time stands still: something is done again and again")
        return found

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
