"""Does the adapter say to ARM what it should, with the real SDK over HTTP, and understand what comes back?"""

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from azure.mgmt.containerservice.models import ManagedClusterAgentPoolProfileProperties

from reconciler import names
from reconciler.azure import AzureError
from reconciler.desired import Desired
from reconciler.errors import Class, classify
from reconciler.offerings import Offering
from tests.fakearm import Bench, run_over_http
from tests.fakearm.answer import Json
from tests.reconciler.making import SIZE, a_desired

SUBNET = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/virtualNetworks/v/subnets/n"
RESERVATION = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/capacityReservationGroups/g"
PLAIN: Json = {
    "count": 1,
    "type": "VirtualMachineScaleSets",
    "mode": "User",
    "vmSize": SIZE,
    "osType": "Linux",
    "osSKU": "Ubuntu",
    "osDiskSizeGB": 100,
    "nodeLabels": dict(a_desired().labels),
    "nodeTaints": ["sku=gpu:NoSchedule"],
    "tags": dict(a_desired().tags),
}
SPOT = {"scaleSetPriority": "Spot", "scaleSetEvictionPolicy": "Delete"}


def given(offering: Offering | None = None, **node_class: Any) -> Desired:
    plain = a_desired()
    return replace(plain, offering=offering or plain.offering, node_class=replace(plain.node_class, **node_class))


@pytest.mark.parametrize(
    ("desired", "more"),
    [
        pytest.param(a_desired(), {}, id="only what somebody decided"),
        pytest.param(given(Offering(SIZE, spot=True)), {**SPOT, "spotMaxPrice": -1.0}, id="spot"),
        pytest.param(
            given(Offering(SIZE, spot=True), spot_max_price=1.25),
            {**SPOT, "spotMaxPrice": 1.25},
            id="spot with a price",
        ),
        pytest.param(given(spot_max_price=1.25), {}, id="a spot price says nothing of a node on demand"),
        pytest.param(given(Offering(SIZE, ("1", "3"))), {"availabilityZones": ["1", "3"]}, id="zones"),
        pytest.param(given(gpu_driver="None"), {"gpuProfile": {"driver": "None"}}, id="no GPU driver"),
        pytest.param(given(gpu_driver="Install"), {"gpuProfile": {"driver": "Install"}}, id="GPU driver"),
        pytest.param(given(os_disk_type="Ephemeral"), {"osDiskType": "Ephemeral"}, id="OS disk"),
        pytest.param(given(subnet_id=SUBNET), {"vnetSubnetID": SUBNET}, id="subnet"),
        pytest.param(
            given(capacity_reservation_group_id=RESERVATION),
            {"capacityReservationGroupID": RESERVATION},
            id="capacity reservation",
        ),
        pytest.param(replace(a_desired(), os_sku="AzureLinux"), {"osSKU": "AzureLinux"}, id="OS SKU"),
        pytest.param(replace(a_desired(), os_disk_gib=512), {"osDiskSizeGB": 512}, id="OS disk size"),
        pytest.param(
            replace(a_desired(), taints=("a=b:NoSchedule", "c=:NoExecute")),
            {"nodeTaints": ["a=b:NoSchedule", "c=:NoExecute"]},
            id="taints",
        ),
        pytest.param(
            replace(a_desired(), tags={**a_desired().tags, "team": "ml"}),
            {"tags": {**a_desired().tags, "team": "ml"}},
            id="tags",
        ),
    ],
)
def test_the_pool_that_is_sent_is_exactly_what_is_wanted(desired: Desired, more: Json) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.pools.create(desired)
        (put,) = bench.arm.seen
        assert put.body == {"properties": {**PLAIN, **more}}
        assert (put.method, put.path.rpartition("/")[2]) == ("PUT", "ws1")
        assert put.headers["if-none-match"] == "*"
        assert put.query["api-version"] == "2026-08-01"

    run_over_http(scenario)


def test_a_pool_without_taints_sends_none() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.pools.create(replace(a_desired(), taints=()))
        assert "nodeTaints" not in (bench.arm.seen[0].body or {})["properties"]

    run_over_http(scenario)


def test_every_property_that_is_sent_is_one_of_the_sdk_s() -> None:
    """Its models take any mapping, so a misspelt property would go out, and mean nothing."""
    known = {field._rest_name for field in ManagedClusterAgentPoolProfileProperties()._attr_to_rest_field.values()}
    everything = given(
        Offering(SIZE, ("1",), spot=True), subnet_id=SUBNET, os_disk_type="Managed", gpu_driver="Install"
    )

    async def scenario(bench: Bench) -> None:
        await bench.pools.create(everything)
        assert (bench.arm.seen[0].body or {})["properties"].keys() <= known

    run_over_http(scenario)


