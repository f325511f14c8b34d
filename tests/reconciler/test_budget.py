"""Does the cluster never run out of node pools because of us, and does nobody wait whom Azure would serve?"""

import asyncio
from dataclasses import replace

from reconciler import budget, names
from reconciler.errors import Trouble
from reconciler.nodeclaim import Claim
from reconciler.nodepool import Pool
from tests.reconciler.fake_kube import claim_body, merge
from tests.reconciler.making import CLUSTER, a_claim, a_pool
from tests.reconciler.world import SETTINGS, World, scene

SMALL = replace(SETTINGS, pool_limit=6, pool_reserve=3)


def others(count: int) -> list[Pool]:
    return [Pool(f"sys{number}", "Succeeded", mode="System") for number in range(count)]


def test_the_reserve_is_kept_less_what_others_already_have() -> None:
    assert budget.headroom(others(1), CLUSTER, 100, 3) == 97
    assert budget.headroom([*others(3), a_pool()], CLUSTER, 100, 3) == 96
    assert budget.headroom(others(10), CLUSTER, 100, 3) == 90


def aged(name: str, minute: int) -> Claim:
    stamp = f"2026-01-01T11:{minute:02}:00Z"
    return Claim(merge(a_claim().raw, {"metadata": {"name": name, "uid": name, "creationTimestamp": stamp}}))


def test_the_oldest_go_first() -> None:
    claims = [aged("young", 30), aged("old", 10), aged("middle", 20)]
    assert [each.name for each in claims if budget.admitted(each, claims, 2)] == ["old", "middle"]
    assert not any(budget.admitted(each, claims, 0) for each in claims)


def test_the_limit_is_said_and_the_next_goes_when_there_is_room() -> None:
    async def test(world: World) -> None:
        for number in range(5):
            world.kube.claim_store.create(claim_body(f"ws{number}"))
            await asyncio.sleep(1)
        await world.until(lambda: all(world.ready(f"ws{number}") for number in range(3)))
        for name in ("ws3", "ws4"):
            assert world.conditions(name)[names.LAUNCHED] == ("Unknown", "NodePoolLimitReached")
            assert "as many node pools as AKS allows" in world.message(name)
        await asyncio.sleep(3600)
        assert world.aks.puts == ["ws0", "ws1", "ws2"]
        world.kube.claim_store.delete("ws0")
        await world.until(lambda: world.ready("ws3"), 600)
        assert not world.ready("ws4")

    scene(test, SMALL)


def test_when_several_find_room_the_oldest_asks_first_and_nobody_waits_for_his_next_look() -> None:
    async def test(world: World) -> None:
        first, waiting = ["ws0", "ws1", "ws2"], ["ws9", "ws8", "ws7", "ws6"]
        for name in first:
            world.kube.claim_store.create(claim_body(name))
        await world.until(lambda: all(map(world.ready, first)))
        for name in waiting:
            world.kube.claim_store.create(claim_body(name))
            await asyncio.sleep(47)  # So that each looks again at another time of the minute.
        for name in first:
            world.kube.claim_store.delete(name)
        await world.until(lambda: len(world.aks.puts) > 3, 300)
        await world.until(lambda: len(world.aks.puts) == 6, 15)
        assert world.aks.puts[3:] == waiting[:3]

    scene(test, SMALL)


def test_room_that_somebody_else_s_pools_leave_is_found_at_once() -> None:
    async def test(world: World) -> None:
        for number in range(4):
            world.aks.put(Pool(f"theirs{number}", "Succeeded"))
        world.kube.claim_store.create(claim_body("ws0"))
        await world.until(lambda: world.ready("ws0"))
        world.kube.claim_store.create(claim_body("ws1"))
        await asyncio.sleep(65)
        assert world.conditions("ws1")[names.LAUNCHED] == ("Unknown", "NodePoolLimitReached")
        world.aks.remove("theirs0")
        world.aks.remove("theirs1")
        await world.until(lambda: world.aks.puts == ["ws0", "ws1"], 20)

    scene(test, SMALL)


def test_a_wave_that_finds_room_asks_in_the_order_of_age() -> None:
    async def test(world: World) -> None:
        await world.processes[0].kill()
        wave = [f"ws{number}" for number in range(20, 0, -1)]
        for name in wave:
            world.kube.claim_store.create(claim_body(name))
            await asyncio.sleep(1)
        world.launch()
        await world.until(lambda: len(world.aks.puts) == len(wave), 120)
        assert world.aks.puts == wave

    scene(test)


def test_a_claim_that_azure_refuses_holds_nobody_up() -> None:
    async def test(world: World) -> None:
        world.aks.refuse = lambda pool: (
            Trouble("SkuNotAvailable", "no") if pool.offering.size.endswith("H100_v5") else None
        )
        for number in range(3):
            world.kube.claim_store.create(claim_body(f"old{number}", "Standard_NC40ads_H100_v5"))
        await asyncio.sleep(10)
        world.kube.claim_store.create(claim_body("young"))
        await world.until(lambda: world.ready("young"), 300)

    scene(test, SMALL)


def test_several_sizes_are_tried_in_order_and_the_refused_one_is_remembered() -> None:
    async def test(world: World) -> None:
        first, second = "Standard_NC40ads_H100_v5", "Standard_NC24ads_A100_v4"
        asked = []

        def refuse(pool: object) -> Trouble | None:
            asked.append((pool.name, pool.offering.size))  # type: ignore[attr-defined] # a Desired
            return Trouble("SkuNotAvailable", "no") if asked[-1][1] == first else None

        world.aks.refuse = refuse
        world.kube.claim_store.create(claim_body("ws1", (first, second)))
        await world.until(lambda: world.ready("ws1"), 300)
        world.kube.claim_store.create(claim_body("ws2", (first, second)))
        await world.until(lambda: world.ready("ws2"), 300)
        assert asked == [("ws1", first), ("ws1", second), ("ws2", second)]
        assert world.pools()["ws1"].size == second

    scene(test)


def test_a_pool_that_fails_for_want_of_capacity_goes_on_to_the_next_size() -> None:
    async def test(world: World) -> None:
        first, second = "Standard_NC40ads_H100_v5", "Standard_NC24ads_A100_v4"
        world.aks.fail = lambda pool: Trouble("AllocationFailed", "no") if pool.offering.size == first else None
        world.kube.claim_store.create(claim_body("ws1", (first, second)))
        await world.until(lambda: world.ready("ws1"), 900)
        assert world.pools()["ws1"].size == second

    scene(test)


def test_a_claim_whose_pools_keep_failing_ends_after_three() -> None:
    async def test(world: World) -> None:
        world.aks.fail = lambda _pool: Trouble("VMExtensionProvisioningTimeout", "slow")
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.claim_or_none() is None, 3600)
        assert world.aks.puts == ["ws1"] * 3
        assert world.pools() == {}
        assert world.kube.events[-2]["reason"] in ("LaunchFailed", "NodePoolDeleting")

    scene(test)


def test_an_older_claim_that_azure_refuses_for_a_cause_nobody_knows_holds_nobody_up() -> None:
    async def test(world: World) -> None:
        world.aks.refuse = lambda pool: Trouble("SomethingNew", "odd") if pool.name == "ws1" else None
        world.kube.claim_store.create(claim_body("ws1"))
        await asyncio.sleep(5)
        world.kube.claim_store.create(claim_body("ws2"))
        await world.until(lambda: world.ready("ws2"), 900)
        assert world.aks.puts == ["ws2"]

    scene(test, replace(SETTINGS, pool_limit=4, pool_reserve=3))
