"""An event loop whose clock jumps, but never while a request is on its way between a client and a server in it.

A plain virtual loop jumps as soon as no socket is ready, and bytes on loopback may need a moment: a time-out of a
minute would come first. So clients say when they begin and end a request, and a server when it holds one back on
purpose.
"""

import asyncio
import selectors
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")
STUCK_SECONDS = 60.0
"""Real ones: a request that takes longer on loopback will never end."""


@dataclass
class Wire:
    """The requests that have begun and not ended, and those of them that wait for the clock."""

    sent: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)

    @property
    def busy(self) -> bool:
        return bool(self.sent - self.held)

    @contextmanager
    def sending(self, key: str) -> Iterator[None]:
        self.sent.add(key)
        try:
            yield
        finally:
            self.sent.discard(key)

    async def hold(self, key: str, seconds: float) -> None:
        self.held.add(key)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.held.discard(key)


class _Selector(selectors.BaseSelector):
    def __init__(self, wire: Wire) -> None:
        self._real = selectors.DefaultSelector()
        self._wire = wire
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = self._real.select(0)
        if found or timeout == 0:
            return found
        if self._wire.busy or timeout is None:  # None: nothing is planned, so a socket or a thread has to wake us
            found = self._real.select(STUCK_SECONDS)
            assert found, f"nothing ever happens; requests on their way: {self._wire.sent}"
            return found
        self.now += max(timeout, 0.0)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class WireLoop(asyncio.SelectorEventLoop):
    def __init__(self, wire: Wire) -> None:
        self._clock = _Selector(wire)
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run_virtually(main: Coroutine[Any, Any, T], wire: Wire) -> T:
    with asyncio.Runner(loop_factory=lambda: WireLoop(wire)) as runner:
        return runner.run(main)
