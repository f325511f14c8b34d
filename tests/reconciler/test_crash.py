"""Can a process die at any moment without a pool leaked, made twice or taken from somebody else?

One claim, every call of its whole life, before and after the call takes effect, for each time at which the claim may be
deleted, for pools that are made and pools that fail, with and without the search for orphans. Two claims, pairwise.
"""

import asyncio
import sys
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest

from reconciler.errors import Trouble
from reconciler.kube import GoneError
from reconciler.nodepool import Pool
from reconciler.settings import Settings
from tests.reconciler.fake_kube import claim_body
from tests.reconciler.virtual import run_virtually
from tests.reconciler.world import DELAYS, SETTINGS, Process, Wire, World

DELETE_AT = (None, 0.5, 1.5, 2.5, 50.0, 101.0, 113.0, 150.0)
"""Seconds after the claim: before the PUT, after it, while the pool is made, before and after its Node joined."""
CALM = 900.0
FOREIGN = Pool("theirs", "Succeeded", size="Standard_D4s_v5")


@dataclass(frozen=True)
class Schedule:
    crash_at: int
    after: bool
    delete_at: float | None
    fails: bool
    sweep: bool
    claims: int = 1
    second: tuple[int, bool] | None = None
    """The call at which the process after it dies too, and whether the call still takes effect."""

    def names(self) -> list[str]:
        return [f"ws{number}" for number in range(1, self.claims + 1)]


def settings(schedule: Schedule) -> Settings:
    return replace(SETTINGS, sweep_period=120.0 if schedule.sweep else 1e9)


async def _play(schedule: Schedule) -> tuple[list[str], list[str]]:
    """Run one schedule; the calls of the process that may die, and what went wrong."""
    world = World(settings(schedule), replace(DELAYS, create=60.0, delete=30.0))
    failing = set(schedule.names()) if schedule.fails else set()
    world.aks.fail = lambda pool: Trouble("AllocationFailed", "none") if _once(failing, pool.name) else None
    foreign = world.aks.put(FOREIGN)
    wire = Wire(schedule.crash_at, schedule.after)
    process = world.launch(wire)
    await asyncio.sleep(3)
    for name in schedule.names():
        world.kube.claim_store.create(claim_body(name, ("Standard_NC24ads_A100_v4", "Standard_NC40ads_H100_v5")))
    reviving = asyncio.create_task(_revive(world, schedule, wire, process))
    if schedule.delete_at is not None:
        await asyncio.sleep(schedule.delete_at)
        for name in schedule.names():
            with suppress(GoneError):
                world.kube.claim_store.delete(name)
    await asyncio.sleep(CALM)
    wrong = _judge(world, schedule, foreign)
    reviving.cancel()
    await world.close()
    return wire.calls, wrong


def _once(names: set[str], name: str) -> bool:
    """The first pool of each name fails."""
    found = name in names
    names.discard(name)
    return found


async def _revive(world: World, schedule: Schedule, wire: Wire, process: Process) -> None:
    await wire.died.wait()
    await process.kill()
    await asyncio.sleep(3)
    following = Wire(*schedule.second) if schedule.second else Wire()
    process = world.launch(following)
    await following.died.wait()
    await process.kill()
    await asyncio.sleep(3)
    world.launch()


def _judge(world: World, schedule: Schedule, foreign: Pool) -> list[str]:
    wrong = []
    expected = 2 if schedule.fails else 1
    for name in schedule.names():
        made = world.aks.puts.count(name)
        if made > expected:
            wrong.append(f"{made} pools were made for {name}")
        if schedule.delete_at is None and not (world.ready(name) and name in world.pools()):
            wrong.append(f"{name} is not ready: {world.conditions(name)}")
        if schedule.delete_at is not None and world.claim_or_none(name) is not None:
            wrong.append(f"{name} is still there")
        if schedule.delete_at is not None and name in world.pools():
            wrong.append(f"the pool of {name} is leaked")
    if world.pools().get("theirs") != foreign:
        wrong.append("a foreign pool was touched")
    if schedule.delete_at is not None and world.kube.node_store.items:
        wrong.append("a Node was left")
    return wrong


