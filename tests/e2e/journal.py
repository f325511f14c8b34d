"""What happened in the cluster, and in which order?

Every kind is watched into one list. The order is that of the resource versions, which etcd counts over all kinds, so
that events of different streams compare. A test waits for a state by a question that is asked again with each event:
nothing sleeps.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TypeVar

from tests.apiserver import Object
from tests.e2e.kube import Kube

Answer = TypeVar("Answer")
Key = tuple[str, str, str]
"""Kind, namespace, name."""


@dataclass(frozen=True, slots=True)
class Event:
    order: int
    at: float
    change: str
    """ADDED, MODIFIED or DELETED."""
    body: Object

    @property
    def kind(self) -> str:
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.body["metadata"].get("namespace", ""))


@dataclass(slots=True)
class Journal:
    kube: Kube
    followers: list[SimpleQueue[Event]] = field(default_factory=list)
    _events: list[Event] = field(default_factory=list)
    _objects: dict[Key, Object] = field(default_factory=dict)
    _news: threading.Condition = field(default_factory=threading.Condition)

    def follow(self, kinds: Iterable[str]) -> None:
        """Watch these kinds from now on."""
        for kind in kinds:
            version = self.kube.version(kind)
            threading.Thread(target=self._follow, args=(kind, version), daemon=True).start()

    def _follow(self, kind: str, version: str) -> None:
        for event in self.kube.watch(kind, version):
            if event["type"] in {"ADDED", "MODIFIED", "DELETED"}:
                self._record(event["type"], event["object"])

    def _record(self, change: str, body: Object) -> None:
        event = Event(int(body["metadata"]["resourceVersion"]), time.monotonic(), change, body)
        key = (event.kind, event.namespace, event.name)
        with self._news:
            self._events.append(event)
            if change == "DELETED":
                self._objects.pop(key, None)
            else:
                self._objects[key] = body
            for follower in self.followers:
                follower.put(event)
            self._news.notify_all()

    def until(self, question: Callable[[], Answer], what: str, seconds: float = 120) -> Answer:
        """The first answer that is true; asked again with each event."""
        deadline = time.monotonic() + seconds
        with self._news:
            while not (answer := question()):
                if not self._news.wait(max(0, deadline - time.monotonic())):
                    raise AssertionError(f"after {seconds:.0f} s still not: {what}")
        return answer

    def mark(self) -> int:
        """How far the journal has come; `since` tells what came after."""
        with self._news:
            return len(self._events)

    def since(self, mark: int = 0) -> list[Event]:
        with self._news:
            return sorted(self._events[mark:], key=lambda event: event.order)

    def has(self, version: str) -> bool:
        with self._news:
            return any(event.order == int(version) for event in reversed(self._events))

    def now(self, kind: str, namespace: str = "", name: str = "") -> Object:
        """One object as it is now; nothing when it is not there."""
        with self._news:
            return self._objects.get((kind, namespace, name), {})

    def all(self, kind: str, namespace: str = "") -> dict[str, Object]:
        """The objects of a kind as they are now, by name."""
        with self._news:
            return {
                name: body
                for (its_kind, its_namespace, name), body in self._objects.items()
                if its_kind == kind and namespace in {"", its_namespace}
            }
