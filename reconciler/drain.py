"""Which pods must leave a Node before its machine is taken, and in which order? Pure; the Eviction API does the asking.

Karpenter's order: what is not critical, then its daemons, then what is critical, then those daemons; a group begins
when the one before is gone. Pods that stay whatever happens do not count.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from reconciler import names
from reconciler.duration import parse_time

Object = dict[str, Any]
CRITICAL = ("system-cluster-critical", "system-node-critical")
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
_OVER = ("Succeeded", "Failed")
STUCK = timedelta(minutes=1)
"""A pod that should be gone for so long never goes by itself: its kubelet is dead."""
DEFAULT_GRACE = 30


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask for now; nothing left: the Node is empty, or the time is over."""

    evict: tuple[Object, ...] = ()
    delete: tuple[tuple[Object, int], ...] = ()
    """With the seconds that are left to each."""
    left: int = 0
    """Pods that are still there."""

    @property
    def drained(self) -> bool:
        return self.left == 0


def plan(pods: Iterable[Object], now: datetime, deadline: datetime | None) -> Plan:
    staying = [pod for pod in pods if matters(pod, now)]
    if not staying or (deadline is not None and now >= deadline):
        return Plan()
    first = min(_group(pod) for pod in staying)
    group = [pod for pod in staying if _group(pod) == first]
    late = [pod for pod in staying if deadline is not None and _must_go(pod, now, deadline)]
    evict = [pod for pod in group if pod not in late and "deletionTimestamp" not in pod["metadata"]]
    return Plan(tuple(evict), tuple((pod, _seconds(deadline, now)) for pod in late), len(staying))


def matters(pod: Mapping[str, Any], now: datetime) -> bool:
    """Whether the machine must wait for it."""
    metadata = pod["metadata"]
    if pod.get("status", {}).get("phase") in _OVER:
        return False
    if MIRROR_ANNOTATION in (metadata.get("annotations") or {}) or _owned_by(pod, "Node"):
        return False
    deleted = metadata.get("deletionTimestamp")
    if deleted and now > parse_time(deleted) + STUCK:
        return False
    return not any(_tolerates(each) for each in pod["spec"].get("tolerations") or ())


def kept_volumes(pods: Iterable[Mapping[str, Any]], now: datetime) -> set[tuple[str, str]]:
    """Namespace and name of each volume claim of a pod that nobody asks to leave: its volume goes with the machine."""
    staying = [pod for pod in pods if pod.get("status", {}).get("phase") not in _OVER and not matters(pod, now)]
    return {(pod["metadata"]["namespace"], name) for pod in staying for name in _volume_claims(pod)}


def _volume_claims(pod: Mapping[str, Any]) -> Iterator[str]:
    """Those that it names, and those that are made for it and have its name and the volume's."""
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            yield str(volume["persistentVolumeClaim"]["claimName"])
        elif "ephemeral" in volume:
            yield f"{pod['metadata']['name']}-{volume['name']}"


def _tolerates(toleration: Mapping[str, Any]) -> bool:
    """Whether a pod may stay on a Node that we are about to take."""
    key_fits = toleration.get("key", "") in ("", names.DISRUPTED_TAINT)
    if toleration.get("operator", "Equal") == "Equal" and (not toleration.get("key") or toleration.get("value", "")):
        return False
    return key_fits and toleration.get("effect", "") in ("", "NoSchedule")


def _group(pod: Mapping[str, Any]) -> int:
    critical = pod["spec"].get("priorityClassName") in CRITICAL
    return 2 * critical + _owned_by(pod, "DaemonSet")


def _owned_by(pod: Mapping[str, Any], kind: str) -> bool:
    return any(each["kind"] == kind for each in pod["metadata"].get("ownerReferences") or ())


def _must_go(pod: Mapping[str, Any], now: datetime, deadline: datetime) -> bool:
    """Whether it would outlive the deadline if it were asked only now, or was asked with too much time."""
    deleted = pod["metadata"].get("deletionTimestamp")
    if deleted:
        return parse_time(deleted) > deadline
    grace = pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE)
    return now + timedelta(seconds=grace) >= deadline


def _seconds(deadline: datetime | None, now: datetime) -> int:
    return max(0, int((deadline - now).total_seconds())) if deadline else 0


def taint_patch(taints: Iterable[Object], finalizers: Iterable[str], *, keep_finalizer: bool) -> Object:
    """Nothing new comes to the Node, no balancer sends to it, and it may go with its machine.

    While somebody else deletes the Node, our finalizer keeps it until it is empty.
    """
    disrupted = {"key": names.DISRUPTED_TAINT, "effect": "NoSchedule"}
    kept = [each for each in taints if each["key"] != names.DISRUPTED_TAINT]
    patch: Object = {
        "metadata": {"labels": {names.EXCLUDE_BALANCERS_LABEL: "karpenter"}},
        "spec": {"taints": [*kept, disrupted]},
    }
    if not keep_finalizer:
        patch["metadata"]["finalizers"] = [each for each in finalizers if each != names.TERMINATION_FINALIZER]
    return patch
