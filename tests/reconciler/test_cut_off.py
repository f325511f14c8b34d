"""What if a turn's time is over while Azure still works on what it was asked?

Requests have a limit of their own that is shorter, so this takes a slow API server beside a slow Azure.
"""

import asyncio
from dataclasses import replace

import pytest

from reconciler.desired import Desired
from reconciler.simulate import SimulatedAks
from tests.reconciler.fake_kube import claim_body
from tests.reconciler.world import SETTINGS, World, scene

HANGS = 1000.0
UNSWEPT = replace(SETTINGS, sweep_period=1e9)


class Slow(SimulatedAks):
    """Answers no PUT in time; each takes effect late, or never."""

    effect: float | None = None
    asked: int = 0

    async def create(self, pool: Desired) -> None:
        self.asked += 1
        if self.effect is not None:
            asyncio.get_running_loop().call_later(self.effect, self._take_effect, pool)
        await asyncio.sleep(HANGS)

    def _take_effect(self, pool: Desired) -> None:
        if pool.name not in self._records:
            asyncio.ensure_future(super().create(pool))  # noqa: RUF006 -- it ends before anybody looks


def slow(world: World, effect: float | None) -> Slow:
    found = Slow(world.aks.delays)
    found.effect = effect
    world.aks = found
    world.machines.aks = found
    world.launch()
    return found


@pytest.mark.parametrize("effect", [10.0, 145.0, 155.0, 170.0, 175.0])
def test_a_put_that_the_turn_s_end_cuts_off_is_found_again(effect: float) -> None:
    async def test(world: World) -> None:
        aks = slow(world, effect)
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready, 1200)
        assert aks.puts == ["ws1"]

    scene(test, UNSWEPT, start=False)


@pytest.mark.parametrize("effect", [10.0, 145.0, 155.0, 170.0, 175.0])
@pytest.mark.parametrize("delete_at", [20.0, 100.0, 149.0, 152.0])
def test_a_put_that_the_turn_s_end_cuts_off_leaks_nothing(effect: float, delete_at: float) -> None:
    """It may take effect for a while after it was given up: only a LIST of after that proves anything."""

    async def test(world: World) -> None:
        slow(world, effect)
        world.kube.claim_store.create(claim_body())
        await asyncio.sleep(delete_at)
        world.kube.claim_store.delete("ws1")
        await world.until(lambda: world.claim_or_none() is None, 1800)
        await asyncio.sleep(600)
        assert world.pools() == {}
        assert world.kube.node_store.items == {}

    scene(test, UNSWEPT, start=False)


def test_a_put_that_is_always_cut_off_is_not_asked_again_at_once() -> None:
    async def test(world: World) -> None:
        aks = slow(world, None)
        world.kube.claim_store.create(claim_body())
        await asyncio.sleep(1800)
        assert 2 <= aks.asked <= 1800 / 180

    scene(test, UNSWEPT, start=False)
