"""Karpenter's suites `nodeclaim/lifecycle`, case by case: what is true of a claim from its first sight to `Ready`."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler import names
from reconciler.conditions import MESSAGE_LIMIT
from reconciler.duration import format_time
from reconciler.errors import Trouble
from reconciler.node import Node
from tests.reconciler.fake_kube import claim_body, merge
from tests.reconciler.world import DELAYS, SETTINGS, World, scene

QUOTA = Trouble("OperationNotAllowed", "exceeding approved standardNCADSA100v4Family Cores quota. Current Limit: 24")
CAPACITY = Trouble("AllocationFailed", "no machine")


def the_node(world: World) -> Node:
    (body,) = world.kube.node_store.items.values()
    return Node(body)


def edit_node(world: World, patch: dict[str, Any]) -> None:
    world.kube.node_store.patch(the_node(world).name, "", patch)


async def until_ready(world: World, patch: dict[str, Any] | None = None, **spec: Any) -> None:
    world.kube.claim_store.create(merge(claim_body(**spec), patch or {}))
    await world.until(world.ready)


def test_should_add_the_finalizer_before_anything_that_costs_money() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.aks.puts)
        calls = world.processes[0].wire.calls
        assert calls.index("kube.patch_claim") < calls.index("kube.read_claim") < calls.index("azure.create")
        assert names.TERMINATION_FINALIZER in world.claim()["metadata"]["finalizers"]

    scene(test)


def foreign(**fields: Any) -> dict[str, Any]:
    body = claim_body()
    body["spec"]["nodeClassRef"] = {"group": "karpenter.azure.com", "kind": "AKSNodeClass", "name": "default"}
    body["metadata"]["labels"] = fields
    return body


def test_should_ignore_a_claim_of_another_node_class() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(foreign())
        await asyncio.sleep(900)
        assert "finalizers" not in world.claim()["metadata"]
        assert "status" not in world.claim()
        assert world.aks.puts == []

    scene(test)


@pytest.mark.parametrize("label", names.KAITO_LABELS)
def test_should_take_a_claim_of_another_node_class_with_kaito_s_label(label: str) -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(foreign(**{label: "phi"}))
        await world.until(world.ready)

    scene(test)


def test_should_launch_once_and_one_node_per_claim() -> None:
    async def test(world: World) -> None:
        for number in range(5):
            world.kube.claim_store.create(claim_body(f"ws{number}"))
        await world.until(lambda: all(world.ready(f"ws{number}") for number in range(5)))
        assert sorted(world.aks.puts) == [f"ws{number}" for number in range(5)]
        assert len(world.kube.node_store.items) == 5

    scene(test)


def test_should_set_launched_registered_initialized_and_ready() -> None:
    async def test(world: World) -> None:
        await until_ready(world)
        for kind in (*names.LIVING, names.READY):
            assert world.conditions()[kind] == ("True", kind)
            assert world.message(kind=kind) == ""
        conditions = world.claim()["status"]["conditions"]
        assert {each["observedGeneration"] for each in conditions} == {1}
        assert all(each["lastTransitionTime"] for each in conditions)

    scene(test)


def test_should_say_creating_while_the_pool_is_made() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.conditions().get(names.LAUNCHED) == ("Unknown", "Creating"))
        assert world.message() == "node pool `ws1` of size `Standard_NC24ads_A100_v4` is being created"

    scene(test)


def test_should_fill_the_status_that_kaito_reads() -> None:
    async def test(world: World) -> None:
        await until_ready(world)
        node, status = the_node(world), world.claim()["status"]
        assert status["nodeName"] == node.name
        assert status["providerID"] == node.provider_id
        assert status["capacity"]["nvidia.com/gpu"] == "1"
        assert status["allocatable"] == node.status["allocatable"]

    scene(test)


def test_should_sync_labels_annotations_and_taints_to_the_node() -> None:
    async def test(world: World) -> None:
        await until_ready(world, {"metadata": {"annotations": {"team": "ml"}, "labels": {"app": "phi"}}})
        node = the_node(world)
        claim = world.claim()["metadata"]
        assert claim["labels"].items() <= node.labels.items()
        assert node.annotations["team"] == "ml"
        assert node.labels[names.REGISTERED_LABEL] == "true"
        assert node.labels[names.INITIALIZED_LABEL] == "true"
        assert node.labels[names.NODEPOOL_LABEL] == "kaito"
        assert node.has_taint("sku", "NoSchedule")
        assert node.held

    scene(test)


def test_should_add_the_owner_reference_once() -> None:
    async def test(world: World) -> None:
        await until_ready(world)
        await asyncio.sleep(1200)
        (owner,) = the_node(world).owners
        assert (owner["kind"], owner["name"], owner["uid"]) == ("NodeClaim", "ws1", world.claim()["metadata"]["uid"])
        assert owner["blockOwnerDeletion"] is True

    scene(test)


def test_should_remove_the_unregistered_taint() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.kube.node_store.items)
        edit_node(world, {"spec": {"taints": [{"key": names.UNREGISTERED_TAINT, "effect": "NoExecute"}]}})
        edit_node(world, {"metadata": {"labels": {names.REGISTERED_LABEL: None}}})
        await world.until(world.ready)
        assert not the_node(world).has_taint(names.UNREGISTERED_TAINT, "NoExecute")
        assert the_node(world).has_taint("sku", "NoSchedule")

    scene(test)


def test_should_not_sync_taints_where_the_node_says_so() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.kube.node_store.items)
        labels = {names.DO_NOT_SYNC_TAINTS_LABEL: "true", names.REGISTERED_LABEL: None}
        edit_node(world, {"metadata": {"labels": labels}, "spec": {"taints": []}})
        await world.until(world.ready)
        assert the_node(world).taints == ()

    scene(test)


STARTUP = {"key": "cilium", "value": "wait", "effect": "NoExecute"}


def test_should_wait_for_start_up_taints_and_not_add_them_again() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body(startupTaints=[STARTUP]))
        await world.until(lambda: world.conditions().get(names.INITIALIZED) == ("Unknown", "StartupTaintsExist"))
        kept = [each for each in the_node(world).taints if each["key"] != "cilium"]
        edit_node(world, {"spec": {"taints": kept}})
        await world.until(world.ready, 5)
        await asyncio.sleep(1200)
        assert not the_node(world).has_taint("cilium", "NoExecute")

    scene(test)


def test_should_not_initialize_while_the_node_is_not_ready() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.conditions().get(names.INITIALIZED) == ("Unknown", "NodeNotReady"))
        assert the_node(world).name in world.message(kind=names.INITIALIZED)
        assert world.conditions()[names.REGISTERED] == ("True", "Registered")
        await world.until(world.ready, 120)

    scene(test, delays=replace(DELAYS, ready=150.0))


@pytest.mark.parametrize(
    ("key", "effect"),
    [
        ("node.kubernetes.io/not-ready", "NoSchedule"),
        ("node.kubernetes.io/unreachable", "NoSchedule"),
        ("node.cloudprovider.kubernetes.io/uninitialized", "NoSchedule"),
    ],
)
def test_should_not_initialize_while_an_ephemeral_taint_is_there(key: str, effect: str) -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.kube.node_store.items)
        edit_node(world, {"spec": {"taints": [{"key": key, "effect": effect}]}})
        await world.until(lambda: world.conditions()[names.INITIALIZED] == ("Unknown", "KnownEphemeralTaintsExist"))
        edit_node(world, {"spec": {"taints": []}})
        await world.until(world.ready, 5)

    scene(test)


def test_should_not_initialize_before_the_gpu_is_allocatable() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.kube.node_store.items)
        edit_node(world, {"status": {"allocatable": {names.NVIDIA_GPU: "0"}}})
        world.machines._nodes[the_node(world).name] = True
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": format_time(world.now())}
        edit_node(world, {"status": {"conditions": [ready]}})
        await world.until(lambda: world.conditions()[names.INITIALIZED] == ("Unknown", "ResourceNotRegistered"))
        assert names.NVIDIA_GPU in world.message(kind=names.INITIALIZED)
        edit_node(world, {"status": {"allocatable": {names.NVIDIA_GPU: "1"}}})
        await world.until(world.ready, 5)

    scene(test)


def test_should_not_initialize_before_a_requested_resource_is_allocatable_but_never_ask_for_storage() -> None:
    async def test(world: World) -> None:
        resources = {"requests": {"storage": "100Gi", "vendor.example/card": "1"}}
        world.kube.claim_store.create(claim_body(resources=resources))
        await world.until(lambda: world.conditions().get(names.INITIALIZED) == ("Unknown", "ResourceNotRegistered"))
        assert "vendor.example/card" in world.message(kind=names.INITIALIZED)
        edit_node(world, {"status": {"allocatable": {"vendor.example/card": "2"}}})
        await world.until(world.ready, 5)

    scene(test)


def test_a_cpu_size_is_initialized_without_a_gpu() -> None:
    async def test(world: World) -> None:
        await until_ready(world, size="Standard_D16s_v5")
        assert the_node(world).labels[names.MACHINE_TYPE_LABEL] == "cpu"
        assert names.NVIDIA_GPU not in the_node(world).status["allocatable"]

    scene(test)


def test_a_gpu_size_without_a_driver_is_initialized_without_its_gpu() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.kube.node_store.items)
        edit_node(world, {"status": {"allocatable": {names.NVIDIA_GPU: "0"}}})
        world.machines._nodes[the_node(world).name] = True
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": format_time(world.now())}
        edit_node(world, {"status": {"conditions": [ready]}})
        await world.until(world.ready, 10)

    scene(test, replace(SETTINGS, gpu_driver="None"))


def test_should_surface_the_reason_and_message_of_a_refused_creation() -> None:
    async def test(world: World) -> None:
        world.aks.refuse = lambda _pool: QUOTA
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.conditions().get(names.LAUNCHED) == ("False", "FamilyQuotaExceeded"))
        message = world.message()
        assert "all requested instance types were unavailable during launch" in message
        assert "ask for more in the subscription's quotas" in message
        assert len(message) <= MESSAGE_LIMIT
        assert world.conditions()[names.READY] == ("False", "UnhealthyDependents")

    scene(test)


def test_should_delete_the_claim_that_has_no_capacity_only_after_the_launch_timeout() -> None:
    async def test(world: World) -> None:
        world.aks.refuse = lambda _pool: CAPACITY
        world.kube.claim_store.create(claim_body())
        await asyncio.sleep(290)
        assert world.claim_or_none() is not None
        await world.until(lambda: world.claim_or_none() is None, 60)
        reasons = [each["reason"] for each in world.kube.events]
        assert reasons == ["AllocationFailed", "LaunchTimeout"]
        assert world.processes[0].wire.calls.count("azure.create") == 1

    scene(test)


def test_should_measure_the_launch_timeout_from_the_transition_and_not_from_creation() -> None:
    async def test(world: World) -> None:
        world.aks.limit = 1
        world.aks.refuse = lambda _pool: CAPACITY
        world.aks.state = replace(world.aks.state, power="Stopped")
        world.kube.claim_store.create(claim_body())
        await asyncio.sleep(3600)
        assert world.conditions()[names.LAUNCHED] == ("Unknown", "ClusterNotReady")
        world.aks.state = replace(world.aks.state, power="Running")
        world.aks.limit = 100
        await world.until(lambda: world.conditions()[names.LAUNCHED][0] == "False", 400)
        await asyncio.sleep(280)
        assert world.claim_or_none() is not None
        await world.until(lambda: world.claim_or_none() is None, 60)

    scene(test)


def test_should_delete_the_claim_whose_node_never_registers_after_the_timeout() -> None:
    async def test(world: World) -> None:
        await until_ready(world)
        world.kube.claim_store.delete("ws1")
        await world.until(lambda: world.claim_or_none() is None)
        world.machines.writer.create_node = _nothing  # type: ignore[method-assign, assignment] # its kubelet never starts
        world.kube.claim_store.create(claim_body("ws2"))
        await world.until(lambda: world.conditions("ws2").get(names.LAUNCHED) == ("True", "Launched"))
        began = world.now()
        assert world.conditions("ws2")[names.REGISTERED] == ("Unknown", "NodeNotFound")
        gone = {"metadata": "deletionTimestamp"}
        await world.until(lambda: "deletionTimestamp" in (world.claim_or_none("ws2") or gone)["metadata"])
        assert timedelta(minutes=14, seconds=45) <= world.now() - began <= timedelta(minutes=17)
        await world.until(lambda: world.claim_or_none("ws2") is None)
        assert world.pools() == {}

    scene(test)


async def _nothing(_body: Any) -> None:
    return


def test_should_wait_longer_for_a_pool_that_is_being_made_than_for_one_that_is_refused() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await asyncio.sleep(2300)
        assert world.conditions()[names.LAUNCHED] == ("Unknown", "Creating")
        await world.until(lambda: world.conditions()[names.LAUNCHED] == ("False", "CreateTimeout"), 200)
        await world.until(lambda: world.aks.puts.count("ws1") == 2, 400)

    scene(test, delays=replace(DELAYS, create=1e6))
