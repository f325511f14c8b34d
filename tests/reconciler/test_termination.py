"""Karpenter's suites of termination, case by case, and where ours is stricter: what ends leaves nothing that costs."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler import names
from reconciler.azure import AzureError, LostError
from reconciler.duration import format_time
from reconciler.errors import Trouble
from reconciler.kube import GoneError
from tests.reconciler.fake_kube import claim_body, merge
from tests.reconciler.world import DELAYS, SETTINGS, Wire, World, scene


async def until_ready(world: World, patch: dict[str, Any] | None = None, **spec: Any) -> str:
    """The name of its Node."""
    world.kube.claim_store.create(merge(claim_body(**spec), patch or {}))
    await world.until(world.ready)
    return str(world.claim()["status"]["nodeName"])


async def until_gone(world: World, seconds: float = 7200) -> None:
    await world.until(lambda: world.claim_or_none() is None, seconds)
    assert world.pools() == {}
    assert world.kube.node_store.items == {}


async def stays_until_detached(world: World) -> None:
    """The machine of a deleted claim, which volumes are attached to."""
    world.kube.claim_store.delete("ws1")
    await asyncio.sleep(300)
    assert world.pools()["ws1"].state == "Succeeded"
    world.kube.attachments = []
    await until_gone(world, 200)


def a_pod(world: World, name: str, node: str, **spec: Any) -> dict[str, Any]:
    pod = {
        "metadata": {"name": name, "namespace": "team-a", "uid": f"pod-{name}"},
        "spec": {"nodeName": node, **spec},
        "status": {"phase": "Running"},
    }
    world.kube.pods[name] = pod
    return pod


def test_should_delete_the_node_and_the_instance() -> None:
    async def test(world: World) -> None:
        await until_ready(world)
        world.kube.claim_store.delete("ws1")
        await until_gone(world, 120)

    scene(test)


def test_should_keep_the_finalizer_while_the_instance_exists() -> None:
    async def test(world: World) -> None:
        await until_ready(world)
        world.kube.claim_store.delete("ws1")
        while "ws1" in world.pools():
            assert names.TERMINATION_FINALIZER in world.claim()["metadata"]["finalizers"]
            await asyncio.sleep(1)
        await until_gone(world, 30)

    scene(test)


def test_should_call_delete_even_if_the_claim_was_never_launched() -> None:
    """Karpenter's own suite demands the opposite: that is the leak."""

    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.aks.puts)
        assert "providerID" not in (world.claim().get("status") or {})
        world.kube.claim_store.delete("ws1")
        await until_gone(world, 300)
        assert "azure.delete" in world.processes[0].wire.calls

    scene(test)


def test_should_let_a_claim_go_that_never_had_a_pool() -> None:
    async def test(world: World) -> None:
        world.aks.state = replace(world.aks.state, power="Stopped")
        world.kube.claim_store.create(claim_body())
        await asyncio.sleep(10)
        world.kube.claim_store.delete("ws1")
        await until_gone(world, 120)
        assert world.aks.puts == []

    scene(test)


@pytest.mark.parametrize("error", [AzureError(Trouble("InternalServerError", "oops"), 500), LostError("no answer")])
def test_should_retry_a_delete_that_failed(error: Exception) -> None:
    async def test(world: World) -> None:
        failing = [error] * 3
        wire = Wire(before_call=lambda name: _raise(failing) if name == "azure.delete" and failing else None)
        world.launch(wire)
        await until_ready(world)
        world.kube.claim_store.delete("ws1")
        await until_gone(world, 400)
        assert wire.calls.count("azure.delete") == 4

    scene(test, start=False)


def _raise(failing: list[Exception]) -> None:
    raise failing.pop()


def test_should_wait_while_another_operation_runs() -> None:
    async def test(world: World) -> None:
        busy = AzureError(Trouble("OperationNotAllowed", "Another agentpool operation is in progress"), 409)
        failing: list[Exception] = [busy] * 3
        wire = Wire(before_call=lambda name: _raise(failing) if name == "azure.delete" and failing else None)
        world.launch(wire)
        await until_ready(world)
        world.kube.claim_store.delete("ws1")
        began = world.now()
        await until_gone(world, 400)
        assert world.now() - began >= timedelta(seconds=30)

    scene(test, start=False)