def test_what_was_sent_comes_back_in_the_list() -> None:
    wanted = given(Offering("Standard_NC40ads_H100_v5", ("2",), spot=True))

    async def scenario(bench: Bench) -> None:
        await bench.pools.create(wanted)
        (pool,) = [each for each in await bench.pools.list() if each.name == "ws1"]
        assert (pool.state, pool.mode, pool.power) == ("Creating", "User", "Running")
        assert (pool.size, pool.spot, pool.zones) == ("Standard_NC40ads_H100_v5", True, ("2",))
        assert pool.tags == wanted.tags
        assert pool.labels == {**wanted.labels, "kubernetes.azure.com/scalesetpriority": "spot"}
        assert pool.etag == bench.aks.records["ws1"].etag
        assert pool.error is None

    run_over_http(scenario)


def test_a_creation_is_over_when_azure_accepted_it_and_the_list_tells_the_rest() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.pools.create(a_desired())
        assert len(bench.arm.seen) == 1
        assert bench.aks.clock() < 1001.0
        states = []
        while "Succeeded" not in states:
            states += [pool.state for pool in await bench.pools.list() if pool.name == "ws1"]
            await _pass(100)
        assert states == ["Creating", "Creating", "Creating", "Succeeded"]

    run_over_http(scenario)


def test_a_failed_creation_is_in_the_list_with_its_causes() -> None:
    inner = {"code": "AllocationFailed", "message": "no machine is free"}

    async def scenario(bench: Bench) -> None:
        bench.aks.outcome = lambda _name, _pool: {
            "code": "ReconcileVMSSAgentPoolFailed",
            "message": "outer",
            "details": [inner],
        }
        await bench.pools.create(a_desired())
        await _pass(bench.aks.times.create)
        (pool,) = [each for each in await bench.pools.list() if each.name == "ws1"]
        assert pool.failed
        assert pool.error is not None
        assert [(each.code, each.message) for each in pool.error.each()] == [
            ("AllocationFailed", "no machine is free"),
            ("ReconcileVMSSAgentPoolFailed", "outer"),
        ]

    run_over_http(scenario)


