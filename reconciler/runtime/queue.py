"""Which key is worked on next? Never one key twice at once, never one forgotten, failures ever more slowly.

The semantics of client-go's work queue, with two differences. An event does not bring a key forward that waits after a
failure, or a busy API would be asked as fast as its events come. And no key comes more often than every `PACE` seconds
for long: where another program writes what we write, each would answer the other's write at once and without end.
"""

import asyncio
import heapq
import itertools
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field

LOG = logging.getLogger(__name__)
FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0
PACE, BURST = 3.0, 30
"""Turns of one key: so many at once, then one in so many seconds. A Node that joins causes a dozen."""
TICK = 0.001
"""No wait is shorter: the event loop calls a timer a moment early, and a key not yet due would be asked for again."""


@dataclass
class Queue:
    """Keys, each due at a time on the event loop's clock."""

    jitter: Callable[[], float] = random.random
    _due: dict[str, float] = field(default_factory=dict)
    """When each waiting key is due; the heap may hold older entries of it."""
    _heap: list[tuple[float, int, str]] = field(default_factory=list)
    """With a number, so that of keys that are due at once the first added is the first."""
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _working: set[str] = field(default_factory=set)
    _again: dict[str, float] = field(default_factory=dict)
    """Keys that were added while they were worked on."""
    _failures: dict[str, int] = field(default_factory=dict)
    _held: set[str] = field(default_factory=set)
    """Keys that wait after a failure."""
    _spent: dict[str, float] = field(default_factory=dict)
    """Until when each key's past turns last at the pace."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, key: str, delay: float = 0.0) -> None:
        """The key is due after the delay, or earlier where it already was."""
        due = asyncio.get_running_loop().time() + delay
        if key in self._working:
            self._again[key] = min(due, self._again.get(key, due))
        elif key not in self._held:
            self._schedule(key, due)

    def _schedule(self, key: str, wanted: float) -> None:
        due = max(wanted, self._spent.get(key, wanted) - PACE * BURST)
        if due >= self._due.get(key, float("inf")):
            return
        if due > wanted:
            LOG.warning("a claim changes again and again, and is slowed down", extra={"claim": key})
        self._due[key] = due
        heapq.heappush(self._heap, (due, next(self._numbers), key))
        self._changed.set()

    async def take(self) -> str:
        """The key that is due longest; the caller must end with `done` or `failed`."""
        while (key := self._pop()) is None:
            self._changed.clear()
            try:
                # Not `wait_for`, which may swallow a cancellation that comes together with the event.
                async with asyncio.timeout(self._patience()):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return key

    def _pop(self) -> str | None:
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self._held.discard(key)
                self._working.add(key)
                self._spend(key, now)
                return key
        return None

    def _spend(self, key: str, now: float) -> None:
        """One turn; who has none to pay for is forgotten, so that names which are no more take no room."""
        self._spent = {each: until for each, until in self._spent.items() if until > now}
        self._spent[key] = max(now, self._spent.get(key, now)) + PACE

    def _patience(self) -> float | None:
        """Until the next key is due; None: until one is added."""
        return max(TICK, self._heap[0][0] - asyncio.get_running_loop().time()) if self._heap else None

    def done(self, key: str, again: float | None = None) -> None:
        """It went well; `again` is when to look at it even if nothing happens."""
        self._failures.pop(key, None)
        self._finish(key)
        if again is not None:
            self.add(key, again)

    def failed(self, key: str, at_least: float = 0.0) -> float:
        """It did not; the key comes back after a delay that doubles each time. The delay."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        delay: float = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(count - 1, 16)) * (0.5 + self.jitter() / 2)
        delay = max(delay, at_least)
        self._again.pop(key, None)
        self._finish(key)
        self.add(key, delay)
        self._held.add(key)
        return delay

    def _finish(self, key: str) -> None:
        self._working.discard(key)
        if key in self._again:
            self._schedule(key, self._again.pop(key))

    @property
    def depth(self) -> int:
        """Keys that are due or worked on."""
        now = asyncio.get_running_loop().time()
        return len(self._working) + sum(due <= now for due in self._due.values())

    @property
    def oldest(self) -> float:
        """For how long the first of them has waited for its turn."""
        return max(0.0, asyncio.get_running_loop().time() - min(self._due.values(), default=float("inf")))