def test_should_not_depend_on_a_status_that_can_be_written() -> None:
    """Claims of KAITO before 0.6 have no node class group, and every write of their status is refused."""

    async def test(world: World) -> None:
        node = await until_ready(world)
        a_pod(world, "held", node)
        world.kube.blocked.add("held")
        world.kube.status_refused = True
        world.kube.claim_store.delete("ws1")
        await asyncio.sleep(60)
        world.kube.blocked.clear()
        await until_gone(world, 300)

    scene(test)


def test_should_drain_before_the_instance_is_deleted() -> None:
    async def test(world: World) -> None:
        node = await until_ready(world)
        a_pod(world, "web", node)
        world.kube.claim_store.delete("ws1")
        await until_gone(world, 200)
        calls = world.processes[0].wire.calls
        assert calls.index("kube.evict") < calls.index("azure.delete")

    scene(test)


def test_should_taint_the_node_and_take_it_from_the_balancers_first() -> None:
    async def test(world: World) -> None:
        node = await until_ready(world)
        a_pod(world, "held", node)
        world.kube.blocked.add("held")
        world.kube.claim_store.delete("ws1")
        await asyncio.sleep(130)
        body = world.kube.node_store.items[node]
        assert {"key": names.DISRUPTED_TAINT, "effect": "NoSchedule"} in body["spec"]["taints"]
        assert names.EXCLUDE_BALANCERS_LABEL in body["metadata"]["labels"]
        assert world.conditions()[names.DRAINED] == ("False", "Draining")

    scene(test)


def test_should_wait_for_a_disruption_budget_without_a_grace_period() -> None:
    async def test(world: World) -> None:
        node = await until_ready(world)
        a_pod(world, "held", node)
        world.kube.blocked.add("held")
        world.kube.claim_store.delete("ws1")
        await asyncio.sleep(1800)
        assert "held" in world.kube.pods
        assert world.pools()["ws1"].state == "Succeeded"
        world.kube.blocked.clear()
        await until_gone(world, 200)

    scene(test)


def test_should_override_a_disruption_budget_when_the_grace_period_ends() -> None:
    async def test(world: World) -> None:
        node = await until_ready(world, terminationGracePeriod="10m")
        a_pod(world, "held", node)
        world.kube.blocked.add("held")
        world.kube.claim_store.delete("ws1")
        await asyncio.sleep(540)
        assert "held" in world.kube.pods
        await world.until(lambda: "held" not in world.kube.pods, 60)
        await until_gone(world, 200)

    scene(test)


def test_should_stamp_the_deadline_once_and_never_change_it() -> None:
    async def test(world: World) -> None:
        node = await until_ready(world, terminationGracePeriod="1h")
        a_pod(world, "held", node)
        world.kube.blocked.add("held")
        world.kube.claim_store.delete("ws1")
        expected = format_time(world.now() + timedelta(hours=1))
        stamps = set()
        for _ in range(60):
            await asyncio.sleep(20)
            stamps.add(world.claim()["metadata"]["annotations"].get(names.TERMINATION_ANNOTATION))
        assert stamps == {expected}

    scene(test)


def test_should_keep_to_a_deadline_that_somebody_stamped_before() -> None:
    async def test(world: World) -> None:
        soon = format_time(world.now() + timedelta(minutes=10))
        node = await until_ready(
            world, {"metadata": {"annotations": {names.TERMINATION_ANNOTATION: soon}}}, terminationGracePeriod="24h"
        )
        a_pod(world, "held", node)
        world.kube.blocked.add("held")
        world.kube.claim_store.delete("ws1")
        await until_gone(world, 700)

    scene(test)