@pytest.mark.parametrize("page", [1, 2, 50, 1000])
def test_a_list_is_whole_over_all_its_pages(page: int) -> None:
    async def scenario(bench: Bench) -> None:
        for number in range(98):
            bench.aks.settle(f"pool{number}", {"vmSize": "Standard_NC24ads_A100_v4", "count": 1})
        bench.arm.page = page
        bench.arm.allowance.others.burst = bench.arm.allowance.others.tokens = 1000
        found = [pool.name for pool in await bench.pools.list()]
        assert sorted(found) == sorted(bench.aks.records)
        assert len(found) == 99
        assert bench.arm.count("GET", "agentPools") == -(-99 // page)

    run_over_http(scenario)


def test_a_pool_that_is_there_is_never_overwritten() -> None:
    async def scenario(bench: Bench) -> None:
        bench.aks.settle("ws1", {"vmSize": "Standard_D4s_v5", "count": 3, "tags": {"owner": "somebody"}})
        before = dict(bench.aks.records["ws1"].properties)
        with pytest.raises(AzureError) as caught:
            await bench.pools.create(a_desired())
        assert (caught.value.status, caught.value.changed) == (412, True)
        assert bench.aks.records["ws1"].properties == before

    run_over_http(scenario)


@pytest.mark.parametrize(
    ("change", "etag", "gone"),
    [
        pytest.param(None, "", True, id="the pool that was seen"),
        pytest.param({"tags": {"owner": "somebody"}}, "", False, id="changed since"),
        pytest.param(None, "of-yesterday", False, id="another pool of its name"),
    ],
)
def test_a_delete_meets_only_the_pool_that_was_seen(change: Json | None, etag: str, *, gone: bool) -> None:
    async def scenario(bench: Bench) -> None:
        seen = bench.aks.settle("ws1", {"vmSize": "Standard_D4s_v5", "count": 1}).etag
        if change:
            bench.aks.edit("ws1", **change)
        with nullcontext() if gone else pytest.raises(AzureError) as caught:
            await bench.pools.delete("ws1", etag or seen)
        assert caught is None or caught.value.changed
        assert (bench.aks.records["ws1"].state == "Deleting") is gone
        assert bench.arm.seen[0].headers["if-match"] == f'"{etag or seen}"'
        await _pass(bench.aks.times.delete)
        assert ("ws1" not in {pool.name for pool in await bench.pools.list()}) is gone

    run_over_http(scenario)


@pytest.mark.parametrize("etag", ["", "some-etag"])
def test_a_pool_that_is_gone_needs_no_delete(etag: str) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.pools.delete("ws1", etag)
        assert bench.arm.count("DELETE") == 1

    run_over_http(scenario)


def test_a_pool_that_is_being_deleted_needs_no_other_delete() -> None:
    async def scenario(bench: Bench) -> None:
        bench.aks.settle("ws1", {"vmSize": "Standard_D4s_v5", "count": 1})
        await bench.pools.delete("ws1", "")
        ends = [each.ends for each in bench.aks.operations.values()]
        await bench.pools.delete("ws1", "")
        assert [each.ends for each in bench.aks.operations.values()] == ends

    run_over_http(scenario)


@pytest.mark.parametrize(("preempts", "states"), [(True, {"Deleting"}), (False, {"Creating"})])
def test_a_delete_while_the_pool_is_created_either_ends_it_or_is_a_conflict(
    states: set[str], *, preempts: bool
) -> None:
    async def scenario(bench: Bench) -> None:
        bench.aks.delete_preempts = preempts
        await bench.pools.create(a_desired())
        with nullcontext() if preempts else pytest.raises(AzureError) as caught:
            await bench.pools.delete("ws1", bench.aks.records["ws1"].etag)
        assert caught is None or classify(caught.value.trouble).kind is Class.CONFLICT
        assert {pool.state for pool in await bench.pools.list() if pool.name == "ws1"} == states

    run_over_http(scenario)


def test_tags_are_added_and_nothing_else_changes() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.pools.create(given(Offering(SIZE, ("1",), spot=True), gpu_driver="None"))
        await _pass(bench.aks.times.create)
        (before,) = [pool for pool in await bench.pools.list() if pool.name == "ws1"]
        kept = {**bench.aks.records["ws1"].properties}
        await bench.pools.tag("ws1", before.etag, {names.TAG_ADOPTED: names.GPU_PROVISIONER})
        await _pass(bench.aks.times.update)
        (after,) = [pool for pool in await bench.pools.list() if pool.name == "ws1"]
        assert after.tags == {**before.tags, names.TAG_ADOPTED: names.GPU_PROVISIONER}
        assert replace(after, tags=before.tags, etag=before.etag) == before
        now = bench.aks.records["ws1"].properties
        assert {key for key in kept.keys() | now.keys() if kept.get(key) != now.get(key)} == {"tags", "eTag"}

    run_over_http(scenario)


@pytest.mark.parametrize("etag", ["of-yesterday", ""])
def test_a_pool_that_changed_is_not_tagged(etag: str) -> None:
    """Without any etag the SDK would send an unconditional PUT, which makes a pool that is gone meanwhile."""

    async def scenario(bench: Bench) -> None:
        bench.aks.settle("ws1", {"vmSize": "Standard_D4s_v5", "count": 1})
        if not etag:
            bench.aks.records["ws1"].properties["eTag"] = ""
        with pytest.raises(AzureError) as caught:
            await bench.pools.tag("ws1", etag, {"a": "b"})
        assert caught.value.changed
        assert "tags" not in bench.aks.records["ws1"].properties

    run_over_http(scenario)


def test_a_pool_that_is_gone_is_not_made_again_by_a_tag() -> None:
    async def scenario(bench: Bench) -> None:
        with pytest.raises(AzureError) as caught:
            await bench.pools.tag("ws1", "some-etag", {"a": "b"})
        assert caught.value.status == 404
        assert bench.arm.count("PUT") == 0

    run_over_http(scenario)


@pytest.mark.parametrize(
    ("power", "state", "steady"),
    [
        ("Running", "Succeeded", True),
        ("Running", "Updating", True),
        ("Stopped", "Succeeded", False),
        ("Running", "Upgrading", False),
        ("Running", "Stopping", False),
        ("Running", "Starting", False),
    ],
)
def test_the_cluster_tells_whether_its_nodes_can_be_judged(power: str, state: str, *, steady: bool) -> None:
    async def scenario(bench: Bench) -> None:
        bench.aks.power, bench.aks.state = power, state
        found = await bench.pools.cluster()
        assert (found.power, found.state, found.steady) == (power, state, steady)

    run_over_http(scenario)


def test_each_request_has_an_id_of_its_own_and_says_who_asks() -> None:
    async def scenario(bench: Bench) -> None:
        bench.aks.settle("ws1", {"vmSize": "Standard_D4s_v5", "count": 1})
        bench.arm.page = 1
        await bench.pools.list()
        await bench.pools.create(replace(a_desired(), name="ws2"))
        ids = [each.headers["x-ms-client-request-id"] for each in bench.arm.seen]
        assert len(set(ids)) == len(ids) == 3
        assert all(each.headers["user-agent"].startswith("kaitops-reconciler") for each in bench.arm.seen)

    run_over_http(scenario)


async def _pass(seconds: float) -> None:
    """Virtual ones."""
    await asyncio.sleep(seconds)
