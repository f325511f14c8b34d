"""What a plan says, as plain data: units that change on a cluster, why, and what people will notice."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from generator.finding import Finding, Place


class Verb(StrEnum):
    """What happens to an object or a unit; the worst first."""

    REFUSED = "refused"
    """Kubernetes or KAITO will not take the edit."""
    DELETE = "delete"
    RECREATE = "recreate"
    """The old one goes before the new one serves: a gap."""
    RESTART = "restart"
    """Edited in place; the pod starts again."""
    BLUE_GREEN = "blue-green"
    """A new object beside the old one, which serves until the new one is healthy."""
    CREATE = "create"
    LIVE = "live"
    """Edited in place; nothing restarts."""


ORDER = list(Verb)


def worst(verbs: Iterable[Verb]) -> Verb:
    return min(verbs, key=ORDER.index)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of an object; a side is empty where the field is not there."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ObjectChange:
    path: str
    """The rendered file; of a unit with a base, where kustomize's object would stand."""
    kind: str
    namespace: str
    name: str
    verb: Verb
    fields: tuple[FieldChange, ...] = ()
    predecessor: str = ""
    """The name of the object that this one stands in for."""
    is_canary: bool = False
    """Whether it is of the canary, beside what serves."""
    follows: bool = False
    """Whether it only carries on a new revision: its label, the selectors that lead to it, its config's name."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a unit changes: a line of the catalog, or this release of kaitops."""

    where: Place
    text: str
    of_entry: bool = True
    """Whether the entry itself was edited, and not something that it shares with others."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a unit takes at rest; money in USD per hour, None where the price is not known."""

    sku: str = ""
    family: str = ""
    nodes: int = 0
    gpus: int = 0
    usd: float | None = 0.0
    headroom_gib: float | None = None


NOTHING = Figures()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitChange:
    cluster: str
    name: str
    kind: str
    """`Model`, `Tuning`, `RagEngine` or `platform`."""
    verb: Verb
    objects: tuple[ObjectChange, ...]
    causes: tuple[Cause, ...]
    before: Figures = NOTHING
    after: Figures = NOTHING
    canary_before: Figures = NOTHING
    canary_after: Figures = NOTHING
    endpoints_before: tuple[str, ...] = ()
    endpoints_after: tuple[str, ...] = ()

    @property
    def surge(self) -> Figures:
        """What stays up beside the new revision while that starts; a canary that is promoted runs already."""
        return self.before if self.verb is Verb.BLUE_GREEN and not self.promotes else NOTHING

    @property
    def promotes(self) -> bool:
        """Whether what was the canary serves from then on."""
        return self.verb is Verb.BLUE_GREEN and bool(self.canary_before.nodes) and not self.canary_after.nodes

    @property
    def gone_endpoints(self) -> list[str]:
        return [one for one in self.endpoints_before if one not in self.endpoints_after]

    @property
    def new_endpoints(self) -> list[str]:
        return [one for one in self.endpoints_after if one not in self.endpoints_before]

    @property
    def rolls(self) -> bool:
        """Whether what runs is replaced or restarted."""
        return self.verb in {Verb.RECREATE, Verb.RESTART, Verb.BLUE_GREEN}

    @property
    def by_surprise(self) -> bool:
        return self.rolls and not any(cause.of_entry for cause in self.causes)


@dataclass(frozen=True, slots=True)
class Amount:
    """One resource of a cluster: at rest before and after, at most while the change rolls out, and the limit."""

    what: str
    before: float | None
    after: float
    during: float
    limit: float | None


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    name: str
    units: tuple[UnitChange, ...]
    amounts: tuple[Amount, ...]

    def count(self, verb: Verb) -> int:
        return sum(unit.verb is verb for unit in self.units)


@dataclass(frozen=True, slots=True)
class Plan:
    base: str
    head: str
    clusters: tuple[ClusterPlan, ...]
    dangers: tuple[Finding, ...]
    """What a person should have meant, the worst first."""
    findings: tuple[Finding, ...]
    """What this change breaks that was not broken before."""
    notes: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not any(cluster.units for cluster in self.clusters)
