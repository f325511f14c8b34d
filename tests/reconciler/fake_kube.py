"""An API server in memory: versions, conflicts, finalizers, generations and watches as the real one has them.

`tests/reconciler/test_real_api.py` holds it to a real server where the two could differ.
"""

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

from reconciler import names
from reconciler.duration import format_time
from reconciler.kube import ConflictError, GoneError, KubeError
from reconciler.kube.port import BlockedError
from reconciler.runtime.elector import Lease

Object = dict[str, Any]


def merge(old: Any, patch: Any) -> Any:
    """A JSON merge patch."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    found = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merge(found.get(key), value)
    return found


class Store:
    """One kind."""

    def __init__(self, kind: str, clock: Callable[[], datetime], numbers: "itertools.count[int]") -> None:
        self.kind = kind
        self.items: dict[str, Object] = {}
        self.log: list[tuple[int, str, Object]] = []
        self.version = 0
        self.deaf_until = float("-inf")
        """Watchers hear nothing until then, though their connection is open."""
        self._clock = clock
        self._numbers = numbers
        self._waiters: set[asyncio.Future[None]] = set()

    def _wrote(self, event: str, body: Object) -> Object:
        self.version = next(self._numbers)
        body["metadata"]["resourceVersion"] = str(self.version)
        self.log.append((self.version, event, body))
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
        return copy.deepcopy(body)

    def create(self, body: Object) -> Object:
        name = body["metadata"]["name"]
        if name in self.items:
            raise ConflictError(f"{self.kind} `{name}` exists", 409)
        made = copy.deepcopy(body)
        made["metadata"] |= {
            "uid": f"uid-{next(self._numbers)}",
            "creationTimestamp": format_time(self._clock()),
            "generation": 1,
        }
        self.items[name] = made
        return self._wrote("ADDED", made)

    def get(self, name: str) -> Object:
        if name not in self.items:
            raise GoneError(f"{self.kind} `{name}` not found", 404)
        return copy.deepcopy(self.items[name])

    def patch(self, name: str, version: str, patch: Object, part: str = "") -> Object:
        old = self.get(name)
        if version and old["metadata"]["resourceVersion"] != version:
            raise ConflictError(f"{self.kind} `{name}` has been modified", 409)
        new = merge(old, {part: patch} if part else patch)
        added = set(new["metadata"].get("finalizers") or ()) - set(old["metadata"].get("finalizers") or ())
        if added and "deletionTimestamp" in old["metadata"]:
            raise KubeError("no new finalizers can be added if the object is being deleted", 422)
        if new == old:
            return old
        self.items[name] = new
        if "deletionTimestamp" in new["metadata"] and not new["metadata"].get("finalizers"):
            return self._gone(name)
        return self._wrote("MODIFIED", new)

    def _gone(self, name: str) -> Object:
        return self._wrote("DELETED", self.items.pop(name))

    def delete(self, name: str, uid: str = "") -> None:
        body = self.get(name)
        if uid and body["metadata"]["uid"] != uid:
            raise GoneError(f"{self.kind} `{name}` has another UID", 409)
        if not body["metadata"].get("finalizers"):
            self._gone(name)
        elif "deletionTimestamp" not in body["metadata"]:
            body["metadata"] |= {"deletionTimestamp": format_time(self._clock()), "generation": 2}
            self.items[name] = body
            self._wrote("MODIFIED", body)

    async def list(self) -> tuple[list[Object], str]:
        return copy.deepcopy(list(self.items.values())), str(self.version)

    async def watch(self, version: str, seconds: float) -> AsyncIterator[tuple[str, Object]]:
        at, loop = int(version), asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            if loop.time() < self.deaf_until:
                await asyncio.sleep(min(self.deaf_until, end + 1000) - loop.time())
            for number, event, body in [each for each in self.log if each[0] > at]:
                at = number
                yield event, copy.deepcopy(body)
            waiter = loop.create_future()
            self._waiters.add(waiter)
            await asyncio.wait((waiter,), timeout=max(0.0, end - loop.time()))
            self._waiters.discard(waiter)


class FakeKube:
    """The port `Kube`, and `NodeWriter` for simulated machines."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        numbers = itertools.count(1)
        self.claim_store = Store("NodeClaim", clock, numbers)
        self.node_store = Store("Node", clock, numbers)
        self.pods: dict[str, Object] = {}
        self.blocked: set[str] = set()
        """Pods that a budget protects."""
        self.attachments: list[Object] = []
        self.volumes: dict[str, Object] = {}
        self.events: list[Object] = []
        self.writes: list[tuple[str, str]] = []
        self.status_refused = False
        self.id = "cluster-1"
        self.lease_kept = Lease("", "")
        self._clock = clock
        self._numbers = numbers

    def claims(self) -> Store:
        return self.claim_store

    def nodes(self) -> Store:
        return self.node_store

    def leases(self) -> "FakeKube":
        return self

    async def read(self) -> Lease:
        return self.lease_kept

    async def write(self, holder: str, version: str) -> Lease:
        if version != self.lease_kept.version:
            raise ConflictError("the lease has been modified", 409)
        self.lease_kept = Lease(holder, str(next(self._numbers)))
        return self.lease_kept

    async def cluster_id(self) -> str:
        return self.id

    async def list_claims(self) -> list[Object]:
        return (await self.claim_store.list())[0]

    async def read_claim(self, name: str) -> Object:
        return self.claim_store.get(name)

    async def patch_claim(self, name: str, version: str, patch: Object) -> Object:
        self.writes.append(("claim", name))
        return self.claim_store.patch(name, version, patch)

    async def patch_claim_status(self, name: str, version: str, patch: Object) -> Object:
        if self.status_refused:
            raise KubeError("status is invalid", 422)
        self.writes.append(("status", name))
        return self.claim_store.patch(name, version, patch, "status")

    async def delete_claim(self, name: str, uid: str) -> None:
        self.claim_store.delete(name, uid)

    async def patch_node(self, name: str, version: str, patch: Object) -> Object:
        self.writes.append(("node", name))
        return self.node_store.patch(name, version, patch)

    async def delete_node(self, name: str, uid: str) -> None:
        self.writes.append(("node", name))
        self.node_store.delete(name, uid)

    async def pods_on(self, node: str) -> list[Object]:
        return [copy.deepcopy(pod) for pod in self.pods.values() if pod["spec"].get("nodeName") == node]

    async def evict(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        if name in self.blocked:
            raise BlockedError("disruption budget", 429)
        if self.pods.pop(name, None) is None:
            raise GoneError("no such pod", 404)

    async def delete_pod(self, pod: Object, grace_seconds: int) -> None:  # noqa: ARG002 -- the port's signature
        if self.pods.pop(pod["metadata"]["name"], None) is None:
            raise GoneError("no such pod", 404)

    async def attachments_on(self, node: str) -> list[Object]:
        return [each for each in self.attachments if each["spec"]["nodeName"] == node]

    async def volume(self, name: str) -> Object:
        if name not in self.volumes:
            raise GoneError("no such volume", 404)
        return copy.deepcopy(self.volumes[name])

    async def record(self, event: Object) -> None:
        self.events.append(event)

    async def create_node(self, body: Object) -> None:
        self.node_store.create(body)

    async def patch_node_status(self, name: str, status: Object) -> None:
        self.node_store.patch(name, "", status, "status")

    async def remove_node(self, name: str) -> None:
        self.node_store.delete(name)


def claim_body(name: str = "ws1", size: str | tuple[str, ...] = "Standard_NC24ads_A100_v4", **spec: Any) -> Object:
    """A NodeClaim as KAITO makes it."""
    sizes = [size] if isinstance(size, str) else list(size)
    labels = {names.NODEPOOL_LABEL: "kaito", names.WORKSPACE_LABEL: "phi", "kaito.sh/workspacenamespace": "team-a"}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {"karpenter.sh/do-not-disrupt": "true", names.IMAGE_FAMILY_ANNOTATION: "ubuntu"},
        },
        "spec": {
            "nodeClassRef": {"group": "kaito.sh", "kind": "KaitoNodeClass", "name": "default"},
            "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
            "requirements": [
                {"key": names.NODEPOOL_LABEL, "operator": "In", "values": ["kaito"]},
                {"key": names.INSTANCE_TYPE_LABEL, "operator": "In", "values": sizes},
                {"key": names.OS_LABEL, "operator": "In", "values": ["linux"]},
                {"key": names.SKU_NAME_LABEL, "operator": "In", "values": sizes},
            ],
            "resources": {"requests": {"storage": "100Gi"}},
            "expireAfter": "Never",
            **spec,
        },
    }
