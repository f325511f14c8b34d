"""Does the adapter, with the real SDK, say to ARM what it should, and understand what comes back?"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from reconciler import names
from reconciler.azure import AzureError, LostError
from reconciler.azure.arm import ArmPools
from reconciler.errors import Class, Trouble, classify
from reconciler.nodeclass import NodeClass
from reconciler.offerings import Offering
from reconciler.simulate import Delays, SimulatedAks
from tests.reconciler.fake_arm import FakeArm, serving_arm
from tests.reconciler.making import a_desired

Test = Callable[[FakeArm, ArmPools], Coroutine[Any, Any, None]]


def with_arm(test: Test, arm: FakeArm | None = None) -> None:
    async def main() -> None:
        server = arm or FakeArm()
        async with serving_arm(server) as pools:
            await test(server, pools)

    asyncio.run(main())


def test_the_body_says_what_was_decided_and_nothing_else() -> None:
    async def test(arm: FakeArm, pools: ArmPools) -> None:
        await pools.create(a_desired())
        assert arm.bodies["ws1"]["properties"] == {
            "count": 1,
            "type": "VirtualMachineScaleSets",
            "mode": "User",
            "vmSize": "Standard_NC24ads_A100_v4",
            "osType": "Linux",
            "osSKU": "Ubuntu",
            "osDiskSizeGB": 100,
            "nodeLabels": dict(a_desired().labels),
            "nodeTaints": ["sku=gpu:NoSchedule"],
            "tags": dict(a_desired().tags),
        }
        sent = arm.headers[0]
        assert sent["If-None-Match"] == "*"
        assert sent["x-ms-client-request-id"]
        assert arm.requests == [("PUT", "ws1")]

    with_arm(test)


def test_every_setting_of_a_class_reaches_the_body() -> None:
    subnet = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/virtualNetworks/v/subnets/n"
    group = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/capacityReservationGroups/g"
    given = NodeClass(
        subnet_id=subnet,
        os_disk_type="Ephemeral",
        gpu_driver="None",
        capacity_reservation_group_id=group,
        spot_max_price=1.5,
    )
    offering = Offering("Standard_NC24ads_A100_v4", ("1", "2"), spot=True)

    async def test(arm: FakeArm, pools: ArmPools) -> None:
        await pools.create(replace(a_desired(), node_class=given, offering=offering))
        body = arm.bodies["ws1"]["properties"]
        wanted = {
            "vnetSubnetID": subnet,
            "osDiskType": "Ephemeral",
            "gpuProfile": {"driver": "None"},
            "capacityReservationGroupID": group,
            "availabilityZones": ["1", "2"],
            "scaleSetPriority": "Spot",
            "scaleSetEvictionPolicy": "Delete",
            "spotMaxPrice": 1.5,
        }
        assert {key: body[key] for key in wanted} == wanted

    with_arm(test)


def test_a_list_is_whole_over_its_pages_and_holds_the_error_of_a_failed_pool() -> None:
    cause = Trouble("ReconcileVMSSAgentPoolFailed", "outer", (Trouble("AllocationFailed", "no machine"),))

    async def test(arm: FakeArm, pools: ArmPools) -> None:
        for name in ("ws1", "ws2", "ws3"):
            await pools.create(replace(a_desired(), name=name))
        arm.aks.fail = lambda _pool: None
        arm.aks.edit("ws2", state="Failed", error=cause)
        found = {pool.name: pool for pool in await pools.list()}
        assert set(found) == {"systempool", "ws1", "ws2", "ws3"}
        assert found["ws2"].error == cause
        assert classify(cause).reason == "AllocationFailed"
        assert (found["ws1"].state, found["ws1"].size) == ("Creating", "Standard_NC24ads_A100_v4")
        assert found["ws1"].tags == a_desired().tags
        assert found["ws1"].labels == a_desired().labels
        assert found["ws1"].etag
        assert arm.requests.count(("GET", "agentPools")) == 2

    with_arm(test)


def test_a_list_that_breaks_off_is_no_list() -> None:
    async def test(arm: FakeArm, pools: ArmPools) -> None:
        for name in ("ws1", "ws2"):
            await pools.create(replace(a_desired(), name=name))
        arm.stale_pages = True
        with pytest.raises(AzureError):
            await pools.list()

    with_arm(test)


def test_a_pool_that_exists_is_changed_and_not_replaced() -> None:
    async def test(arm: FakeArm, pools: ArmPools) -> None:
        await pools.create(a_desired())
        with pytest.raises(AzureError) as caught:
            await pools.create(replace(a_desired(), offering=Offering("Standard_D4s_v5")))
        assert caught.value.changed
        assert caught.value.status == 412
        assert arm.aks.puts == ["ws1"]

    with_arm(test)


def test_a_lost_answer_is_neither_success_nor_failure_and_nothing_is_sent_again() -> None:
    async def test(arm: FakeArm, pools: ArmPools) -> None:
        arm.fault = lambda method, _name: "lost" if method == "PUT" else ""
        with pytest.raises(LostError):
            await pools.create(a_desired())
        assert arm.requests == [("PUT", "ws1")]
        assert arm.aks.puts == ["ws1"]

    with_arm(test)


@pytest.mark.parametrize("fault", ["reset", "lost"])
def test_a_broken_connection_is_lost_whenever_it_breaks(fault: str) -> None:
    async def test(arm: FakeArm, pools: ArmPools) -> None:
        arm.fault = lambda _method, _name: fault
        for request in (pools.list, pools.cluster, lambda: pools.delete("ws1", "etag-1")):
            with pytest.raises(LostError):
                await request()

    with_arm(test)


@pytest.mark.parametrize(
    ("fault", "status", "wait", "kind"),
    [
        ("429+7", 429, 7.0, Class.THROTTLED),
        ("429", 429, None, Class.THROTTLED),
        ("409", 409, None, Class.CONFLICT),
        ("403", 403, None, Class.TRANSIENT),
        ("401", 401, None, Class.TRANSIENT),
        ("503+3", 503, 3.0, Class.TRANSIENT),
        ("500", 500, None, Class.TRANSIENT),
    ],
)
def test_a_refusal_is_told_at_once_and_whole(fault: str, status: int, wait: float | None, kind: Class) -> None:
    async def test(arm: FakeArm, pools: ArmPools) -> None:
        arm.fault = lambda _method, _name: fault
        for request in (lambda: pools.create(a_desired()), pools.list, lambda: pools.delete("ws1", "e")):
            with pytest.raises(AzureError) as caught:
                await request()
            assert (caught.value.status, caught.value.retry_after) == (status, wait)
            assert caught.value.correlation == "correlation-1"
            assert classify(caught.value.trouble).kind is kind
        assert len(arm.requests) == 3

    with_arm(test)


def test_a_delete_names_the_etag_and_a_missing_pool_is_gone() -> None:
    async def test(arm: FakeArm, pools: ArmPools) -> None:
        await pools.create(a_desired())
        (etag,) = [pool.etag for pool in await pools.list() if pool.name == "ws1"]
        with pytest.raises(AzureError) as caught:
            await pools.delete("ws1", "etag-of-yesterday")
        assert caught.value.changed
        await pools.delete("ws1", etag)
        (state,) = [pool.state for pool in await pools.list() if pool.name == "ws1"]
        assert state == "Deleting"
        await pools.delete("never", "etag-1")
        assert arm.headers[-1]["If-Match"] == '"etag-1"'

    with_arm(test)


@pytest.mark.parametrize("words", ["Agent Pool not found", "no such cluster"])
def test_a_404_at_a_delete_is_success(words: str) -> None:
    async def test(arm: FakeArm, pools: ArmPools) -> None:
        async def gone(_name: str, _etag: str) -> None:
            raise AzureError(Trouble("NotFound", words), 404)

        arm.aks.delete = gone  # type: ignore[method-assign, assignment] # the one way to fail that the simulation has not
        await pools.create(a_desired())
        await pools.delete("ws1", "etag-1")

    with_arm(test)


def test_tags_are_added_and_nothing_else_changes() -> None:
    async def test(arm: FakeArm, pools: ArmPools) -> None:
        await pools.create(a_desired())
        before = {pool.name: pool for pool in await pools.list()}["ws1"]
        await pools.tag("ws1", before.etag, {names.TAG_ADOPTED: "gpu-provisioner"})
        after = {pool.name: pool for pool in await pools.list()}["ws1"]
        assert after.tags == {**before.tags, names.TAG_ADOPTED: "gpu-provisioner"}
        assert replace(after, tags=before.tags, etag=before.etag) == before
        assert arm.headers[-2]["If-Match"] == f'"{before.etag}"'

    with_arm(test)


def test_the_cluster_tells_its_power_and_state() -> None:
    async def test(arm: FakeArm, pools: ArmPools) -> None:
        assert (await pools.cluster()).steady
        arm.aks.state = replace(arm.aks.state, power="Stopped")
        assert not (await pools.cluster()).steady

    with_arm(test)


def test_aks_allows_twenty_puts_of_one_pool_and_says_when_to_come_again() -> None:
    async def test(_arm: FakeArm, pools: ArmPools) -> None:
        refusals = []
        for _ in range(22):
            try:
                await pools.create(a_desired())
            except AzureError as error:
                refusals.append((error.status, error.retry_after))
        assert [status for status, _ in refusals].count(412) == 19
        assert refusals[-1][0] == 429
        assert refusals[-1][1] is not None
        assert 50 <= refusals[-1][1] <= 61

    with_arm(test)


def test_a_page_that_is_no_json_is_still_an_error_with_a_status() -> None:
    error = asyncio.run(_html_page())
    assert error.status == 502
    assert classify(error.trouble).kind is Class.TRANSIENT


async def _html_page() -> AzureError:
    class Page(FakeArm):
        async def handle(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002 -- the parent's signature
            return web.Response(status=502, text="<html>bad gateway</html>", content_type="text/html")

    async with serving_arm(Page(SimulatedAks(Delays()))) as pools:
        with pytest.raises(AzureError) as caught:
            await pools.list()
    return caught.value
