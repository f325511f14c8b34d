"""Is every right of the rendered roles used, and is every request allowed? The API server's own audit log says so.

Each method of the port is called once, by the reconciler's service account. A verb that is missing is refused; one
that is too much was asked for by nobody.
"""

import asyncio
import inspect
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from reconciler.kube import Kube, KubeError
from reconciler.kube.api import KubeApi, configure
from tests.apiserver import Api, ApiServer, running_api_server
from tests.installation.rendered import ACCOUNT, NAME, NAMESPACE, Object, kubeconfig, rendered_objects
from tests.reconciler.fake_kube import claim_body
from tests.reconciler.live import live_claim, prepare

pytestmark = pytest.mark.slow

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": [ACCOUNT]}, {"level": "None"}],
}
OWNERS = "--enable-admission-plugins=OwnerReferencesPermissionEnforcement"
"""Off by default; a cluster that has it demands the right on `finalizers` of whoever owns something."""
OF_ADMISSION = ("update", "karpenter.sh", "nodeclaims/finalizers", "", "")
"""The one right that no request asks for, so that no audit log shows it; it has a test of its own."""
SECONDS = 20.0

Right = tuple[str, str, str, str, str]
"""Verb, group, resource with its subresource, namespace (empty for all) and name (empty for any)."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What the service account asked of one server."""

    server: ApiServer
    log: Path

    def requests(self) -> list[Right]:
        found = []
        for line in self.log.read_text().splitlines():
            event = json.loads(line)
            place = event.get("objectRef")
            if event["stage"] == "ResponseComplete" and place:
                resource = "/".join(filter(None, (place["resource"], place.get("subresource", ""))))
                where = (place.get("namespace", ""), place.get("name", ""))
                found.append((event["verb"], place.get("apiGroup", ""), resource, *where))
        return found


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audit]:
    folder = tmp_path_factory.mktemp("audit")
    policy, log = folder / "policy.json", folder / "audit.log"
    policy.write_text(json.dumps(POLICY))
    with running_api_server(f"--audit-policy-file={policy}", f"--audit-log-path={log}", OWNERS) as server:
        prepare(server)
        yield Audit(server, log)


def granted() -> Iterator[Right]:
    """Each right of the rendered roles by itself."""
    for (kind, namespace, _), body in rendered_objects("dev").items():
        if kind in ("ClusterRole", "Role"):
            for rule in body["rules"]:
                for verb in rule["verbs"]:
                    for group in rule["apiGroups"]:
                        for resource in rule["resources"]:
                            for name in rule.get("resourceNames", [""]):
                                yield verb, group, resource, namespace, name


def covers(right: Right, request: Right) -> bool:
    """Whether the request is one of those that the right is for."""
    *what, namespace, name = right
    *asked, asked_namespace, asked_name = request
    return what == asked and namespace in ("", asked_namespace) and name in ("", asked_name)


def node_of(claim: Object) -> Object:
    """As the reconciler writes it: owned by the claim, so that its deletion waits for the Node's."""
    meta = claim["metadata"]
    owner = {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": meta["name"], "uid": meta["uid"]}
    return {"metadata": {"ownerReferences": [{**owner, "blockOwnerDeletion": True}]}}


def pod(name: str) -> Object:
    containers = [{"name": "c", "image": "i"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "chat"},
        "spec": {"nodeName": "rights", "containers": containers},
    }


def furnish(api: Api) -> dict[str, Object]:
    """One of each thing that is acted upon."""
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "chat"}})
    attachment = {"attacher": "a", "nodeName": "rights", "source": {"persistentVolumeName": "v"}}
    wanted = {
        "claim": claim_body("rights"),
        "node": {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "rights"}},
        "evicted": pod("evicted"),
        "deleted": pod("deleted"),
        "attachment": {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "VolumeAttachment",
            "metadata": {"name": "rights"},
            "spec": attachment,
        },
        "volume": {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "v"},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "csi": {"driver": "disk.csi.azure.com", "volumeHandle": "v"},
            },
        },
    }
    return {key: api.create(body).body for key, body in wanted.items()}


