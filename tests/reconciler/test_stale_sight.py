"""What if what we know is old: Nodes of which nothing is heard, a LIST of long ago, a Node of a former claim?"""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from reconciler import names
from reconciler.azure import LostError
from reconciler.kube import KubeError
from reconciler.nodepool import Pool
from tests.reconciler.fake_kube import claim_body
from tests.reconciler.world import DELAYS, Wire, World, scene

STEADY = 900
"""Seconds after which Nodes are judged."""


def deaf_to_nodes(world: World) -> None:
    """The API server refuses the Nodes from now on, and answers everything else."""

    async def refused() -> Any:
        raise KubeError("nodes is forbidden", 403)

    store = world.kube.node_store
    store.deaf_until = asyncio.get_running_loop().time() + 86400  # The watch hangs, is dropped, and a list is due.
    store.list = refused  # type: ignore[method-assign]  # the store has no such fault


def set_ready(world: World, node: str, *, ready: bool) -> None:
    body = world.kube.node_store.get(node)
    condition = {**body["status"]["conditions"][0], "status": "True" if ready else "False"}
    condition["lastTransitionTime"] = f"{world.now():%Y-%m-%dT%H:%M:%SZ}"
    world.kube.node_store.patch(node, "", {"conditions": [condition]}, "status")


def test_a_node_that_nothing_is_heard_of_is_not_repaired() -> None:
    """It was not ready for a moment when the watch broke."""

    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready)
        await asyncio.sleep(STEADY)
        node = str(world.claim()["status"]["nodeName"])
        set_ready(world, node, ready=False)
        await asyncio.sleep(1)
        deaf_to_nodes(world)
        set_ready(world, node, ready=True)
        await asyncio.sleep(3600)
        assert "deletionTimestamp" not in world.claim()["metadata"]
        assert world.pools()["ws1"].state == "Succeeded"

    scene(test)


def test_a_node_that_nothing_could_be_heard_of_is_not_missing() -> None:
    async def test(world: World) -> None:
        await asyncio.sleep(STEADY)
        deaf_to_nodes(world)
        await asyncio.sleep(STEADY)
        world.kube.claim_store.create(claim_body())
        await asyncio.sleep(3600)
        assert len(world.kube.node_store.items) == 1
        assert "deletionTimestamp" not in world.claim()["metadata"]
        assert world.aks.puts == ["ws1"]

    scene(test)


@pytest.mark.parametrize("broken", [True, False], ids=["repair", "node-deleted"])
def test_a_node_is_not_judged_by_a_list_of_long_ago(*, broken: bool) -> None:
    """AKS upgrades the pool, and we cannot see it."""

    async def test(world: World) -> None:
        blind: list[Exception] = []

        def lose(name: str) -> None:
            if name == "azure.list" and blind:
                raise blind[0]

        world.launch(Wire(before_call=lose))
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready)
        await asyncio.sleep(STEADY)
        node = str(world.claim()["status"]["nodeName"])
        blind.append(LostError("nobody answers"))
        await asyncio.sleep(300)
        world.aks.edit("ws1", state="UpgradingNodeImageVersion")
        if broken:
            set_ready(world, node, ready=False)
        else:
            world.kube.node_store.delete(node)
        await asyncio.sleep(800)
        assert "deletionTimestamp" not in world.claim()["metadata"]

    scene(test, start=False)


def test_the_node_of_a_former_claim_is_not_the_new_one_s() -> None:
    """The finalizer of the claim was taken off by hand, and ours is still on its Node, which waits to be let go."""

    async def test(world: World) -> None:
        nodes: list[set[str]] = []

        def look(name: str) -> None:
            if name == "azure.create":
                nodes.append(set(world.kube.node_store.items))

        world.launch(Wire(before_call=look))
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready)
        await asyncio.sleep(STEADY)
        old = str(world.claim()["status"]["nodeName"])
        world.kube.claim_store.patch("ws1", "", {"metadata": {"finalizers": []}})
        world.kube.claim_store.delete("ws1")
        world.kube.claim_store.create(claim_body())
        uid = world.claim()["metadata"]["uid"]
        await world.until(world.ready, 1200)
        assert world.claim()["metadata"]["uid"] == uid
        assert world.claim()["status"]["nodeName"] != old
        assert world.aks.puts == ["ws1", "ws1"]
        assert nodes == [set(), set()], "a machine of the same name would join as the old Node"

    scene(test, delays=replace(DELAYS, join=120.0), start=False)


def test_a_node_of_a_former_claim_that_appears_late_ends_nobody_and_is_let_go() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready)
        await asyncio.sleep(STEADY)
        node = world.kube.node_store.get(str(world.claim()["status"]["nodeName"]))
        metadata = {**node["metadata"], "name": "former", "labels": {**node["metadata"]["labels"]}}
        metadata["labels"][names.UID_LABEL] = "uid-of-a-former-claim"
        world.kube.node_store.create({**node, "metadata": metadata})
        await asyncio.sleep(5)
        assert world.ready(), "several Nodes"
        await world.until(lambda: "former" not in world.kube.node_store.items, 300)
        assert world.ready()

    scene(test)


def test_one_list_that_lacks_a_pool_does_not_end_the_claim_whose_node_is_yet_to_join() -> None:
    async def test(world: World) -> None:
        await asyncio.sleep(STEADY)
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.conditions().get(names.LAUNCHED) == ("True", "Launched"))
        await asyncio.sleep(60)
        whole, left = world.aks.list, [True]

        async def lacking() -> list[Pool]:
            found = await whole()
            return [pool for pool in found if pool.name != "ws1"] if left and left.pop() else found

        world.aks.list = lacking  # type: ignore[method-assign]  # the simulated AKS forgets nothing
        await world.until(lambda: not left, 120)
        await world.until(world.ready, 600)
        assert world.aks.puts == ["ws1"]
        assert "deletionTimestamp" not in world.claim()["metadata"]

    scene(test, delays=replace(DELAYS, join=300.0))
