"""What does a NodeClaim ask for, and is it ours to answer?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from reconciler import names
from reconciler.conditions import Condition, read_conditions
from reconciler.duration import parse_duration, parse_quantity, parse_time

Object = dict[str, Any]


@dataclass(frozen=True)
class Claim:
    """A view of one object of the API; `raw` is never changed."""

    raw: Object

    @cached_property
    def metadata(self) -> Object:
        found: Object = self.raw["metadata"]
        return found

    @cached_property
    def spec(self) -> Object:
        return self.raw.get("spec") or {}

    @cached_property
    def status(self) -> Object:
        return self.raw.get("status") or {}

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
    def generation(self) -> int:
        return int(self.metadata.get("generation", 1))

    @cached_property
    def created(self) -> datetime:
        return parse_time(self.metadata["creationTimestamp"])

    @cached_property
    def deleted(self) -> datetime | None:
        text = self.metadata.get("deletionTimestamp")
        return parse_time(text) if text else None

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
        """Whether it cannot vanish before we say so."""
        return names.TERMINATION_FINALIZER in self.finalizers

    @property
    def node_class(self) -> str:
        return str((self.spec.get("nodeClassRef") or {}).get("name", ""))

    @property
    def managed(self) -> bool:
        reference = self.spec.get("nodeClassRef") or {}
        ours = (reference.get("group"), reference.get("kind")) == names.NODE_CLASS
        return ours or any(label in self.labels for label in names.KAITO_LABELS)

    @cached_property
    def conditions(self) -> dict[str, Condition]:
        return read_conditions(self.status.get("conditions") or (), self.created, self.generation)

    @property
    def launched(self) -> bool:
        return self.conditions[names.LAUNCHED].true

    @property
    def waits_for_room(self) -> bool:
        return self.conditions[names.LAUNCHED].reason == names.LIMIT_REACHED

    @property
    def ready(self) -> bool:
        ready = self.conditions.get(names.READY)
        return bool(ready and ready.true and ready.generation == self.generation)

    @property
    def node_name(self) -> str:
        return str(self.status.get("nodeName") or "")

    @property
    def provider_id(self) -> str:
        return str(self.status.get("providerID") or "")

    @property
    def taints(self) -> tuple[Object, ...]:
        return tuple(self.spec.get("taints") or ())

    @property
    def startup_taints(self) -> tuple[Object, ...]:
        return tuple(self.spec.get("startupTaints") or ())

    @cached_property
    def requests(self) -> Mapping[str, Decimal]:
        """What is requested of each resource, as far as it can be read."""
        found = {name: _amount(value) for name, value in self._requests.items()}
        return {name: amount for name, amount in found.items() if amount is not None}

    @property
    def odd_requests(self) -> tuple[str, ...]:
        """The resources whose amount the API server takes and nobody can read: its own check is a pattern."""
        return tuple(name for name in self._requests if name not in self.requests)

    @property
    def _requests(self) -> Mapping[str, Any]:
        return (self.spec.get("resources") or {}).get("requests") or {}

    @cached_property
    def expires_after(self) -> timedelta | None:
        return _span(self.spec.get("expireAfter"))

    @cached_property
    def grace(self) -> timedelta | None:
        return _span(self.spec.get("terminationGracePeriod"))

    @property
    def failed_pools(self) -> tuple[str, ...]:
        """When each pool of it that failed was made: to count one twice does no harm."""
        return tuple(each for each in self.annotations.get(names.FAILURES_ANNOTATION, "").split(",") if each)

    def values(self, key: str) -> tuple[str, ...] | None:
        """The values that every requirement of a key allows, in the order of the first `In`; None: it is left open.

        `Exists` and the comparisons narrow nothing that we choose from, and a value that `NotIn` names is left out.
        """
        allowed: tuple[str, ...] | None = None
        banned: set[str] = set()
        for each in self.spec.get("requirements") or ():
            values = tuple(each.get("values") or ())
            if each["key"] == key and each["operator"] == "In":
                allowed = values if allowed is None else tuple(value for value in allowed if value in values)
            elif each["key"] == key and each["operator"] == "NotIn":
                banned.update(values)
        return allowed if allowed is None else tuple(dict.fromkeys(each for each in allowed if each not in banned))


def _amount(value: str | int) -> Decimal | None:
    try:
        return parse_quantity(value)
    except ValueError:
        return None


def _span(text: str | None) -> timedelta | None:
    return None if text in (None, "", "Never") else parse_duration(str(text))
