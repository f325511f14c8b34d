"""What a decision is made from, and what it can be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from reconciler import conditions
from reconciler.conditions import Change, Condition
from reconciler.desired import Desired
from reconciler.errors import Verdict
from reconciler.node import Node
from reconciler.nodeclaim import Claim
from reconciler.nodepool import Ownership, Pool
from reconciler.offerings import Choice, Offering

MOMENT, SOON, LATER, RARELY = (timedelta(seconds=each) for each in (1, 15, 60, 300))
PATIENCE = timedelta(minutes=2)
"""What passes by itself meanwhile is not written: each write of a status wakes KAITO."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings that decisions depend on."""

    launch: timedelta
    create: timedelta
    registration: timedelta
    attempts: int
    repair: bool
    repair_after: timedelta


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that is known at one moment."""

    claim: Claim
    now: datetime
    limits: Limits
    pool: Pool | None
    """The pool of the claim's name in the last LIST, whoever's it is."""
    ownership: Ownership
    gone: bool
    """Two LISTs, one after the other, had no pool of the claim's name."""
    fresh: bool
    """The LIST was begun late enough to believe that a pool which is not in it does not exist."""
    blind: Verdict | None
    """Why no LIST comes, once some have failed."""
    ending: bool
    """Azure has accepted to delete that pool since the LIST began."""
    ended: bool
    """Azure has ever accepted to delete it, so that its end is no surprise."""
    nodes: tuple[Node, ...]
    """The Nodes of that pool, and those that the claim owns."""
    former: tuple[Node, ...]
    """Those of the pools of former claims of its name."""
    steady: bool
    """The cluster runs, and has done so for a while, and what we know is of late: its Nodes can be judged."""
    running: bool
    """The cluster takes requests for pools."""
    admitted: bool
    """There is room for one more pool, also after the claims that are older."""
    problems: tuple[str, ...]
    """What keeps the claim from any pool."""
    choice: Choice
    desired: Desired | None
    """The pool to ask for; None without a choice."""
    needs_gpu: bool
    repairable: bool
    """So few Nodes are broken that repairing them is safe."""
    drained: bool
    """This process saw the Nodes drained since the claim was deleted."""

    @property
    def own_pool(self) -> Pool | None:
        """The pool that is this claim's, beyond doubt."""
        if self.pool is None or self.ownership is not Ownership.OURS or self.pool.uid != self.claim.uid:
            return None
        return self.pool


UNREADABLE = "the node pools cannot be read: {}"


class Action:
    """What to do; at most one effect on the world."""


@dataclass(frozen=True, slots=True)
class Wait(Action):
    """Nothing now."""


@dataclass(frozen=True, slots=True)
class Ignore(Action):
    """Not ours, or over."""


@dataclass(frozen=True, slots=True)
class LookAgain(Action):
    """Ask for a newer LIST, and come back with it."""


@dataclass(frozen=True, slots=True)
class AddFinalizer(Action):
    """Before anything that costs money."""


@dataclass(frozen=True, slots=True)
class CreatePool(Action):
    desired: Desired


@dataclass(frozen=True, slots=True)
class DeletePool(Action):
    """Of this claim or of a former one of its name; `uid` is the tag's."""

    pool: Pool
    uid: str
    refused: tuple[Offering, Verdict] | None = None
    """What its failure teaches about the offering."""
    failed: tuple[str, ...] = ()
    """Write this on the claim first: when each pool of it that failed was made."""


@dataclass(frozen=True, slots=True)
class DeleteClaim(Action):
    reason: str
    message: str
    forced: bool = False
    """Its machine is broken: do not wait for its pods."""


@dataclass(frozen=True, slots=True)
class PatchNode(Action):
    node: Node
    patch: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RemoveNode(Action):
    """The machine is gone: delete the Node object and let it go."""

    node: Node


@dataclass(frozen=True, slots=True)
class Drain(Action):
    """Empty the Nodes; what remains is decided when their pods are known."""

    nodes: tuple[Node, ...]
    deadline: datetime | None
    stamp: bool
    """Write the deadline on the claim first."""


@dataclass(frozen=True, slots=True)
class DropFinalizer(Action):
    """Nothing of the claim is left."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A Kubernetes event to record."""

    kind: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    action: Action
    status: Mapping[str, Any] | None = None
    """A merge patch of the claim's status, to be written before the action."""
    patience: timedelta = timedelta()
    """For how long the status must have been due for the same reasons before it is written."""
    again: timedelta | None = None
    notice: Notice | None = None
    settled: bool = False
    """Nothing is going on: the pools need no frequent LIST for this claim."""


@dataclass
class Draft:
    """The status as the aspects change it, one after the other."""

    claim: Claim
    now: datetime
    conditions: dict[str, Condition]
    fields: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, claim: Claim, now: datetime) -> "Draft":
        return cls(claim, now, dict(claim.conditions))

    def set(self, *changes: Change, **fields: Any) -> None:
        self.conditions = conditions.apply(self.conditions, changes, self.now, self.claim.generation)
        self.fields.update(fields)

    def condition(self, kind: str) -> Condition:
        return self.conditions[kind]

    def patch(self) -> Mapping[str, Any] | None:
        """What differs from the status as it lies at the API server; None when nothing does."""
        status = self.claim.status
        found = {key: value for key, value in self.fields.items() if status.get(key) != value}
        written = {each["type"]: each for each in status.get("conditions") or ()}
        bodies = {kind: each.body() for kind, each in self.conditions.items()}
        if any(not _same(written.get(kind), body) for kind, body in bodies.items()):
            found["conditions"] = list(bodies.values())
        return found or None

    def decision(self, action: Action, **more: Any) -> Decision:
        return Decision(action, self.patch(), **more)


def _same(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> bool:
    keys = ("status", "reason", "message", "observedGeneration")
    return old is not None and all(old.get(key, "") == new[key] for key in keys)
