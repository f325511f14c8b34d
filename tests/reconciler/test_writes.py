"""How often is the API server written to in one claim's life? Each write of a claim wakes KAITO.

Counted is what the reconciler writes to claim and Node: patches of the claim (finalizers, annotations), of its status,
of its Node, and the deletion of the Node. Not counted: two events, the evictions of pods, the lease, what it reads.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest

from reconciler import names
from reconciler.simulate import Delays
from tests.reconciler.fake_kube import FakeKube, claim_body, merge
from tests.reconciler.world import DELAYS, World, scene

GOAL = 8
NO_GPU = {names.NVIDIA_GPU: None}
NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


@dataclass
class Machine:
    """The hands of a kubelet, of Kubernetes' node controller and of a device plugin that takes its time."""

    kube: FakeKube
    taint: float
    """Seconds from readiness to the end of the taint of a Node that is not ready."""
    plugin: float
    """Seconds from readiness to the GPUs."""

    async def create_node(self, body: dict[str, Any]) -> None:
        bare = merge(body, {"status": {"allocatable": NO_GPU}})
        bare["spec"]["taints"].append(NOT_READY)
        await self.kube.create_node(bare)

    async def patch_node_status(self, name: str, status: dict[str, Any]) -> None:
        await self.kube.patch_node_status(name, merge(status, {"allocatable": NO_GPU}))
        loop = asyncio.get_running_loop()
        loop.call_later(self.taint, self._untaint, name)
        loop.call_later(self.plugin, self.kube.node_store.patch, name, "", status, "status")

    def _untaint(self, name: str) -> None:
        taints = self.kube.node_store.get(name)["spec"]["taints"]
        kept = [each for each in taints if each != NOT_READY]
        self.kube.node_store.patch(name, "", {"spec": {"taints": kept}})

    async def remove_node(self, name: str) -> None:
        await self.kube.remove_node(name)


async def live(world: World, taint: float, plugin: float, *, pod: bool = True) -> "Counter[str]":
    """A whole life; what was written in it."""
    world.machines.writer = Machine(world.kube, taint, plugin)
    world.kube.claim_store.create(claim_body())
    await world.until(world.ready)
    await asyncio.sleep(900)
    if pod:
        node = world.claim()["status"]["nodeName"]
        metadata = {"name": "vllm", "namespace": "team-a", "uid": "pod-1"}
        world.kube.pods["vllm"] = {"metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": "Running"}}
    world.kube.claim_store.delete("ws1")
    await world.until(lambda: world.claim_or_none() is None)
    assert world.pools() == {}
    assert world.kube.pods == {}
    assert len(world.kube.events) <= 2
    return Counter(kind for kind, _ in world.kube.writes)


@pytest.mark.parametrize("join", [0.0, 10.0, 200.0])
@pytest.mark.parametrize("ready", [0.0, 20.0, 100.0])
@pytest.mark.parametrize(("taint", "plugin"), [(0.0, 0.0), (3.0, 1.0), (3.0, 45.0), (30.0, 110.0)])
def test_an_ordinary_life_is_written_in_eight_writes(join: float, ready: float, taint: float, plugin: float) -> None:
    """Whenever the Node joins after its pool is done, and whatever keeps it from its work for less than two minutes."""

    async def test(world: World) -> None:
        found = await live(world, taint, plugin)
        assert found.total() <= GOAL, found

    scene(test, delays=replace(DELAYS, join=join, ready=ready))


@pytest.mark.parametrize(("ready", "plugin"), [(400.0, 10.0), (10.0, 400.0)])
def test_a_life_with_one_long_hindrance_says_so_and_is_written_in_eight_writes(ready: float, plugin: float) -> None:
    async def test(world: World) -> None:
        found = await live(world, 3.0, plugin)
        assert found.total() <= GOAL, found
        assert found["status"] == 3  # The creation, the hindrance, the end of it.

    scene(test, delays=replace(DELAYS, join=5.0, ready=ready))


def test_the_shortest_life_is_written_in_six_writes() -> None:
    async def test(world: World) -> None:
        found = await live(world, 0.0, 0.0, pod=False)
        assert found == {"claim": 2, "status": 2, "node": 2}

    scene(test, delays=Delays(create=100.0, join=0.0, ready=0.0, delete=60.0))


def test_a_node_that_flaps_before_it_is_initialized_is_told_of() -> None:
    """Reasons that come and go faster than they are written must not keep the claim silent for ever."""

    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.kube.node_store.items)
        (name,) = world.kube.node_store.items
        for number in range(12):
            await asyncio.sleep(30)
            conditions = [{"type": "Ready", "status": str(bool(number % 2))}]
            world.kube.node_store.patch(name, "", {"status": {"conditions": conditions, "allocatable": NO_GPU}})
        await asyncio.sleep(1)
        assert world.conditions()[names.REGISTERED][0] == "True"
        assert world.conditions()[names.INITIALIZED][1] in ("NodeNotReady", "ResourceNotRegistered")

    scene(test, delays=replace(DELAYS, ready=1e9))
