"""What does a Node tell about the machine of a claim?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from reconciler import names
from reconciler.duration import parse_quantity, parse_time

Object = dict[str, Any]

EPHEMERAL_TAINTS = (
    ("node.kubernetes.io/not-ready", "NoSchedule"),
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoSchedule"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.cloudprovider.kubernetes.io/uninitialized", "NoSchedule"),
)
"""Kubernetes sets them while a node starts, and takes them away."""


@dataclass(frozen=True)
class Node:
    """A view of one object of the API; `raw` is never changed."""

    raw: Object

    @property
    def metadata(self) -> Object:
        found: Object = self.raw["metadata"]
        return found

    @property
    def name(self) -> str:
        return str(self.metadata["name"])

    @property
    def uid(self) -> str:
        return str(self.metadata["uid"])

    @property
    def version(self) -> str:
        return str(self.metadata.get("resourceVersion", ""))

    @property
    def labels(self) -> Mapping[str, str]:
        return self.metadata.get("labels") or {}

    @property
    def annotations(self) -> Mapping[str, str]:
        return self.metadata.get("annotations") or {}

    @property
    def finalizers(self) -> tuple[str, ...]:
        return tuple(self.metadata.get("finalizers") or ())

    @property
    def held(self) -> bool:
        return names.TERMINATION_FINALIZER in self.finalizers

    @property
    def deleting(self) -> bool:
        return bool(self.metadata.get("deletionTimestamp"))

    @property
    def owners(self) -> tuple[Object, ...]:
        return tuple(self.metadata.get("ownerReferences") or ())

    @property
    def pool(self) -> str:
        """The name of its agent pool, empty where it has none or its two labels differ."""
        found = {self.labels[label] for label in names.AGENT_POOL_LABELS if label in self.labels}
        return found.pop() if len(found) == 1 else ""

    @property
    def provider_id(self) -> str:
        return str((self.raw.get("spec") or {}).get("providerID") or "")

    @property
    def taints(self) -> tuple[Object, ...]:
        return tuple((self.raw.get("spec") or {}).get("taints") or ())

    @property
    def status(self) -> Object:
        return self.raw.get("status") or {}

    @property
    def registered(self) -> bool:
        return self.labels.get(names.REGISTERED_LABEL) == "true"

    @property
    def ready(self) -> bool:
        return self._ready().get("status") == "True"

    @property
    def not_ready_since(self) -> datetime | None:
        """Since when it is not ready; None for a ready node, and for one that never said anything."""
        known = self._ready()
        if self.ready or "lastTransitionTime" not in known:
            return None
        return parse_time(known["lastTransitionTime"])

    def _ready(self) -> Object:
        conditions = self.status.get("conditions") or ()
        return next((each for each in conditions if each["type"] == "Ready"), {})

    def allocatable(self, resource: str) -> Decimal:
        return parse_quantity((self.status.get("allocatable") or {}).get(resource, 0))

    def has_taint(self, key: str, effect: str) -> bool:
        return any((each["key"], each["effect"]) == (key, effect) for each in self.taints)


def merge_taints(old: Iterable[Object], new: Iterable[Object]) -> list[Object]:
    """Both, where a taint of the same key and effect counts once and the old one stays."""
    found = {(each["key"], each["effect"]): each for each in (*new, *old)}
    kept = [found.pop((each["key"], each["effect"])) for each in (*old, *new) if (each["key"], each["effect"]) in found]
    return [*kept]
