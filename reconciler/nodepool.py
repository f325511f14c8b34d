"""What does AKS have under a claim's name, and whose is it?

A pool has the name of its claim, and that proves nothing: names come again. What proves it is the claim's UID, in a tag
and in a node label. The tags alone are what people and policies overwrite, so a pool that has lost some of them is
neither ours to delete nor a reason to let its claim go: it is disputed, until a person says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from reconciler import names
from reconciler.duration import parse_time
from reconciler.errors import Trouble


class Ownership(StrEnum):
    OURS = "ours"
    """All our tags are there and agree with each other: of some claim of this cluster."""
    DISPUTED = "disputed"
    """Something says that it is ours, something else does not."""
    LEGACY = "legacy"
    """gpu-provisioner made it, and nobody adopted it yet."""
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Pool:
    """An agent pool as the last LIST told."""

    name: str
    state: str
    etag: str = ""
    size: str = ""
    mode: str = "User"
    power: str = "Running"
    spot: bool = False
    zones: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    error: Trouble | None = None

    @property
    def uid(self) -> str:
        """The UID of the claim that it was made for."""
        return self.tags.get(names.TAG_UID, "")

    @property
    def created(self) -> datetime | None:
        try:
            return parse_time(self.tags[names.TAG_CREATED])
        except (KeyError, ValueError):
            return None

    @property
    def settled(self) -> bool:
        """Whether nothing is going on with it."""
        return self.state in ("Succeeded", "Failed", "Canceled")

    @property
    def deleting(self) -> bool:
        return self.state == "Deleting"

    @property
    def failed(self) -> bool:
        return self.state in ("Failed", "Canceled")

    @property
    def stopped(self) -> bool:
        return self.power == "Stopped"


def ownership(pool: Pool, cluster: str) -> Ownership:
    """Whose pool it is, for the reconciler of a cluster."""
    if pool.mode == "System":
        return Ownership.FOREIGN
    if _complete(pool, cluster) and _confirmed(pool):
        return Ownership.OURS
    if _elsewhere(pool, cluster):
        return Ownership.FOREIGN
    if names.UID_LABEL in pool.labels or any(tag in pool.tags for tag in names.OUR_TAGS):
        return Ownership.DISPUTED
    return Ownership.LEGACY if is_legacy(pool) else Ownership.FOREIGN


def _complete(pool: Pool, cluster: str) -> bool:
    """All tags there, and each says what only we would say."""
    tags = pool.tags
    wanted = {names.TAG_MANAGED_BY: names.MANAGED_BY, names.TAG_CLUSTER: cluster, names.TAG_CLAIM: pool.name}
    return all(tags.get(tag) == value for tag, value in wanted.items()) and bool(pool.uid) and pool.created is not None


def _confirmed(pool: Pool) -> bool:
    """The second mark: the label that was set when the pool was made, or that it was taken over."""
    if names.UID_LABEL in pool.labels:
        return pool.labels[names.UID_LABEL] == pool.uid
    return pool.tags.get(names.TAG_ADOPTED) == names.GPU_PROVISIONER and is_legacy(pool)


def _elsewhere(pool: Pool, cluster: str) -> bool:
    """The reconciler of another Kubernetes cluster made it: one of the two is misconfigured."""
    return pool.tags.get(names.TAG_CLUSTER, cluster) != cluster


def is_legacy(pool: Pool) -> bool:
    """By what gpu-provisioner itself goes by."""
    return names.NODEPOOL_LABEL in pool.labels and any(label in pool.labels for label in names.KAITO_LABELS)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every agent pool of the cluster, and when the question was asked."""

    started: float
    """On the clock of the event loop: what happened before it is in, or was undone."""
    pools: Mapping[str, Pool]


NEVER = Snapshot(float("-inf"), {})


@dataclass(frozen=True, slots=True)
class Cluster:
    """What AKS says of the cluster itself."""

    power: str
    state: str

    @property
    def steady(self) -> bool:
        """Whether its nodes can be judged: no stop, start or upgrade is under way or done."""
        return self.power == "Running" and self.state in ("Succeeded", "Updating", "Failed", "Canceled")