def play(schedule: Schedule) -> tuple[list[str], list[str]]:
    return run_virtually(_play(schedule))


def sweep_all(schedules: list[Schedule]) -> list[str]:
    found = []
    for schedule in schedules:
        _, wrong = play(schedule)
        found += [f"{schedule}: {each}" for each in wrong]
    return found


def schedules(*, fails: bool, sweep: bool, delete_at: float | None, claims: int = 1) -> list[Schedule]:
    calls, wrong = play(Schedule(-1, after=False, delete_at=delete_at, fails=fails, sweep=sweep, claims=claims))
    assert wrong == []
    return [
        Schedule(number, after, delete_at, fails, sweep, claims)
        for number in worth_dying_at(calls)
        for after in (False, True)
    ]


def worth_dying_at(calls: list[str]) -> list[int]:
    """Every call, but of those that only look, again and again, the first and the last of each row."""
    looks = ("azure.list", "azure.cluster", "kube.list_claims")
    around = zip(["", *calls], calls, [*calls[1:], ""], strict=False)
    return [
        number
        for number, (before, call, following) in enumerate(around)
        if call not in looks or before not in looks or following not in looks
    ]


@pytest.mark.parametrize("delete_at", DELETE_AT)
def test_a_life_without_a_crash(delete_at: float | None) -> None:
    for fails in (False, True):
        _, wrong = play(Schedule(-1, after=False, delete_at=delete_at, fails=fails, sweep=False))
        assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [False, True])
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("delete_at", DELETE_AT)
def test_a_crash_at_every_call(
    delete_at: float | None, fails: bool, sweep: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    every = schedules(fails=fails, sweep=sweep, delete_at=delete_at)
    assert sweep_all(every) == []
    with capsys.disabled():
        sys.stdout.write(f"\n{len(every)} schedules: 0 leaked, 0 duplicate, 0 foreign pools touched\n")


@pytest.mark.slow
@pytest.mark.parametrize("delete_at", [None, 2.5, 101.0])
def test_two_claims_and_a_crash_at_every_call(delete_at: float | None) -> None:
    assert sweep_all(schedules(fails=False, sweep=True, delete_at=delete_at, claims=2)) == []


@pytest.mark.slow
@pytest.mark.parametrize("delete_at", [None, 2.5, 101.0])
def test_a_second_crash_at_every_call_after_the_first(delete_at: float | None) -> None:
    """Pairs: the process that follows dies as well, at each of its calls, for first deaths over the whole life."""
    wrong = []
    for first in schedules(fails=False, sweep=False, delete_at=delete_at)[::6]:
        for number in range(0, 24, 2):
            for after in (False, True):
                pair = replace(first, second=(number, after))
                wrong += [f"{pair}: {each}" for each in play(pair)[1]]
    assert wrong == []


async def _two_leaders(delete_at: float) -> list[str]:
    """For sixty seconds and more both believe that they lead, and nothing but the protocol keeps them apart."""
    schedule = Schedule(-1, after=False, delete_at=delete_at, fails=False, sweep=True, claims=3)
    world = World(settings(schedule), DELAYS)
    foreign = world.aks.put(FOREIGN)
    world.launch()
    second = world.launch()
    for name in schedule.names():
        world.kube.claim_store.create(claim_body(name))
    await asyncio.sleep(delete_at)
    for name in schedule.names():
        world.kube.claim_store.delete(name)
    await asyncio.sleep(60)
    await second.kill()
    await asyncio.sleep(CALM)
    wrong = _judge(world, schedule, foreign)
    await world.close()
    return wrong


@pytest.mark.parametrize("delete_at", [0.5, 3.0, 50.0, 105.0, 300.0])
def test_two_live_leaders_make_nothing_twice_and_leak_nothing(delete_at: float) -> None:
    assert run_virtually(_two_leaders(delete_at)) == []
