"""The controllers of a cluster that no registry has: KAITO's, and those of gateways, claims, secrets and pods.

They answer each event of the journal. How an object fares is on command: `let` gives it the states to go through;
without a command all goes well.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue

from tests.apiserver import Object, RefusedError
from tests.e2e import kaito
from tests.e2e.journal import Event, Journal
from tests.e2e.kube import Kube

GONE_OR_CHANGED = {404, 409, 422}
"""An object that has changed comes again as an event."""


@dataclass(slots=True)
class Progress:
    generation: int
    states: tuple[str, ...]
    done: int = 0


@dataclass(slots=True)
class Operators:
    kube: Kube
    journal: Journal
    _events: SimpleQueue[Event] = field(default_factory=SimpleQueue)
    _courses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _progress: dict[str, Progress] = field(default_factory=dict)

    def start(self) -> None:
        self.journal.followers.append(self._events)
        threading.Thread(target=self._run, daemon=True).start()

    def let(self, name: str, *states: str) -> None:
        """From now on this object goes through these states, and stays in the last; none: as it likes."""
        self._courses[name] = states
        for kind in kaito.FINALIZERS:
            body = self.journal.all(kind).get(name)
            if body:
                self._progress.pop(body["metadata"]["uid"], None)
                self._look_at(body)

    def _look_at(self, body: Object) -> None:
        """Answer an object once more that has not changed itself."""
        self._events.put(Event(0, 0, "MODIFIED", body))

    def _run(self) -> None:
        while True:
            event = self._events.get()
            if event.change == "DELETED":
                continue
            try:
                self._answer(event)
            except RefusedError as error:
                if error.status not in GONE_OR_CHANGED:
                    raise

    def _answer(self, event: Event) -> None:
        answers: dict[str, Callable[[Event], None]] = {
            **dict.fromkeys(kaito.FINALIZERS, self._kaito),
            "Deployment": self._deployment,
            "Gateway": self._gateway,
            "HTTPRoute": self._route,
            "Service": self._service,
            "ExternalSecret": self._secret,
            "PersistentVolumeClaim": self._claim,
        }
        answer = answers.get(event.kind)
        if answer:
            answer(event)

    def _kaito(self, event: Event) -> None:
        meta = event.body["metadata"]
        ours = kaito.FINALIZERS[event.kind]
        finalizers = meta.get("finalizers", [])
        if "deletionTimestamp" in meta:
            if ours in finalizers:
                self._set_finalizers(event, [name for name in finalizers if name != ours])
        elif ours not in finalizers:
            self._set_finalizers(event, [*finalizers, ours])
            self._make_children(event)
        else:
            self._bind_claims(event)
            self._advance(event)

    def _set_finalizers(self, event: Event, names: list[str]) -> None:
        version = event.body["metadata"]["resourceVersion"]
        self.kube.merge(event.body, {"metadata": {"finalizers": names, "resourceVersion": version}})

    def _make_children(self, event: Event) -> None:
        if event.kind == "Workspace":
            self.kube.api.create(kaito.child_service(event.body))
        if event.kind == "InferenceSet":
            for _ in range(event.body["spec"].get("replicas", 1)):
                self.kube.api.create(kaito.child_workspace(event.body))

    def _advance(self, event: Event) -> None:
        """Write the next state of the object's course, of its newest generation."""
        meta = event.body["metadata"]
        progress = self._progress.get(meta["uid"])
        if progress is None or progress.generation != meta["generation"]:
            states = self._courses.get(event.name) or kaito.course_of(event.kind, event.body)
            progress = self._progress[meta["uid"]] = Progress(meta["generation"], states)
        if progress.done < len(progress.states):
            state = progress.states[progress.done]
            progress.done += 1
            self._write(event, kaito.status_of(event.kind, state, event.body))

    def _write(self, event: Event, status: Object) -> None:
        if event.body.get("status") != status:
            # A merge alone would keep fields of the state before.
            cleared = dict.fromkeys(event.body.get("status", {}))
            self.kube.merge(event.body, {"status": cleared | status}, "/status")

    def _deployment(self, event: Event) -> None:
        self._write(event, kaito.deployment_status(event.body))

    def _gateway(self, event: Event) -> None:
        self._write(event, kaito.gateway_status(event.body))

    def _route(self, event: Event) -> None:
        services = self.journal.all("Service", event.namespace)
        names = [backend["name"] for rule in event.body["spec"]["rules"] for backend in rule["backendRefs"]]
        missing = [name for name in names if name not in services]
        self._write(event, kaito.route_status(event.body, missing))

    def _service(self, event: Event) -> None:
        """A route that waits for its Service is judged again."""
        for route in self.journal.all("HTTPRoute", event.namespace).values():
            self._look_at(route)

    def _secret(self, event: Event) -> None:
        self._write(event, kaito.secret_status(event.body))

    def _claim(self, event: Event) -> None:
        """Azure Files and named volumes are bound at once; other classes may wait for the first pod."""
        storage_class = event.body["spec"].get("storageClassName", "")
        if not storage_class or storage_class.startswith("azurefile"):
            self._bind(event.body)

    def _bind_claims(self, event: Event) -> None:
        text = json.dumps(event.body)
        for name, claim in self.journal.all("PersistentVolumeClaim", event.namespace).items():
            if f'"{name}"' in text:
                self._bind(claim)

    def _bind(self, claim: Object) -> None:
        if claim.get("status", {}).get("phase") != "Bound":
            self.kube.merge(claim, {"status": {"phase": "Bound"}}, "/status")
