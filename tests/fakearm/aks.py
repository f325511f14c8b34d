"""What would AKS do? One managed cluster and its agent pools, with etags, conflicts and operations that take time.

An operation has an end in time and needs no task of its own: whoever looks, sees what would have happened until now.
"""

import itertools
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from tests.fakearm.answer import Json, RefusedError, error, in_progress, precondition_failed
from tests.fakearm.rules import check, completed, immutable_changes

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds from the acceptance of a request to its end."""

    create: float = 300.0
    update: float = 20.0
    delete: float = 120.0


@dataclass
class Operation:
    """A long-running operation, as its status URL tells."""

    name: str
    pool: str
    kind: str
    starts: float
    ends: float
    error: Json | None = None
    """How it ends, if not well."""
    over: bool = False
    preempted: bool = False

    def status(self) -> Json:
        found: Json = {"name": self.name, "status": "InProgress"}
        if self.over:
            found["status"] = "Canceled" if self.preempted else "Failed" if self.error else "Succeeded"
        return {**found, "error": self.error} if self.over and self.error else found


@dataclass
class Record:
    """A pool, and what goes on with it."""

    name: str
    properties: Json
    operation: Operation | None = None

    @property
    def etag(self) -> str:
        return str(self.properties["eTag"])

    @property
    def state(self) -> str:
        return str(self.properties["provisioningState"])


def _no_outcome(_name: str, _properties: Json) -> Json | None:
    return None


@dataclass
class FakeAks:
    """The cluster; each method answers one request, or raises a `RefusedError`."""

    clock: Clock
    times: Times = field(default_factory=Times)
    limit: int = 100
    power: str = "Running"
    state: str = "Succeeded"
    delete_preempts: bool = False
    """Whether a DELETE ends what runs on the pool; otherwise it has to wait. Not known of AKS, so both are tried."""
    outcome: Callable[[str, Json], Json | None] = _no_outcome
    """The `provisioningError` with which the creation of a pool ends."""
    records: dict[str, Record] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    created: list[str] = field(default_factory=list)
    """The name of each pool that was ever begun."""
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.settle("systempool", {"mode": "System", "vmSize": "Standard_D4s_v5", "count": 2})

    def list(self) -> list[Record]:
        self._advance()
        return [self.records[name] for name in sorted(self.records)]

    def get(self, name: str) -> Record:
        self._advance()
        if name not in self.records:
            raise RefusedError(404, "NotFound", f"Agent Pool not found: {name}")
        return self.records[name]

    def put(self, name: str, properties: Json, *, missing: bool, etag: str) -> tuple[Record, Operation]:
        """Create it, or change it; `missing` is `If-None-Match: *`, `etag` an `If-Match`."""
        self._advance()
        found = self.records.get(name)
        if found is not None and missing:
            raise precondition_failed(f"agent pool {name} exists already")
        if etag and (found is None or found.etag != etag):
            raise precondition_failed(f"the etag of agent pool {name} is another one")
        self._steady()
        self._idle(found)
        check(name, properties)
        return self._create(name, properties) if found is None else self._update(found, properties)

    def delete(self, name: str, etag: str) -> Operation | None:
        """None: there is none to delete."""
        self._advance()
        found = self.records.get(name)
        if found is None:
            return None
        if etag and found.etag != etag:
            raise precondition_failed(f"the etag of agent pool {name} is another one")
        if found.state == "Deleting":
            return found.operation
        self._steady()
        if self.delete_preempts:
            self._preempt(found)
        self._idle(found)
        if found.properties["mode"] == "System":
            raise RefusedError(400, "BadRequest", "there has to be at least one system agent pool")
        return self._begin(found, "Deleting", self.times.delete)

    def operation(self, name: str) -> Operation:
        self._advance()
        if name not in self.operations:
            raise RefusedError(404, "NotFound", f"operation {name} is not found")
        return self.operations[name]

    def settle(self, name: str, properties: Json, state: str = "Succeeded") -> Record:
        """Somebody else's doing: a pool as given, at once."""
        self.records[name] = Record(name, {**self._settled(properties), "provisioningState": state})
        return self.records[name]

    def edit(self, name: str, **properties: object) -> None:
        """Somebody else's doing: the pool changes at once."""
        self._change(self.records[name], **properties)

    def _create(self, name: str, properties: Json) -> tuple[Record, Operation]:
        if len(self.records) >= self.limit:
            raise RefusedError(400, "MaxAgentPoolCountReached", f"the cluster has {self.limit} agent pools already")
        record = Record(name, self._settled(properties))
        self.records[name] = record
        self.created.append(name)
        operation = self._begin(record, "Creating", self.times.create)
        operation.error = self.outcome(name, properties)
        return record, operation

    def _update(self, record: Record, properties: Json) -> tuple[Record, Operation]:
        if changed := immutable_changes(record.properties, properties):
            raise RefusedError(400, "PropertyChangeNotAllowed", f"changing {', '.join(changed)} is not allowed")
        kept = {key: record.properties[key] for key in ("powerState", "currentOrchestratorVersion")}
        record.properties = {**completed(properties), **kept}
        return record, self._begin(record, "Updating", self.times.update)

    def _begin(self, record: Record, state: str, seconds: float) -> Operation:
        now = self.clock()
        operation = Operation(f"operation-{next(self._numbers)}", record.name, state, now, now + seconds)
        self.operations[operation.name] = record.operation = operation
        self._change(record, provisioningState=state)
        return operation

    def _idle(self, record: Record | None) -> None:
        if record is not None and record.operation is not None:
            raise in_progress(f"agentpool operation ({record.name} - {record.state})")

    def _steady(self) -> None:
        if self.power != "Running":
            raise RefusedError(409, "OperationNotAllowed", "the managed cluster is stopped, its power state is Stopped")
        if self.state != "Succeeded":
            raise in_progress(f"managed cluster operation ({self.state})")

    def _preempt(self, record: Record) -> None:
        if record.operation is not None:
            record.operation.over = record.operation.preempted = True
            record.operation.error = error("AKSOperationPreemptedByDelete", "the operation was preempted by a delete")
            record.operation = None

    def _advance(self) -> None:
        """End what is over by now, in the order of its end."""
        due = [record for record in self.records.values() if record.operation and record.operation.ends <= self.clock()]
        for record in sorted(due, key=lambda each: each.operation.ends if each.operation else 0.0):
            self._end(record)

    def _end(self, record: Record) -> None:
        operation, record.operation = record.operation, None
        assert operation is not None
        operation.over = True
        if operation.kind == "Deleting":
            del self.records[record.name]
        elif operation.error is not None:
            self._change(record, provisioningState="Failed", status={"provisioningError": operation.error})
        else:
            self._change(record, provisioningState="Succeeded")

    def _settled(self, properties: Json) -> Json:
        return {
            **completed(deepcopy(properties)),
            "provisioningState": "Succeeded",
            "powerState": {"code": "Running"},
            "currentOrchestratorVersion": "1.34.1",
            "eTag": self._etag(),
        }

    def _change(self, record: Record, **properties: object) -> None:
        record.properties = {**record.properties, **properties, "eTag": self._etag()}

    def _etag(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._numbers):012x}"
