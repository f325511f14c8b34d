"""Faults that a careful examiner would try, each in a claim's whole life, which must end as if there had been none."""

import asyncio
import functools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler import names
from reconciler.azure import AzureError, LostError
from reconciler.errors import Trouble
from reconciler.kube import KubeError
from reconciler.nodepool import Pool
from tests.reconciler.fake_kube import claim_body
from tests.reconciler.world import DELAYS, SETTINGS, Wire, World, scene

UNSWEPT = replace(SETTINGS, sweep_period=1e9)
WRITES = (
    "kube.patch_claim",
    "kube.patch_claim_status",
    "kube.patch_node",
    "kube.delete_node",
    "kube.delete_claim",
    "kube.evict",
    "azure.create",
    "azure.delete",
)


def a_pod(world: World) -> None:
    metadata = {"name": "web", "namespace": "team-a", "uid": "pod-1"}
    spec = {"nodeName": world.claim()["status"]["nodeName"]}
    world.kube.pods["web"] = {"metadata": metadata, "spec": spec, "status": {"phase": "Running"}}


async def a_life(world: World, seconds: float = 3600) -> None:
    """From its creation to its end, which must leave nothing."""
    world.kube.claim_store.create(claim_body(terminationGracePeriod="10m"))
    await world.until(world.ready, seconds)
    a_pod(world)
    world.kube.claim_store.delete("ws1")
    await world.until(lambda: world.claim_or_none() is None, seconds)
    assert world.pools() == {}
    assert world.kube.node_store.items == {}
    assert world.kube.pods == {}
    assert world.aks.puts == ["ws1"]


async def without_faults(world: World) -> list[str]:
    wire = Wire()
    world.launch(wire)
    await a_life(world)
    return wire.calls


ERRORS: dict[str, Exception] = {
    "410": KubeError("Gone: the resource version is too old", 410),
    "500": KubeError("InternalError: etcdserver: leader changed", 500),
    "reset": KubeError("no answer: the connection was reset"),
    "429": KubeError("TooManyRequests: storage is (re)initializing", 429, 1.0),
}
CALLS = (
    "kube.cluster_id",
    "kube.patch_claim",
    "kube.patch_claim_status",
    "kube.read_claim",
    "kube.patch_node",
    "kube.pods_on",
    "kube.evict",
    "kube.attachments_on",
    "kube.record",
)


@pytest.mark.parametrize("effect", [False, True], ids=["before it takes effect", "after"])
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("call", CALLS)
def test_each_verb_at_the_api_server_may_fail_three_times(call: str, error: str, *, effect: bool) -> None:
    async def test(world: World) -> None:
        left = [ERRORS[error]] * 3

        def fail(name: str) -> None:
            if name == call and left:
                raise left.pop()

        def lose(name: str) -> Exception | None:
            return left.pop() if name == call and left else None

        wire = Wire(lost_answer=lose) if effect else Wire(before_call=fail)
        world.launch(wire)
        await a_life(world)
        assert len(left) < 3  # The fault happened.
        assert len(wire.calls) < 200

    scene(test, UNSWEPT, start=False)


@pytest.mark.parametrize("call", CALLS)
def test_each_verb_at_the_api_server_may_fail_for_ten_minutes(call: str) -> None:
    async def test(world: World) -> None:
        end = asyncio.get_running_loop().time() + 600

        def fail(name: str) -> None:
            if name == call and asyncio.get_running_loop().time() < end:
                raise KubeError("InternalError", 500)

        wire = Wire(before_call=fail)
        world.launch(wire)
        await a_life(world)
        assert wire.calls.count(call) <= 125

    scene(test, UNSWEPT, start=False)


def lives_until(world: World, number: int, wire: Wire) -> None:
    """The lease is lost as soon as a call was answered; the process has not noticed yet."""

    def may_write() -> bool:
        return len(wire.calls) <= number

    world.launch(wire).controller.may_write = may_write


def test_nothing_is_written_after_the_lease_is_lost_wherever_the_process_was() -> None:
    calls: list[str] = []

    async def first(world: World) -> None:
        calls.extend(await without_faults(world))

    scene(first, UNSWEPT, start=False)
    assert {"kube.patch_claim", "kube.patch_node", "kube.evict", "azure.delete"} <= set(calls)
    for number in range(len(calls)):

        async def test(world: World, number: int = number) -> None:
            wire = Wire()
            lives_until(world, number, wire)
            world.kube.claim_store.create(claim_body(terminationGracePeriod="10m"))
            await asyncio.sleep(400)
            if world.ready():
                a_pod(world)
            world.kube.claim_store.delete("ws1")
            await asyncio.sleep(400)
            assert [each for each in wire.calls[number + 1 :] if each in WRITES] == []

        scene(test, UNSWEPT, start=False)


def test_no_claim_is_ended_by_who_lost_the_lease_while_it_asked_about_the_cluster() -> None:
    async def test(world: World) -> None:
        process = world.launch()
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready)
        await asyncio.sleep(1200)
        lost: list[bool] = []
        process.controller.effects.may_write = lambda: not lost
        process.wire.before_call = lambda name: lost.append(True) if name == "azure.cluster" else None
        (node,) = world.kube.node_store.items
        world.kube.node_store.delete(node)
        await asyncio.sleep(600)
        assert "kube.delete_claim" not in process.wire.calls
        assert "deletionTimestamp" not in world.claim()["metadata"]

    scene(test, UNSWEPT, start=False)


