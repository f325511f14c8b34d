"""Is every pool that nobody owns collected, and no other, whatever the lists and the tags look like?"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler import names
from reconciler.adopt import describe, plan
from reconciler.azure import AzureError
from reconciler.collect import CONFIRM_SECONDS, Orphan, Search, brake
from reconciler.errors import Trouble
from reconciler.kube import KubeError
from reconciler.look import table
from reconciler.nodeclaim import Claim
from reconciler.nodepool import Ownership, Pool, ownership
from tests.reconciler.fake_kube import claim_body, merge
from tests.reconciler.making import CLUSTER, SIZE, a_claim, a_pool
from tests.reconciler.world import SETTINGS, World, scene

LEGACY_LABELS = {names.NODEPOOL_LABEL: "kaito", names.WORKSPACE_LABEL: "phi"}


def an_orphan(name: str = "lost", **fields: Any) -> Pool:
    claim = Claim(merge(a_claim().raw, {"metadata": {"name": name, "uid": f"gone-{name}"}}))
    pool = a_pool(claim, state="Succeeded")
    return replace(pool, **{"tags": {**pool.tags, names.TAG_CREATED: "2025-12-31T00:00:00Z"}, **fields})


async def with_a_claim(world: World) -> None:
    """A list of claims that is empty is not believed, so there is one."""
    world.kube.claim_store.create(claim_body("alive"))
    await world.until(lambda: world.ready("alive"))


def test_should_delete_an_orphan_with_its_node() -> None:
    async def test(world: World) -> None:
        await with_a_claim(world)
        world.aks.put(an_orphan(), machines=1)
        await world.until(lambda: "lost" not in world.pools(), 900)
        assert list(world.pools()) == ["alive"]
        await world.until(lambda: len(world.kube.node_store.items) == 1, 300)

    scene(test)


def test_should_see_an_orphan_twice_before_it_is_deleted() -> None:
    async def test(world: World) -> None:
        await with_a_claim(world)
        world.aks.put(an_orphan(tags={**an_orphan().tags, names.TAG_CREATED: "2020-01-01T00:00:00Z"}))
        began = world.now()
        await world.until(lambda: world.pools()["lost"].state == "Deleting", 900)
        assert timedelta(minutes=2) <= world.now() - began <= timedelta(minutes=5)

    scene(test)


def test_should_not_delete_an_orphan_within_its_grace() -> None:
    async def test(world: World) -> None:
        await with_a_claim(world)
        made = world.now()
        stamp = made.strftime("%Y-%m-%dT%H:%M:%SZ")
        world.aks.put(an_orphan(tags={**an_orphan().tags, names.TAG_CREATED: stamp}))
        await world.until(lambda: world.pools()["lost"].state == "Deleting", 1200)
        assert world.now() - made >= SETTINGS.orphan_age

    scene(test)


@pytest.mark.parametrize("tag", names.OUR_TAGS[:5])
@pytest.mark.parametrize("change", ["removed", "changed"])
def test_should_never_delete_a_pool_that_lost_one_of_our_tags(tag: str, change: str) -> None:
    async def test(world: World) -> None:
        await with_a_claim(world)
        tags = {key: value for key, value in an_orphan().tags.items() if key != tag}
        pool = world.aks.put(an_orphan(tags=tags if change == "removed" else {**tags, tag: "by hand"}))
        await asyncio.sleep(3600)
        assert world.pools()["lost"] == pool

    scene(test)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Ownership.OURS),
        ({"mode": "System"}, Ownership.FOREIGN),
        ({"tags": {}}, Ownership.DISPUTED),
        ({"labels": {}}, Ownership.DISPUTED),
        ({"labels": {names.UID_LABEL: "another"}}, Ownership.DISPUTED),
        ({"tags": {}, "labels": {}}, Ownership.FOREIGN),
        ({"tags": {}, "labels": LEGACY_LABELS}, Ownership.LEGACY),
        ({"tags": {names.TAG_CLUSTER: "another"}}, Ownership.FOREIGN),
    ],
)
def test_whose_a_pool_is(fields: Mapping[str, Any], expected: Ownership) -> None:
    assert ownership(a_pool(**fields), CLUSTER) is expected


def test_the_pool_of_another_cluster_is_foreign() -> None:
    assert ownership(a_pool(), "cluster-2") is Ownership.FOREIGN


def test_a_pool_that_was_adopted_is_ours() -> None:
    tags = {**a_pool().tags, names.TAG_ADOPTED: names.GPU_PROVISIONER}
    assert ownership(a_pool(tags=tags, labels=LEGACY_LABELS), CLUSTER) is Ownership.OURS
    assert ownership(a_pool(tags=tags, labels={}), CLUSTER) is Ownership.DISPUTED


def test_should_delete_at_most_five_in_a_search() -> None:
    async def test(world: World) -> None:
        await with_a_claim(world)
        for number in range(12):
            world.aks.put(an_orphan(f"lost{number}"))
        seen = set()
        for _ in range(600):
            seen.add(sum(pool.state == "Deleting" for pool in world.pools().values()))
            await asyncio.sleep(5)
        assert seen == {0, 2, 5}
        assert list(world.pools()) == ["alive"]

    scene(test)


def test_one_that_cannot_be_deleted_does_not_stop_the_others() -> None:
    async def test(world: World) -> None:
        await with_a_claim(world)
        for name in ("lost1", "lost2"):
            world.aks.put(an_orphan(name))
        delete = world.aks.delete

        async def failing(name: str, etag: str) -> None:
            await delete(name, "wrong" if name == "lost1" else etag)

        world.aks.delete = failing  # type: ignore[method-assign] # one of the two
        await world.until(lambda: "lost2" not in world.pools(), 900)
        assert "lost1" in world.pools()

    scene(test)


def a_search(found: list[Orphan], before: Search, claims: int, moment: float) -> tuple[list[str], Search]:
    judged, after = brake(found, before, claims, moment, least_age=timedelta(minutes=10), limit=5)
    return [each.why_not for each in judged], after


OLD = Orphan(an_orphan(), timedelta(hours=1))
SEEN = Search(frozenset({"gone-lost"}), 10)


def test_a_list_of_claims_that_is_empty_deletes_nothing_until_it_is_confirmed() -> None:
    why, after = a_search([OLD], SEEN, 0, 100.0)
    assert why == ["the list of claims is empty or has shrunk by half"]
    why, after = a_search([OLD], after, 0, 100.0 + CONFIRM_SECONDS - 1)
    assert why != [""]
    why, after = a_search([OLD], after, 0, 100.0 + CONFIRM_SECONDS)
    assert why == [""]


def test_a_list_of_claims_that_shrank_by_half_deletes_nothing_until_it_is_confirmed() -> None:
    why, after = a_search([OLD], SEEN, 4, 100.0)
    assert why != [""]
    assert after.claims == 10
    why, after = a_search([OLD], after, 4, 100.0 + CONFIRM_SECONDS)
    assert (why, after.claims) == ([""], 4)
    assert a_search([OLD], after, 4, 1000.0)[0] == [""]


def test_a_list_that_recovers_is_believed_at_once() -> None:
    _, after = a_search([OLD], SEEN, 0, 100.0)
    assert a_search([OLD], after, 9, 200.0)[0] == [""]


def test_a_wiped_list_of_claims_ends_nothing() -> None:
    async def test(world: World) -> None:
        for number in range(6):
            world.kube.claim_store.create(claim_body(f"ws{number}"))
        await world.until(lambda: all(world.ready(f"ws{number}") for number in range(6)))
        await asyncio.sleep(900)

        async def nothing() -> list[object]:
            return []

        world.kube.list_claims = nothing  # type: ignore[assignment, method-assign] # an API server that lost its data
        await asyncio.sleep(CONFIRM_SECONDS - 60)
        assert len(world.ours()) == 6

    scene(test)


def test_a_pool_by_that_name_of_somebody_else_is_a_conflict_and_not_touched() -> None:
    async def test(world: World) -> None:
        theirs = world.aks.put(Pool("ws1", "Succeeded", size="Standard_D4s_v5"))
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.conditions().get(names.LAUNCHED) == ("False", "NameConflict"), 60)
        await world.until(lambda: world.claim_or_none() is None, 600)
        assert world.pools()["ws1"] == theirs

    scene(test)


def test_a_pool_that_loses_its_tags_is_neither_deleted_nor_forgotten() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready)
        tags = world.pools()["ws1"].tags
        world.aks.edit("ws1", tags={"team": "ml"})
        await asyncio.sleep(600)
        assert world.ready()
        world.kube.claim_store.delete("ws1")
        await asyncio.sleep(3600)
        assert world.pools()["ws1"].state == "Succeeded"
        assert world.claim_or_none() is not None
        assert "NodePoolDisputed" in [each["reason"] for each in world.kube.events]
        world.aks.edit("ws1", tags=tags)
        await world.until(lambda: world.claim_or_none() is None, 600)
        assert world.pools() == {}

    scene(test)


def test_a_pool_that_loses_tags_and_labels_is_known_by_its_machine() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready)
        world.aks.edit("ws1", tags={}, labels={})
        await asyncio.sleep(60)
        world.kube.claim_store.delete("ws1")
        await asyncio.sleep(3600)
        assert world.pools()["ws1"].state == "Succeeded"
        assert world.claim_or_none() is not None

    scene(test)


def legacy(name: str = "ws1", **fields: Any) -> Pool:
    return replace(Pool(name, "Succeeded", "etag-1", SIZE, labels=LEGACY_LABELS), **fields)


def test_gpu_provisioner_s_pool_is_left_alone_and_its_claim_kept_until_it_is_adopted() -> None:
    async def test(world: World) -> None:
        world.aks.put(legacy(), machines=1)
        body = claim_body()
        body["metadata"]["finalizers"] = [names.TERMINATION_FINALIZER]
        launched = [
            {"type": each, "status": "True", "reason": each, "message": "", "observedGeneration": 1}
            for each in (*names.LIVING, names.READY)
        ]
        body["status"] = {"conditions": launched, "nodeName": "n", "providerID": "azure://x"}
        world.kube.claim_store.create(body)
        await asyncio.sleep(1800)
        assert world.ready()
        assert world.pools()["ws1"].tags == {}
        world.kube.claim_store.delete("ws1")
        await asyncio.sleep(1800)
        assert world.claim_or_none() is not None
        assert world.pools()["ws1"].state == "Succeeded"
        tags = {**a_pool(Claim(world.claim())).tags, names.TAG_ADOPTED: names.GPU_PROVISIONER}
        await world.aks.tag("ws1", world.pools()["ws1"].etag, tags)
        await world.until(lambda: world.claim_or_none() is None, 600)
        assert world.pools() == {}

    scene(test)


def test_an_adopted_pool_goes_on_without_a_restart() -> None:
    async def test(world: World) -> None:
        world.aks.put(legacy(), machines=1)
        world.kube.claim_store.create(claim_body())
        await asyncio.sleep(100)
        assert world.conditions()[names.LAUNCHED] == ("False", "NotAdopted")
        (node,) = world.kube.node_store.items
        tags = {**a_pool(Claim(world.claim())).tags, names.TAG_ADOPTED: names.GPU_PROVISIONER}
        await world.aks.tag("ws1", world.pools()["ws1"].etag, tags)
        await world.until(world.ready, 120)
        assert list(world.kube.node_store.items) == [node]
        assert world.aks.puts == []

    scene(test)


def test_adopt_says_what_it_would_do_and_why_not() -> None:
    pools = [legacy("ws1"), legacy("ws2"), legacy("ws3", state="Upgrading"), a_pool(), Pool("sys", "Succeeded")]
    claims = [a_claim(), Claim(merge(a_claim().raw, {"metadata": {"name": "ws3"}}))]
    steps = plan([each for each in pools if each.name != "ws1" or not each.tags], claims, CLUSTER)
    assert [(each.pool.name, bool(each.why_not)) for each in steps] == [("ws1", False), ("ws2", True), ("ws3", True)]
    said = describe(steps, done=False)
    assert "1 of 3 node pools would be tagged; no node restarts" in said
    assert "delete the pool by hand" in said[1]
    assert describe([], done=False) == ["no node pool of gpu-provisioner is left to take over"]


def test_the_dry_run_tells_age_and_price() -> None:
    found = [Orphan(an_orphan(), timedelta(hours=3)), Orphan(an_orphan("young"), timedelta(minutes=1))]
    head, old, young, total = table(found, {SIZE: 3.673}, SETTINGS)
    assert head.startswith("POOL")
    assert old.split() == ["lost", SIZE, "3h", "3.673", "deleted", "after", "two", "searches,", "5", "in", "each"]
    assert young.endswith("kept until it is 10m old")
    assert total == "2 orphans, 7.35 USD per hour where a price is known"
    assert "unknown" in table(found, {}, SETTINGS)[1]


def test_a_node_whose_claim_was_removed_by_force_is_released() -> None:
    async def test(world: World) -> None:
        await with_a_claim(world)
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready)
        await asyncio.sleep(120)
        world.kube.claim_store.patch("ws1", "", {"metadata": {"finalizers": []}})
        world.kube.claim_store.delete("ws1")
        await world.until(lambda: list(world.pools()) == ["alive"], 1800)
        await world.until(lambda: len(world.kube.node_store.items) == 1, 600)

    scene(test)


def test_a_search_believes_no_old_list() -> None:
    """Pools that were seen long ago may have claims by now, or be others' of the same name."""

    async def test(world: World) -> None:
        await with_a_claim(world)
        world.aks.put(an_orphan())
        await asyncio.sleep(60)
        blind = AzureError(Trouble("InternalServerError", "oops"), 500)
        world.processes[0].wire.before_call = failing_lists(blind)
        await asyncio.sleep(1800)
        assert world.pools()["lost"].state == "Succeeded"
        world.processes[0].wire.before_call = lambda _name: None
        await world.until(lambda: "lost" not in world.pools(), 900)

    scene(test)