def test_should_evict_in_order_of_criticality() -> None:
    async def test(world: World) -> None:
        node = await until_ready(world)
        daemon = [{"kind": "DaemonSet", "name": "d"}]
        critical = {"priorityClassName": "system-node-critical"}
        a_pod(world, "critical-daemon", node, **critical)["metadata"]["ownerReferences"] = daemon
        a_pod(world, "critical", node, **critical)
        a_pod(world, "daemon", node)["metadata"]["ownerReferences"] = daemon
        a_pod(world, "plain", node)
        order: list[str] = []
        evict = world.kube.evict

        async def recorded(pod: dict[str, Any]) -> None:
            order.append(pod["metadata"]["name"])
            await evict(pod)

        world.kube.evict = recorded  # type: ignore[method-assign] # to see the order
        world.kube.claim_store.delete("ws1")
        await until_gone(world, 300)
        assert order == ["plain", "daemon", "critical", "critical-daemon"]

    scene(test)


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}},
        {"metadata": {"ownerReferences": [{"kind": "Node", "name": "n"}]}},
        {"status": {"phase": "Succeeded"}},
        {"status": {"phase": "Failed"}},
        {"spec": {"tolerations": [{"operator": "Exists"}]}},
        {"spec": {"tolerations": [{"key": names.DISRUPTED_TAINT, "operator": "Exists", "effect": "NoSchedule"}]}},
        {"metadata": {"deletionTimestamp": "2025-12-31T23:00:00Z"}},
    ],
    ids=["mirror", "static", "succeeded", "failed", "tolerates-all", "tolerates-ours", "stuck-terminating"],
)
def test_should_not_wait_for_pods_that_stay_anyway(change: dict[str, Any]) -> None:
    async def test(world: World) -> None:
        node = await until_ready(world)
        world.kube.pods["stays"] = merge(a_pod(world, "stays", node), change)
        world.kube.claim_store.delete("ws1")
        await until_gone(world, 120)
        assert "stays" in world.kube.pods

    scene(test)


def test_should_wait_for_volumes_of_a_living_node() -> None:
    async def test(world: World) -> None:
        node = await until_ready(world)
        world.kube.attachments = [{"metadata": {"name": "v"}, "spec": {"nodeName": node}}]
        await stays_until_detached(world)

    scene(test)


TOLERANT = {"tolerations": [{"key": names.DISRUPTED_TAINT, "operator": "Exists"}]}
BY_NAME = {"name": "data", "persistentVolumeClaim": {"claimName": "agent-data"}}
MADE_FOR_IT = {"name": "data", "ephemeral": {"volumeClaimTemplate": {}}}


@pytest.mark.parametrize(
    ("pod", "claim", "waits"),
    [
        ({**TOLERANT, "volumes": [BY_NAME]}, "agent-data", False),
        ({**TOLERANT, "volumes": [MADE_FOR_IT]}, "agent-data", False),
        ({**TOLERANT, "volumes": [{"name": "tmp", "emptyDir": {}}]}, "agent-data", True),
        ({**TOLERANT, "volumes": [BY_NAME]}, "weights", True),
        ({"volumes": [BY_NAME]}, "agent-data", True),
    ],
    ids=["a pod that stays", "a volume made for it", "no volume of its own", "another's volume", "a pod that left"],
)
def test_should_not_wait_for_volumes_of_pods_that_stay(pod: dict[str, Any], claim: str, waits: bool) -> None:
    """Nobody would ever detach them: a DaemonSet's pod that tolerates every taint lives as long as its machine."""

    async def test(world: World) -> None:
        node = await until_ready(world)
        a_pod(world, "agent", node, **pod)
        spec = {"nodeName": node, "source": {"persistentVolumeName": "v"}}
        world.kube.attachments = [{"metadata": {"name": "a"}, "spec": spec}]
        world.kube.volumes["v"] = {"spec": {"claimRef": {"namespace": "team-a", "name": claim}}}
        world.kube.claim_store.delete("ws1")
        await asyncio.sleep(300)
        assert (world.claim_or_none() is not None) == waits
        world.kube.attachments = []
        await until_gone(world, 300)

    scene(test)


def test_should_wait_for_a_volume_that_cannot_be_read() -> None:
    async def test(world: World) -> None:
        node = await until_ready(world)
        a_pod(world, "agent", node, **TOLERANT, volumes=[BY_NAME])
        world.kube.attachments = [{"metadata": {"name": "a"}, "spec": {"nodeName": node, "source": {}}}]
        await stays_until_detached(world)

    scene(test)


def test_should_not_wait_for_volumes_of_a_dead_node() -> None:
    async def test(world: World) -> None:
        node = await until_ready(world)
        world.kube.attachments = [{"metadata": {"name": "v"}, "spec": {"nodeName": node}}]
        world.kube.node_store.patch(node, "", {"status": {"conditions": []}})
        world.kube.claim_store.delete("ws1")
        await until_gone(world, 200)

    scene(test)


def test_should_delete_every_node_of_the_claim() -> None:
    async def test(world: World) -> None:
        node = await until_ready(world)
        twin = merge(world.kube.node_store.items[node], {"metadata": {"name": "twin"}})
        world.kube.node_store.create(twin)
        world.kube.claim_store.delete("ws1")
        await until_gone(world, 300)

    scene(test)


