"""Does whoever waits learn what he waits for, and is nobody asked in a loop meanwhile?"""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from reconciler import names
from reconciler.azure import AzureError
from reconciler.desired import Desired
from reconciler.duration import format_time
from reconciler.errors import Trouble
from reconciler.kube import KubeError
from tests.reconciler.fake_kube import claim_body
from tests.reconciler.world import SETTINGS, Wire, World, scene


def refusing(call: str, error: Exception) -> Wire:
    """Every call of a name is refused."""

    def refuse(name: str) -> None:
        if name == call:
            raise error

    return Wire(before_call=refuse)


def denied() -> AzureError:
    return AzureError(Trouble("AuthorizationFailed", "no right"), 403)


def ask(world: World, wire: Wire) -> None:
    """A process over this wire, and a claim."""
    world.launch(wire)
    world.kube.claim_store.create(claim_body())


def told(world: World) -> list[str]:
    return [each["message"] for each in world.kube.events if each["type"] == "Warning"]


def test_a_condition_of_the_request_that_is_never_met_is_told_and_not_asked_for_in_a_loop() -> None:
    """Azure says 412 to each PUT although no LIST shows a pool."""

    async def test(world: World) -> None:
        wire = refusing("azure.create", AzureError(Trouble("PreconditionFailed", "it exists"), 412))
        ask(world, wire)
        await asyncio.sleep(600)
        assert 5 <= wire.calls.count("azure.create") <= 45
        assert world.conditions()[names.LAUNCHED] == ("Unknown", "Conflict")

    scene(test, start=False)


def test_a_claim_says_why_it_waits_while_azure_cannot_be_read() -> None:
    async def test(world: World) -> None:
        wire = refusing("azure.list", denied())
        ask(world, wire)
        await asyncio.sleep(300)
        assert world.conditions()[names.LAUNCHED] == ("Unknown", "AuthorizationFailed")
        assert "lacks a right" in world.message()
        written = len(world.kube.writes)
        await asyncio.sleep(3600)
        assert len(world.kube.writes) == written
        assert wire.calls.count("azure.list") < 100
        wire.before_call = lambda _name: None
        await world.until(world.ready, 600)

    scene(test, start=False)


def test_a_deleted_claim_says_why_it_stays_while_azure_cannot_be_read() -> None:
    async def test(world: World) -> None:
        wire = Wire()
        ask(world, wire)
        await world.until(world.ready)
        wire.before_call = refusing("azure.list", denied()).before_call
        world.kube.claim_store.delete("ws1")
        await asyncio.sleep(900)
        assert world.claim_or_none() is not None
        assert any("lacks a right" in each for each in told(world))

    scene(test, start=False)


def test_a_deleted_claim_says_why_its_pool_is_not_deleted() -> None:
    """A lock on the cluster, for example."""

    async def test(world: World) -> None:
        wire = refusing("azure.delete", AzureError(Trouble("ScopeLocked", "the scope is locked"), 409))
        ask(world, wire)
        await world.until(world.ready)
        world.kube.claim_store.delete("ws1")
        await asyncio.sleep(600)
        assert wire.calls.count("azure.delete") < 30
        assert any("the scope is locked" in each for each in told(world))

    scene(test, start=False)


def test_a_pod_whose_eviction_is_an_error_holds_its_claim_up_and_the_claim_says_so() -> None:
    """Two budgets for one pod: the API server answers 500, and to the others of the Node it would say yes."""

    async def test(world: World) -> None:
        wire = Wire()
        ask(world, wire)
        await world.until(world.ready)
        node = world.claim()["status"]["nodeName"]
        for name in ("a", "b"):
            metadata: dict[str, Any] = {"name": name, "namespace": "default", "uid": name}
            world.kube.pods[name] = {"metadata": metadata, "spec": {"nodeName": node}}
        evict = world.kube.evict

        async def two_budgets(pod: dict[str, Any]) -> None:
            if pod["metadata"]["name"] == "a":
                raise KubeError("this pod has more than one PodDisruptionBudget", 500)
            await evict(pod)

        world.kube.evict = two_budgets  # type: ignore[method-assign]  # the API in memory has no such fault
        world.kube.claim_store.delete("ws1")
        await asyncio.sleep(130)
        assert world.conditions()[names.DRAINED] == ("False", "Draining")
        assert set(world.kube.pods) == {"a"}

    scene(test, start=False)


def test_an_answer_of_a_gateway_does_not_end_what_it_gave_up() -> None:
    """It waits for AKS nearly as long as we do, and what it gave up takes effect later: its claim has to wait."""

    async def test(world: World) -> None:
        create = world.aks.create

        async def slow(pool: Desired) -> None:
            await asyncio.sleep(50)
            world.kube.claim_store.delete("ws1")
            later = asyncio.get_running_loop().create_task(_later(15, create, pool))
            tasks.append(later)
            raise AzureError(Trouble("GatewayTimeout", "no answer in time"), 504)

        tasks: list[asyncio.Task[None]] = []
        world.aks.create = slow  # type: ignore[method-assign]  # the simulated AKS is not so slow
        world.launch()
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: tasks, 120)
        await world.until(lambda: world.claim_or_none() is None, 600)
        await asyncio.sleep(30)
        assert world.aks.puts == ["ws1"]
        assert world.pools() == {}

    scene(test, replace(SETTINGS, sweep_limit=0), start=False)