def test_an_empty_list_of_pools_is_not_believed() -> None:
    """A cluster has at least one system pool, so an empty list is about something else."""

    async def test(world: World) -> None:
        await with_a_claim(world)
        records, world.aks._records = world.aks._records, {}
        await asyncio.sleep(1800)
        assert world.claim_or_none("alive") is not None
        world.kube.claim_store.delete("alive")
        await asyncio.sleep(600)
        assert world.claim_or_none("alive") is not None
        world.aks._records = records
        await world.until(lambda: world.claim_or_none("alive") is None, 600)
        assert world.pools() == {}

    scene(test)


def failing_lists(error: AzureError) -> Callable[[str], None]:
    def fail(name: str) -> None:
        if name == "azure.list":
            raise error

    return fail


def test_a_search_that_has_lost_the_lease_deletes_nothing() -> None:
    async def test(world: World) -> None:
        await with_a_claim(world)
        collector = world.processes[0].controller.collector
        assert collector is not None
        collector.may_write = lambda: False
        world.aks.put(an_orphan())
        await asyncio.sleep(1800)
        assert world.pools()["lost"].state == "Succeeded"
        collector.may_write = lambda: True
        await world.until(lambda: "lost" not in world.pools(), 900)

    scene(test)


def test_a_node_that_cannot_be_released_now_is_released_later() -> None:
    async def test(world: World) -> None:
        await with_a_claim(world)
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready)
        node = world.claim()["status"]["nodeName"]
        world.kube.claim_store.patch("ws1", "", {"metadata": {"finalizers": []}})
        world.kube.claim_store.delete("ws1")
        refused = [KubeError("not now", 500)] * 3

        def refuse(name: str) -> None:
            if name == "kube.patch_node" and refused:
                raise refused.pop()

        world.processes[0].wire.before_call = refuse
        await world.until(lambda: node not in world.kube.node_store.items, 3600)
        assert refused == []

    scene(test)


def test_a_pool_of_somebody_else_that_is_being_deleted_is_waited_for() -> None:
    async def test(world: World) -> None:
        world.aks.put(Pool("ws1", "Deleting", size="Standard_D4s_v5"))
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.conditions().get(names.LAUNCHED) == ("Unknown", "FormerNodePool"), 60)
        world.aks.remove("ws1")
        await world.until(world.ready)

    scene(test)
