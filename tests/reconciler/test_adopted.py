"""Nodes of gpu-provisioner's pools carry its owner reference and not our label: are they told apart all the same?"""

import asyncio
import copy
from dataclasses import replace
from typing import Any

from reconciler import names
from reconciler.nodeclaim import Claim
from reconciler.nodepool import Pool
from tests.reconciler.fake_kube import claim_body
from tests.reconciler.making import SIZE, a_pool
from tests.reconciler.world import SETTINGS, World, scene

LEGACY_LABELS = {names.NODEPOOL_LABEL: "kaito", names.WORKSPACE_LABEL: "phi"}


def owned_by(uid: str) -> dict[str, Any]:
    """What gpu-provisioner writes on a Node."""
    owner = {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": "ws1", "uid": uid}
    return {
        "labels": {names.REGISTERED_LABEL: "true", names.INITIALIZED_LABEL: "true"},
        "finalizers": [names.TERMINATION_FINALIZER],
        "ownerReferences": [owner],
    }


async def adopted(world: World) -> str:
    """A claim whose pool was gpu-provisioner's; the name of its Node."""
    world.aks.put(Pool("ws1", "Succeeded", "etag-1", SIZE, labels=LEGACY_LABELS), machines=1)
    world.kube.claim_store.create(claim_body())
    await asyncio.sleep(60)
    (node,) = world.kube.node_store.items
    world.kube.node_store.patch(node, "", {"metadata": owned_by(world.claim()["metadata"]["uid"])})
    tags = {**a_pool(Claim(world.claim())).tags, names.TAG_ADOPTED: names.GPU_PROVISIONER}
    await world.aks.tag("ws1", world.pools()["ws1"].etag, tags)
    await world.until(world.ready, 120)
    return node


def let_go(world: World) -> None:
    """Somebody removes the finalizer of the claim by hand, and deletes claim and pool."""
    world.kube.claim_store.patch("ws1", "", {"metadata": {"finalizers": None}})
    world.kube.claim_store.delete("ws1")
    world.aks.remove("ws1")


def test_the_node_of_an_adopted_pool_is_labelled_once() -> None:
    async def test(world: World) -> None:
        node = await adopted(world)
        labels = world.kube.node_store.items[node]["metadata"]["labels"]
        assert labels[names.UID_LABEL] == world.claim()["metadata"]["uid"]
        written = len(world.kube.writes)
        await asyncio.sleep(3600)
        assert len(world.kube.writes) == written

    scene(test)


def test_the_node_of_an_adopted_pool_is_let_go_when_its_claim_and_pool_are_no_more() -> None:
    """Our finalizer holds it, and nothing but its label says which claim it belonged to."""

    async def test(world: World) -> None:
        await adopted(world)
        world.kube.claim_store.create(claim_body("ws2"))
        await world.until(lambda: world.ready("ws2"))
        let_go(world)
        await world.until(lambda: len(world.kube.node_store.items) == 1, 1200)

    scene(test, replace(SETTINGS, sweep_period=120.0))


def test_a_claim_of_the_same_name_does_not_take_the_former_one_s_node() -> None:
    """Nobody labelled it while its claim lived: its owner reference is all that tells."""

    async def test(world: World) -> None:
        former = await adopted(world)
        stale = copy.deepcopy(world.kube.node_store.items[former])
        stale["metadata"]["name"] = "stale"
        del stale["metadata"]["labels"][names.UID_LABEL]
        let_go(world)
        world.kube.node_store.create(stale)
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready, 300)
        assert world.claim()["status"]["nodeName"] not in ("stale", former)
        assert len(world.kube.node_store.items) == 1

    scene(test, replace(SETTINGS, sweep_period=1e9))