def test_should_end_the_claim_whose_node_is_deleted() -> None:
    async def test(world: World) -> None:
        node = await until_ready(world)
        await asyncio.sleep(900)
        a_pod(world, "web", node)
        world.kube.node_store.delete(node)
        await until_gone(world, 300)
        calls = world.processes[0].wire.calls
        assert calls.index("kube.evict") < calls.index("azure.delete")

    scene(test)


def test_should_not_end_the_claim_whose_node_is_replaced_by_an_upgrade() -> None:
    async def test(world: World) -> None:
        old = await until_ready(world)
        await asyncio.sleep(900)
        world.aks.upgrade("ws1")
        await asyncio.sleep(60)
        assert world.claim()["status"]["nodeName"] == old
        world.aks.finish_upgrade("ws1")
        await world.until(lambda: world.claim()["status"]["nodeName"] != old, 60)
        await world.until(world.ready, 60)
        assert list(world.kube.node_store.items) == [world.claim()["status"]["nodeName"]]
        await asyncio.sleep(1800)
        assert world.ready()
        assert world.aks.puts == ["ws1"]

    scene(test)


def test_should_not_end_claims_while_the_cluster_stops_and_starts() -> None:
    async def test(world: World) -> None:
        node = await until_ready(world)
        await asyncio.sleep(900)
        world.aks.state = replace(world.aks.state, power="Stopped", state="Stopping")
        world.aks.edit("ws1", power="Stopped")
        await asyncio.sleep(301)
        world.kube.node_store.delete(node)
        await asyncio.sleep(5)
        with pytest.raises(GoneError):
            world.kube.node_store.get(node)
        await asyncio.sleep(3600)
        assert "deletionTimestamp" not in world.claim()["metadata"]
        assert world.pools()["ws1"].state == "Succeeded"

    scene(test)


def test_should_expire_a_claim_that_is_too_old() -> None:
    async def test(world: World) -> None:
        await until_ready(world, expireAfter="2h")
        await asyncio.sleep(6900)
        assert world.claim_or_none() is not None
        await until_gone(world, 700)
        assert "Expired" in [each["reason"] for each in world.kube.events]

    scene(test)


@pytest.mark.slow
def test_should_never_expire_what_says_never() -> None:
    async def test(world: World) -> None:
        await until_ready(world, expireAfter="Never")
        world.machines.period = 3600.0
        await asyncio.sleep(31 * 86400)
        assert world.ready()

    scene(test, replace(SETTINGS, list_period=3600.0, idle_period=3600.0, sweep_period=1e9))


def test_should_end_the_claim_whose_pool_somebody_deleted() -> None:
    async def test(world: World) -> None:
        await until_ready(world)
        await asyncio.sleep(900)
        world.aks.remove("ws1")
        await until_gone(world, 300)
        assert world.aks.puts == ["ws1"]

    scene(test)


def test_should_not_believe_that_the_pool_of_a_ready_node_is_gone() -> None:
    async def test(world: World) -> None:
        await until_ready(world)
        await asyncio.sleep(900)
        record = world.aks._records.pop("ws1")
        world.aks.machines = lambda: list(record.machines)  # type: ignore[method-assign] # a LIST that is wrong
        await asyncio.sleep(1800)
        assert "deletionTimestamp" not in world.claim()["metadata"]
        world.aks._records["ws1"] = record
        await world.until(world.ready, 300)

    scene(test)


def test_should_make_a_pool_again_that_aks_deleted_before_it_was_done() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: "ws1" in world.pools())
        await asyncio.sleep(40)
        world.aks.remove("ws1")
        await world.until(world.ready, 600)
        assert world.aks.puts == ["ws1", "ws1"]

    scene(test)


def test_a_claim_made_again_under_the_same_name_never_inherits_the_pool() -> None:
    async def test(world: World) -> None:
        await until_ready(world)
        first = world.pools()["ws1"].uid
        for process in world.processes:
            await process.kill()
        world.kube.claim_store.patch("ws1", "", {"metadata": {"finalizers": []}})
        world.kube.claim_store.delete("ws1")
        world.kube.claim_store.create(claim_body())
        world.launch()
        await world.until(lambda: world.conditions().get(names.LAUNCHED) == ("Unknown", "FormerNodePool"), 60)
        await world.until(world.ready, 600)
        assert world.pools()["ws1"].uid == world.claim()["metadata"]["uid"] != first
        assert world.aks.puts == ["ws1", "ws1"]

    scene(test)