def event() -> Object:
    involved = {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": "rights"}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "rights.", "namespace": "default"},
        "involvedObject": involved,
        "type": "Normal",
        "reason": "Tried",
    }


class Calls:
    """The port, which notes what is called of it."""

    def __init__(self, kube: KubeApi) -> None:
        self._kube = kube
        self.made: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.made.add(name)
        return getattr(self._kube, name)


@asynccontextmanager
async def port(server: ApiServer) -> Any:
    kube = KubeApi(await configure(str(kubeconfig(server)), ""), NAMESPACE, NAME, lambda: datetime.now(UTC))
    try:
        yield kube
    finally:
        await kube.close()


async def call_everything(server: ApiServer, things: dict[str, Object]) -> set[str]:
    """Each method of the port once; the names of those that were called."""
    async with port(server) as kube:
        calls = Calls(kube)
        for source in (calls.claims(), calls.nodes()):
            _, version = await source.list()
            async for _ in source.watch(version, 1):
                pass
        lease = await calls.leases().read()
        lease = await calls.leases().write("me", lease.version)
        await calls.leases().write("", lease.version)
        await calls.cluster_id()
        await calls.list_claims()
        claim = await calls.read_claim("rights")
        claim = await calls.patch_claim("rights", claim["metadata"]["resourceVersion"], {"metadata": {"labels": {}}})
        await calls.patch_claim_status("rights", claim["metadata"]["resourceVersion"], {"nodeName": "rights"})
        await calls.patch_node("rights", things["node"]["metadata"]["resourceVersion"], node_of(claim))
        assert len(await calls.pods_on("rights")) == 2
        await calls.evict(things["evicted"])
        await calls.delete_pod(things["deleted"], 0)
        assert len(await calls.attachments_on("rights")) == 1
        assert (await calls.volume("v"))["metadata"]["name"] == "v"
        await calls.record(event())
        await calls.delete_node("rights", things["node"]["metadata"]["uid"])
        await calls.delete_claim("rights", claim["metadata"]["uid"])
        return calls.made


def test_each_right_is_used_and_each_request_is_allowed(audit: Audit) -> None:
    api = audit.server.api()
    called = asyncio.run(call_everything(audit.server, furnish(api)))
    methods = {name for name, _ in inspect.getmembers(Kube, inspect.isfunction) if not name.startswith("_")}
    assert called == methods
    assert live_claim(api, "rights") is None
    requests = audit.requests()
    rights = set(granted())
    assert OF_ADMISSION in rights
    assert {right for right in rights if not any(covers(right, each) for each in requests)} == {OF_ADMISSION}
    assert {each for each in requests if not any(covers(right, each) for right in rights)} == set()


@contextmanager
def without(api: Api, resource: str) -> Iterator[None]:
    """The cluster role, for a while without a resource."""
    role = rendered_objects("dev")["ClusterRole", "", NAME]
    api.apply({**role, "rules": [rule for rule in role["rules"] if resource not in rule["resources"]]})
    try:
        yield
    finally:
        api.apply(role)


def until(outcome: Callable[[], Awaitable[bool]]) -> None:
    """The server's authorizer learns of a changed role a moment later."""

    async def look() -> None:
        deadline = time.monotonic() + SECONDS
        while not await outcome():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)

    asyncio.run(look())


def test_a_node_may_be_owned_by_its_claim_where_the_server_asks_for_that_right(audit: Audit) -> None:
    api = audit.server.api()
    claim = api.create(claim_body("owner")).body
    node = api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "owned"}}).body

    async def owned() -> bool:
        version = api.get(node)["metadata"]["resourceVersion"]
        async with port(audit.server) as kube:
            try:
                await kube.patch_node("owned", version, node_of(claim))
            except KubeError as error:
                return error.status != HTTPStatus.FORBIDDEN
            return True

    async def refused() -> bool:
        return not await owned()

    with without(api, "nodeclaims/finalizers"):
        until(refused)
    until(owned)
