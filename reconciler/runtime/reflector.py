"""What does the API server hold of one kind, as far as we were told, and when were we last told anything?

A list, then a watch from where the list ended, for ever. Whatever goes wrong in the watch, the answer is the same: list
again, ever more slowly while it keeps going wrong. The server ends a watch by itself after `WATCH_SECONDS`; one that
has not ended a little later is dead although its connection is open, and is dropped.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Object = dict[str, Any]
Event = tuple[str, Object]
"""Its type and its object."""

LOG = logging.getLogger(__name__)
WATCH_SECONDS = 60.0
SLACK_SECONDS = 10.0
FIRST_DELAY, LONGEST_DELAY = 0.2, 15.0
SHORT_SECONDS = 1.0
HEALTHY_SECONDS = 5.0
"""A watch that lived this long was a good one: the next failure starts with a short delay again."""


class EndedEarlyError(Exception):
    """A server that opens watches only to close them would be asked without end."""


class Source(Protocol):
    """One kind of object at an API server; any failure is an exception, of whatever kind."""

    async def list(self) -> tuple[list[Object], str]:
        """Everything, and the version at which it was so."""

    def watch(self, version: str, seconds: float) -> AsyncIterator[Event]:
        """What happened after a version; ends by itself, raises on anything but a change or a bookmark."""


@dataclass
class Reflector:
    """A mirror of one kind. `items` is by name; nobody may change what it holds."""

    source: Source
    changed: Callable[[str], None]
    """Called with the name of each object that changed or went."""
    watch_seconds: float = WATCH_SECONDS
    slack_seconds: float = SLACK_SECONDS
    jitter: Callable[[], float] = random.random
    items: dict[str, Object] = field(default_factory=dict)
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    heard: float = float("-inf")
    """When the server last told anything, on the clock of the event loop."""

    async def run(self) -> None:
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._follow()
            except Exception as error:  # noqa: BLE001 -- a watch has no other answer to any failure than to begin again
                lived = asyncio.get_running_loop().time() - began
                failures = 1 if lived > HEALTHY_SECONDS else failures + 1
                LOG.info("watch begins again", extra={"cause": repr(error)})
                delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(failures - 1, 16))
                await asyncio.sleep(delay * (0.5 + self.jitter() / 2))

    async def _follow(self) -> None:
        """List once, then watch until something is wrong."""
        objects, version = await self.source.list()
        self._replace(objects)
        while True:
            version = await self._watch(version)

    async def _watch(self, version: str) -> str:
        """One watch to its orderly end; the version that the next one begins at."""
        began, after = asyncio.get_running_loop().time(), version
        async with asyncio.timeout(self.watch_seconds + self.slack_seconds):
            async for kind, body in self.source.watch(version, self.watch_seconds):
                self._hear()
                after = body["metadata"]["resourceVersion"]
                self._apply(kind, body)
        self._hear()
        if after == version and self.heard - began < min(SHORT_SECONDS, self.watch_seconds / 2):
            raise EndedEarlyError("a watch ended at once and told nothing")
        return after

    def _hear(self) -> None:
        self.heard = asyncio.get_running_loop().time()

    def _replace(self, objects: list[Object]) -> None:
        self._hear()
        old, self.items = self.items, {each["metadata"]["name"]: each for each in objects}
        for name in old.keys() | self.items.keys():
            if _version(old.get(name)) != _version(self.items.get(name)):
                self.changed(name)
        self.synced.set()

    def _apply(self, kind: str, body: Object) -> None:
        name = body["metadata"].get("name", "")
        if kind == "BOOKMARK":
            return
        if kind == "DELETED":
            self.items.pop(name, None)
        else:
            self.items[name] = body
        self.changed(name)

    def learn(self, base: str, body: Object) -> None:
        """The answer to a write of ours, unless the watch already told of something newer than its base."""
        name = body["metadata"]["name"]
        if _version(self.items.get(name)) == base:
            self.items[name] = body


def _version(body: Mapping[str, Any] | None) -> str:
    return str(body["metadata"].get("resourceVersion", "")) if body else ""
