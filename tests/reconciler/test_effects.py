"""What if the world changes between a decision and its effect, or one request of an effect is refused?"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler import names
from reconciler.azure import AzureError, LostError
from reconciler.decide.action import Decision, DeletePool
from reconciler.errors import Trouble
from reconciler.kube import ConflictError, GoneError, KubeError
from reconciler.nodeclaim import Claim
from tests.reconciler.fake_kube import claim_body, merge
from tests.reconciler.world import DELAYS, SETTINGS, Wire, World, scene


def failing(call: str, *errors: Exception) -> Wire:
    """The first calls of a name fail, one error each, before they reach anybody."""
    left = list(errors)

    def fail(name: str) -> None:
        if name == call and left:
            raise left.pop(0)

    return Wire(before_call=fail)


def interrupted(call: str, deed: Callable[[], object]) -> Wire:
    """The world changes right before the first call of a name."""
    left = [deed]

    def change(name: str) -> None:
        if name == call and left:
            left.pop()()

    return Wire(before_call=change)


def refusal(status: int, code: str, **more: Any) -> AzureError:
    return AzureError(Trouble(code, "as the test asks"), status, **more)


async def ready_with(world: World, wire: Wire) -> str:
    """A claim that got ready although a call failed; the name of its Node."""
    world.launch(wire)
    world.kube.claim_store.create(claim_body())
    await world.until(world.ready)
    return str(world.claim()["status"]["nodeName"])


async def gone(world: World, seconds: float = 600) -> None:
    await world.until(lambda: world.claim_or_none() is None, seconds)
    assert world.pools() == {}
    assert world.kube.node_store.items == {}


def a_pod(world: World, name: str, node: str, **spec: Any) -> None:
    metadata = {"name": name, "namespace": "team-a", "uid": f"pod-{name}"}
    world.kube.pods[name] = {
        "metadata": metadata,
        "spec": {"nodeName": node, **spec},
        "status": {"phase": "Running"},
    }


def test_a_claim_that_is_deleted_as_its_pool_is_about_to_be_asked_for_gets_none() -> None:
    async def test(world: World) -> None:
        world.launch(interrupted("kube.read_claim", lambda: world.kube.claim_store.delete("ws1")))
        world.kube.claim_store.create(claim_body())
        await gone(world)
        assert world.aks.puts == []

    scene(test, start=False)


def test_a_claim_that_is_made_again_as_its_pool_is_about_to_be_asked_for_gets_one_of_its_own() -> None:
    async def test(world: World) -> None:
        def again() -> None:
            world.kube.claim_store.patch("ws1", "", {"metadata": {"finalizers": []}})
            world.kube.claim_store.delete("ws1")
            world.kube.claim_store.create(claim_body())

        await ready_with(world, interrupted("kube.read_claim", again))
        assert [pool.uid for pool in world.ours()] == [world.claim()["metadata"]["uid"]]
        assert world.aks.puts == ["ws1"]

    scene(test, start=False)


@pytest.mark.parametrize(
    "errors",
    [
        [LostError("no answer")] * 2,
        [refusal(412, "PreconditionFailed")],
        [refusal(429, "Throttled", retry_after=20)],
        [refusal(429, "Throttled", retry_after=5)],
        [refusal(429, "Throttled")],
        [refusal(409, "OperationNotAllowed")] * 2,
        [refusal(500, "InternalServerError")] * 3,
        [refusal(403, "AuthorizationFailed")] * 2,
        [refusal(401, "CredentialUnavailable")] * 2,
    ],
    ids=lambda errors: f"{type(errors[0]).__name__}-{getattr(errors[0], 'status', '')}",
)
def test_should_ask_again_for_a_pool_that_was_refused_for_a_while(errors: list[AzureError | LostError]) -> None:
    async def test(world: World) -> None:
        wire = failing("azure.create", *errors)
        await ready_with(world, wire)
        assert wire.calls.count("azure.create") == len(errors) + 1
        assert world.aks.puts == ["ws1"]

    scene(test, start=False)


def test_should_wait_as_long_as_azure_says_before_it_asks_again() -> None:
    async def test(world: World) -> None:
        world.launch(failing("azure.create", refusal(429, "Throttled", retry_after=50)))
        world.kube.claim_store.create(claim_body())
        began = world.now()
        await world.until(lambda: world.aks.puts)
        assert timedelta(seconds=50) <= world.now() - began <= timedelta(seconds=75)

    scene(test, start=False)


@pytest.mark.parametrize(
    "error",
    [
        refusal(412, "PreconditionFailed"),
        refusal(429, "Throttled", retry_after=20),
        refusal(429, "Throttled"),
        refusal(409, "OperationNotAllowed"),
        refusal(403, "AuthorizationFailed"),
    ],
    ids=lambda error: f"{error.status}-{error.retry_after}",
)
def test_should_delete_again_what_was_refused_for_a_while(error: AzureError) -> None:
    async def test(world: World) -> None:
        wire = failing("azure.delete", error)
        await ready_with(world, wire)
        world.kube.claim_store.delete("ws1")
        await gone(world)
        assert wire.calls.count("azure.delete") == 2

    scene(test, start=False)


def test_the_pool_of_a_former_claim_that_is_there_after_all_is_not_deleted() -> None:
    """As after a restore: the watch told of a new claim, and a read past the cache still finds the old one."""

    async def test(world: World) -> None:
        wire = Wire()
        await ready_with(world, wire)
        effects, pool = world.processes[0].controller.effects, world.pools()["ws1"]
        imagined = Claim(merge(world.claim(), {"metadata": {"uid": "uid-new"}}))
        with pytest.raises(ConflictError, match="is not gone"):
            await effects.perform(imagined, Decision(DeletePool(pool, pool.uid)))
        assert "azure.delete" not in wire.calls

    scene(test, start=False)


def test_a_pod_that_goes_by_itself_holds_nothing_up() -> None:
    async def test(world: World) -> None:
        gone_already = GoneError("no such pod", 404)
        wire = failing("kube.evict", gone_already)
        node = await ready_with(world, wire)
        a_pod(world, "web", node)
        world.kube.claim_store.delete("ws1")
        await gone(world, 200)
        assert wire.calls.count("kube.evict") == 2

    scene(test, start=False)


def test_a_pod_that_is_gone_when_the_deadline_would_end_it_holds_nothing_up() -> None:
    async def test(world: World) -> None:
        world.launch(failing("kube.delete_pod", GoneError("no such pod", 404)))
        world.kube.claim_store.create(claim_body(terminationGracePeriod="60s"))
        await world.until(world.ready)
        a_pod(world, "web", world.claim()["status"]["nodeName"])
        world.kube.blocked.add("web")
        world.kube.claim_store.delete("ws1")
        await gone(world, 300)

    scene(test, start=False)


def test_a_node_that_goes_as_it_is_to_be_drained_holds_nothing_up() -> None:
    async def test(world: World) -> None:
        node = await ready_with(world, Wire())
        await world.processes[0].kill()
        world.launch(failing("kube.patch_node", GoneError("no such node", 404)))
        a_pod(world, "web", node)
        world.kube.claim_store.delete("ws1")
        await gone(world, 300)

    scene(test, start=False)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("kube.patch_claim", KubeError("the object is invalid", 422)),
        ("kube.patch_claim", ConflictError("changed", 409)),
        ("kube.patch_claim_status", KubeError("the status is invalid", 422)),
        ("kube.patch_claim_status", ConflictError("changed", 409)),
        ("kube.attachments_on", KubeError("not now", 500)),
        ("kube.pods_on", KubeError("not now", 500)),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_what_the_api_server_refuses_of_a_drain_stops_no_deletion(call: str, error: KubeError) -> None:
    async def test(world: World) -> None:
        world.launch()
        world.kube.claim_store.create(claim_body(terminationGracePeriod="240s"))
        await world.until(world.ready)
        await world.processes[0].kill()
        wire = failing(call, error)
        world.launch(wire)
        a_pod(world, "web", world.claim()["status"]["nodeName"])
        world.kube.blocked.add("web")
        world.kube.claim_store.delete("ws1")
        await gone(world, 400)
        assert call in wire.calls

    scene(test, start=False)


def test_a_claim_whose_cluster_is_stopped_is_not_ended_for_its_node() -> None:
    """The cluster is read once more before a claim is ended for what its Node looks like."""

    async def test(world: World) -> None:
        wire = Wire()
        node = await ready_with(world, wire)
        await asyncio.sleep(900)
        looked = wire.calls.count("azure.cluster")
        await world.until(lambda: wire.calls.count("azure.cluster") > looked, 400)
        await asyncio.sleep(70)  # By itself it looks again after five minutes, and not before.
        world.aks.state = replace(world.aks.state, power="Stopped")
        world.kube.node_store.delete(node)
        await asyncio.sleep(30)
        assert wire.calls.count("azure.cluster") == looked + 2
        await asyncio.sleep(600)
        assert "deletionTimestamp" not in world.claim()["metadata"]

    scene(test, start=False)


def test_a_process_without_the_lease_changes_nothing() -> None:
    async def test(world: World) -> None:
        process = world.launch()
        process.controller.may_write = lambda: False
        world.kube.claim_store.create(claim_body())
        await asyncio.sleep(5)
        process.controller.effects.may_write = lambda: False
        await asyncio.sleep(300)
        assert world.aks.puts == []
        process.controller.effects.may_write = lambda: True
        await world.until(world.ready)

    scene(test, start=False)


def test_a_claim_with_two_nodes_waits_for_the_one_that_stays() -> None:
    async def test(world: World) -> None:
        node = await ready_with(world, Wire())
        twin = merge(world.kube.node_store.items[node], {"metadata": {"name": "aks-ws1-twin"}})
        twin["spec"]["providerID"] += "-twin"
        world.kube.node_store.create(twin)
        world.kube.claim_store.patch("ws1", "", {"nodeName": "another"}, "status")
        await world.until(lambda: world.conditions()[names.REGISTERED] == ("False", "MultipleNodesFound"), 300)
        assert "several Nodes belong to node pool `ws1`" in world.message(kind=names.REGISTERED)
        world.kube.node_store.patch("aks-ws1-twin", "", {"metadata": {"finalizers": []}})
        world.kube.node_store.delete("aks-ws1-twin")
        await world.until(world.ready, 300)
        assert world.claim()["status"]["nodeName"] == node

    scene(test, start=False)


def test_a_pool_that_somebody_stopped_is_not_replaced() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.pools().get("ws1") and world.pools()["ws1"].state == "Succeeded")
        world.aks.edit("ws1", power="Stopped")
        await world.until(lambda: world.conditions().get(names.REGISTERED) == ("Unknown", "NodePoolStopped"), 60)
        assert world.message(kind=names.REGISTERED) == "node pool `ws1` is stopped: start it"
        await asyncio.sleep(3600)
        world.aks.edit("ws1", power="Running")
        await world.until(world.ready, 2000)

    scene(
        test, delays=replace(DELAYS, join=1800.0), settings=replace(SETTINGS, registration_timeout=timedelta(hours=2))
    )
