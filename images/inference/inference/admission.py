"""How much work is let in: what exceeds the queue gets a 503 at once, so that a client can ask another replica."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from inference.errors import RequestError
from inference.settings import Limits

RETRY_SECONDS = 1


class Admission:
    """Counts the sequences between their request and their last token."""

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.running + limits.queued
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self.rejected = 0

    @property
    def inside(self) -> int:
        return self._inside

    @contextmanager
    def places(self, count: int) -> Iterator[None]:
        if self._inside + count > self._limit and self._inside:
            self.rejected += 1
            message = f"{self._inside} sequences run or wait already, at most {self._limit} are taken"
            raise RequestError(message, status=503, code="queue_full", retry_after=RETRY_SECONDS)
        self._inside += count
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= count
            if not self._inside:
                self._empty.set()

    async def empty(self) -> None:
        """Wait until nothing is inside."""
        await self._empty.wait()
