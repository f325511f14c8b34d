"""What a person sees with `kubectl describe nodeclaim`: one event per thing that happened, not one per look at it."""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reconciler import names
from reconciler.clock import Clock
from reconciler.conditions import shorten
from reconciler.duration import format_time
from reconciler.kube import Kube, KubeError
from reconciler.nodeclaim import Claim, Object

LOG = logging.getLogger(__name__)
QUIET = timedelta(hours=1)
"""The same event of the same claim is told once in this time."""
NAMESPACE = "default"
"""Where Kubernetes keeps the events of what lives in no namespace."""


@dataclass
class Recorder:
    """Collects; `flush` sends, and an event that cannot be sent is only logged."""

    kube: Kube
    clock: Clock
    _told: dict[tuple[str, str, str], datetime] = field(default_factory=dict)
    _waiting: list[Object] = field(default_factory=list)

    def normal(self, claim: Claim, reason: str, message: str) -> None:
        self._add(claim, "Normal", reason, message)

    def warning(self, claim: Claim, reason: str, message: str) -> None:
        self._add(claim, "Warning", reason, message)

    def _add(self, claim: Claim, kind: str, reason: str, message: str) -> None:
        now, key = self.clock(), (claim.uid, reason, message)
        self._told = {each: when for each, when in self._told.items() if now - when < QUIET}
        if key in self._told:
            return
        self._told[key] = now
        self._waiting.append(_body(claim, kind, reason, shorten(message), now))
        LOG.info(message, extra={"claim": claim.name, "reason": reason})

    async def flush(self) -> None:
        while self._waiting:
            event = self._waiting.pop(0)
            try:
                await self.kube.record(event)
            except KubeError as error:
                LOG.info("event not recorded", extra={"cause": str(error)})


def _body(claim: Claim, kind: str, reason: str, message: str, now: datetime) -> Object:
    stamp = format_time(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{claim.name}.", "namespace": NAMESPACE},
        "involvedObject": {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "name": claim.name,
            "uid": claim.uid,
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": "kaitops-reconciler"},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