def test_one_list_that_lacks_a_pool_lets_no_deleted_claim_go() -> None:
    """A page of it was lost on the way, or AKS answered from a replica that knows less."""

    async def test(world: World, *, when: float) -> None:
        first = world.launch()
        world.kube.claim_store.create(claim_body())
        await asyncio.sleep(when)
        await first.kill()
        believed = asyncio.get_running_loop().time() + UNSWEPT.settle
        real, lacking = world.aks.list, [True]

        async def partial() -> list[Pool]:
            """The first LIST that may let a claim go, as far as its time is concerned; the ones before do not come."""
            if asyncio.get_running_loop().time() <= believed:
                raise LostError("no answer")
            return [pool for pool in await real() if pool.name != "ws1" or not lacking or not lacking.pop()]

        world.aks.list = partial  # type: ignore[method-assign]  # the simulated AKS forgets nothing
        world.kube.claim_store.delete("ws1")
        world.launch()
        await world.until(lambda: world.claim_or_none() is None, 1200)
        await asyncio.sleep(600)
        assert world.pools() == {}

    for when in (30.0, 50.0, 300.0):
        scene(functools.partial(test, when=when), UNSWEPT, start=False)


@pytest.mark.parametrize("hours", [-24, -1, 1, 24])
@pytest.mark.parametrize("when", [1.0, 50.0, 400.0])
def test_a_clock_that_jumps_leaks_nothing_and_makes_no_pool_in_vain(hours: int, when: float) -> None:
    async def test(world: World) -> None:
        jumped: list[timedelta] = []
        process = world.launch()

        def clock() -> Any:
            return world.now() + sum(jumped, timedelta())

        process.controller.clock = clock
        process.controller.recorder.clock = clock
        world.kube.claim_store.create(claim_body())
        await asyncio.sleep(when)
        process.controller.effects.clock = clock
        process.controller.effects.sight.clock = clock
        jumped.append(timedelta(hours=hours))
        await world.until(world.ready, 3600)
        await asyncio.sleep(1800)
        assert world.ready()
        assert set(world.pools()) == {"ws1"}
        world.kube.claim_store.delete("ws1")
        await world.until(lambda: world.claim_or_none() is None, 3600)
        assert world.pools() == {}

    scene(test, UNSWEPT, start=False)


def test_somebody_else_s_finalizer_is_kept_and_holds_only_its_claim() -> None:
    async def test(world: World) -> None:
        body = claim_body()
        body["metadata"]["finalizers"] = ["example.com/backup"]
        world.kube.claim_store.create(body)
        await world.until(world.ready)
        assert world.claim()["metadata"]["finalizers"] == ["example.com/backup", names.TERMINATION_FINALIZER]
        world.kube.claim_store.delete("ws1")
        await world.until(lambda: not world.pools(), 300)
        await asyncio.sleep(3600)
        assert world.claim()["metadata"]["finalizers"] == ["example.com/backup"]
        calls = len(world.processes[0].wire.calls)
        await asyncio.sleep(3600)
        assert len(world.processes[0].wire.calls) - calls <= 3600 / 30 + 3600 / 300 + 3600 / 120 + 5
        world.kube.claim_store.patch("ws1", "", {"metadata": {"finalizers": []}})
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready)

    scene(test)


def test_a_machine_that_comes_back_under_its_node_s_name_is_the_claim_s_machine() -> None:
    """AKS gives a re-imaged machine the old name; its providerID may be another one."""

    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready)
        (name,) = world.kube.node_store.items
        changed = world.claim()["status"]["providerID"] + "0"
        world.kube.node_store.patch(name, "", {"spec": {"providerID": changed}})
        await world.until(lambda: world.claim()["status"]["providerID"] == changed, 30)
        assert world.ready()

    scene(test)


def test_a_node_that_flaps_costs_no_machine_and_few_writes() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready)
        await asyncio.sleep(1200)
        (name,) = world.kube.node_store.items
        written = len(world.kube.writes)
        for number in range(120):
            await asyncio.sleep(60)
            condition = {"type": "Ready", "status": "Unknown" if number % 2 else "True"}
            condition["lastTransitionTime"] = f"{world.now():%Y-%m-%dT%H:%M:%SZ}"
            world.kube.node_store.patch(name, "", {"status": {"conditions": [condition]}})
        assert world.ready()
        assert world.aks.puts == ["ws1"]
        assert len(world.kube.writes) == written

    scene(test)


@pytest.mark.parametrize(
    "error",
    [LostError("the answer of Azure cannot be read: <html>"), AzureError(Trouble("502", "<html>Bad Gateway"), 502)],
)
@pytest.mark.parametrize("call", ["azure.list", "azure.create", "azure.delete", "azure.cluster"])
@pytest.mark.parametrize("effect", [False, True])
def test_a_proxy_that_answers_for_azure_costs_time_only(call: str, error: Exception, *, effect: bool) -> None:
    async def test(world: World) -> None:
        left = [error] * 4

        def fail(name: str) -> None:
            if name == call and left:
                raise left.pop()

        def lose(name: str) -> Exception | None:
            return left.pop() if name == call and left else None

        world.launch(Wire(lost_answer=lose) if effect else Wire(before_call=fail))
        await a_life(world)

    scene(test, UNSWEPT, DELAYS, start=False)