async def _later(seconds: float, deed: Any, *arguments: Any) -> None:
    await asyncio.sleep(seconds)
    await deed(*arguments)


def test_a_disputed_pool_that_somebody_deletes_keeps_its_claim_until_it_is_gone() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready)
        world.aks.edit("ws1", tags={})
        await asyncio.sleep(60)
        world.kube.claim_store.delete("ws1")
        await asyncio.sleep(60)
        world.aks.edit("ws1", state="Deleting")
        await asyncio.sleep(300)
        world.aks.edit("ws1", state="Failed")
        assert world.claim_or_none() is not None, "nobody would ever hear of a pool that AKS failed to delete"
        world.aks.remove("ws1")
        await world.until(lambda: world.claim_or_none() is None, 300)

    scene(test)


def test_a_deletion_whose_condition_is_never_met_is_told_and_not_asked_for_in_a_loop() -> None:
    """Azure says 412 to each DELETE although the LIST shows the same etag again and again."""

    async def test(world: World) -> None:
        wire = refusing("azure.delete", AzureError(Trouble("PreconditionFailed", "it has changed"), 412))
        ask(world, wire)
        await world.until(world.ready)
        world.kube.claim_store.delete("ws1")
        await asyncio.sleep(600)
        assert 5 <= wire.calls.count("azure.delete") <= 60
        assert any("it has changed" in each for each in told(world))

    scene(test, start=False)


@pytest.mark.parametrize("error", [denied(), ValueError("odd")])
def test_who_may_not_read_the_cluster_still_makes_and_deletes_pools(error: Exception) -> None:
    """One right may be missing, or one answer unreadable; what the others allow goes on."""

    async def test(world: World) -> None:
        wire = refusing("azure.cluster", error)
        ask(world, wire)
        await world.until(world.ready, 400)
        await asyncio.sleep(3600)
        assert wire.calls.count("azure.cluster") <= 80
        world.kube.claim_store.delete("ws1")
        await world.until(lambda: world.claim_or_none() is None, 400)
        assert world.pools() == {}

    scene(test, start=False)


def test_no_claim_is_ended_for_its_node_while_the_cluster_cannot_be_read() -> None:
    """It may be stopped, and then every Node is gone."""

    async def test(world: World) -> None:
        wire = Wire()
        ask(world, wire)
        await world.until(world.ready)
        await asyncio.sleep(1800)
        wire.before_call = refusing("azure.cluster", denied()).before_call
        node = world.claim()["status"]["nodeName"]
        conditions = [{"type": "Ready", "status": "Unknown", "lastTransitionTime": format_time(world.now())}]
        world.kube.node_store.patch(node, "", {"status": {"conditions": conditions}})
        await asyncio.sleep(7200)
        assert world.claim()["metadata"].get("deletionTimestamp") is None
        wire.before_call = lambda _name: None
        await world.until(lambda: len(world.aks.puts) == 1 and world.claim_or_none() is None, 7200)

    scene(test, start=False)


def test_what_nobody_knows_is_asked_for_ever_more_rarely_and_said() -> None:
    async def test(world: World) -> None:
        wire = refusing("azure.create", AzureError(Trouble("SomethingNew", "no idea"), 418))
        ask(world, wire)
        await asyncio.sleep(3600)
        assert 3600 / 300 <= wire.calls.count("azure.create") <= 22
        assert world.conditions()[names.LAUNCHED] == ("Unknown", "LaunchFailed")
        assert "every 5 minutes at last" in world.message()
        assert "no idea" in world.message()
        wire.before_call = lambda _name: None
        await world.until(world.ready, 600)

    scene(test, start=False)


def test_one_pool_s_429_leaves_the_others_alone() -> None:
    """AKS counts the PUTs of each pool by itself, and neither LISTs nor deletions with them."""

    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body("ws0"))
        real = world.aks.create

        async def create(pool: Desired) -> None:
            if pool.name == "ws1":
                raise AzureError(Trouble("Throttled", "slow down"), 429, retry_after=900.0)
            await real(pool)

        world.aks.create = create  # type: ignore[method-assign]  # the simulated AKS throttles nobody
        world.launch()
        await world.until(lambda: world.ready("ws0"))
        world.kube.claim_store.create(claim_body("ws1"))
        await asyncio.sleep(5)
        world.kube.claim_store.create(claim_body("ws2"))
        world.kube.claim_store.delete("ws0")
        await world.until(lambda: world.claim_or_none("ws0") is None, 120)
        await world.until(lambda: world.ready("ws2"), 200)
        assert world.conditions("ws1")[names.LAUNCHED] == ("Unknown", "Throttled")
        world.kube.claim_store.delete("ws1")
        await world.until(lambda: world.claim_or_none("ws1") is None, 120)

    scene(test, start=False)


def test_a_claim_says_that_azure_asked_to_wait() -> None:
    async def test(world: World) -> None:
        wire = refusing("azure.create", AzureError(Trouble("TooManyRequests", "slow down"), 429, retry_after=600.0))
        ask(world, wire)
        await asyncio.sleep(60)
        assert world.conditions()[names.LAUNCHED] == ("Unknown", "Throttled")
        await asyncio.sleep(500)
        assert wire.calls.count("azure.create") == 1
        wire.before_call = lambda _name: None
        await world.until(world.ready, 600)

    scene(test, start=False)