def test_a_finalizer_of_somebody_else_is_left_alone() -> None:
    async def test(world: World) -> None:
        await until_ready(world, {"metadata": {"finalizers": ["other.example/wait"]}})
        world.kube.claim_store.delete("ws1")
        await world.until(lambda: "ws1" not in world.pools(), 300)
        await asyncio.sleep(300)
        assert world.claim()["metadata"]["finalizers"] == ["other.example/wait"]

    scene(test)


def test_a_pool_that_aks_fails_to_delete_is_deleted_again() -> None:
    async def test(world: World) -> None:
        await until_ready(world)
        world.kube.claim_store.delete("ws1")
        await world.until(lambda: world.pools()["ws1"].state == "Deleting", 60)
        record = world.aks._records["ws1"]
        record.ends = None
        world.aks.edit("ws1", state="Failed", error=Trouble("InternalOperationError", "oops"))
        await until_gone(world, 300)

    scene(test)


REPAIR = replace(SETTINGS, repair_after=timedelta(minutes=10))


def break_nodes(world: World, *names_: str) -> None:
    for name in names_:
        broken = {"type": "Ready", "status": "Unknown", "lastTransitionTime": format_time(world.now())}
        world.kube.node_store.patch(name, "", {"status": {"conditions": [broken]}})


def test_should_repair_a_node_that_is_broken_for_ten_minutes() -> None:
    async def test(world: World) -> None:
        node = await until_ready(world)
        a_pod(world, "lost", node)
        world.kube.blocked.add("lost")
        await asyncio.sleep(900)
        break_nodes(world, node)
        await asyncio.sleep(590)
        assert "deletionTimestamp" not in world.claim()["metadata"]
        await until_gone(world, 1000)

    scene(test, REPAIR)


def test_should_not_repair_while_more_than_a_fifth_of_the_nodes_are_broken() -> None:
    async def test(world: World) -> None:
        for number in range(5):
            world.kube.claim_store.create(claim_body(f"ws{number}"))
        await world.until(lambda: all(world.ready(f"ws{number}") for number in range(5)))
        await asyncio.sleep(900)
        break_nodes(world, *list(world.kube.node_store.items)[:3])
        await asyncio.sleep(7200)
        assert len(world.pools()) == 5
        assert not any("deletionTimestamp" in each["metadata"] for each in world.kube.claim_store.items.values())

    scene(test, REPAIR)


def test_should_not_repair_a_node_that_recovers() -> None:
    async def test(world: World) -> None:
        node = await until_ready(world)
        await asyncio.sleep(900)
        break_nodes(world, node)
        await asyncio.sleep(500)
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": format_time(world.now())}
        world.kube.node_store.patch(node, "", {"status": {"conditions": [ready]}})
        await asyncio.sleep(3600)
        assert world.ready()

    scene(test, REPAIR)


def test_should_not_repair_during_an_upgrade_or_where_it_is_switched_off() -> None:
    async def test(world: World) -> None:
        node = await until_ready(world)
        await asyncio.sleep(900)
        world.aks.edit("ws1", state="UpgradingNodeImageVersion")
        break_nodes(world, node)
        await asyncio.sleep(3600)
        assert "deletionTimestamp" not in world.claim()["metadata"]

    scene(test, REPAIR)
    scene(_broken_for_an_hour, replace(REPAIR, node_repair=False))


async def _broken_for_an_hour(world: World) -> None:
    node = await until_ready(world)
    await asyncio.sleep(900)
    break_nodes(world, node)
    await asyncio.sleep(3600)
    assert "deletionTimestamp" not in world.claim()["metadata"]


def test_parallel_deletes_do_not_disturb_each_other() -> None:
    async def test(world: World) -> None:
        for number in range(8):
            world.kube.claim_store.create(claim_body(f"ws{number}"))
        await world.until(lambda: all(world.ready(f"ws{number}") for number in range(8)))
        for number in range(8):
            world.kube.claim_store.delete(f"ws{number}")
        await world.until(lambda: not world.kube.claim_store.items, 300)
        assert world.pools() == {}

    scene(test, delays=replace(DELAYS, delete=20.0))
