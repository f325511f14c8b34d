"""What does a fleet ask of ARM? The controller and the real SDK against the fake ARM, with Azure's own durations.

Minutes pass at once, so an hour's idleness is an hour's; only the API server is one in memory.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from reconciler.azure import AgentPools
from reconciler.azure.throttle import ThrottledPools
from reconciler.controller import Controller
from reconciler.desired import Desired
from reconciler.nodeclaim import Claim
from reconciler.settings import Settings
from reconciler.simulate import Machines
from tests.fakearm.aks import Times
from tests.fakearm.bench import Bench, run_over_http
from tests.fakearm.cloud import Fleet
from tests.reconciler.bench.polling import Poller
from tests.reconciler.fake_kube import FakeKube, claim_body

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE, HOUR = 60.0, 3600.0
AZURE = Times(create=10 * MINUTE, update=MINUTE, delete=5 * MINUTE)
"""A GPU pool of one node."""


@dataclass(frozen=True)
class Asked:
    """Of ARM, in a span of time."""

    seconds: float
    calls: "Counter[str]"
    """By method."""
    throttled: int

    @property
    def reads_per_second(self) -> float:
        return self.calls["GET"] / self.seconds

    @property
    def others_per_second(self) -> float:
        """All but the PUTs."""
        return (sum(self.calls.values()) - self.calls["PUT"]) / self.seconds


@dataclass(frozen=True)
class Story:
    """What a provisioner asked while many claims were made, rested and went."""

    creating: Asked
    idle: Asked
    deleting: Asked
    ready_after: tuple[float, ...] = ()
    """Of each claim: from its Node's readiness to its own, in seconds."""


class Counted:
    """The requests to a fake ARM from here to there."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._mark, self._refused, self._at = 0, 0, 0.0

    async def during(self, scene: Awaitable[object]) -> Asked:
        arm = self._bench.arm
        self._mark, self._refused, self._at = len(arm.seen), arm.refused, arm.aks.clock()
        await scene
        calls = Counter(each.method for each in arm.seen[self._mark :])
        return Asked(max(arm.aks.clock() - self._at, 1.0), calls, arm.refused - self._refused)


class Noting(ThrottledPools):
    """Notes which pools are asked for, in which order: on their way to ARM, requests overtake each other."""

    def __init__(self, pools: AgentPools) -> None:
        super().__init__(pools)
        self.asked: dict[str, None] = {}

    async def create(self, pool: Desired) -> None:
        self.asked[pool.name] = None
        await super().create(pool)


class Cluster:
    """The reconciler at work in front of a fake ARM."""

    def __init__(self, bench: Bench, settings: Settings) -> None:
        self.bench = bench
        self._start = asyncio.get_running_loop().time()
        self.kube = FakeKube(self.now)
        self.fleet = Fleet(bench.aks, join=30.0, ready=60.0)
        self.pools = Noting(bench.pools)
        self._controller = Controller(settings, self.now, self.kube, self.pools)
        machines = Machines(self.fleet, self.kube, self.now, period=2.0)
        work = (self._controller.watch(), self._controller.work(), machines.run())
        self._tasks = [asyncio.create_task(each) for each in work]

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=asyncio.get_running_loop().time() - self._start)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def ready(self) -> int:
        return sum(Claim(body).ready for body in self.kube.claim_store.items.values())

    def at(self, moment: datetime) -> float:
        """A moment of the claims on the loop's clock."""
        return (moment - EPOCH).total_seconds() + self._start

    async def until(self, condition: Callable[[], object], period: float = 5.0) -> None:
        for _ in range(10_000):
            if condition():
                return
            await asyncio.sleep(period)
        raise AssertionError(self.kube.claim_store.items)


def settings(pool_limit: int) -> Settings:
    return replace(Settings(), azure="arm", location="eastus", pool_limit=pool_limit)


def our_story(count: int) -> Story:
    """So many claims at once, an hour of rest, and their end."""

    async def scene(bench: Bench) -> Story:
        bench.aks.times = AZURE
        bench.aks.limit = 2 * count
        cluster, counted = Cluster(bench, settings(2 * count)), Counted(bench)
        names = [f"ws{number}" for number in range(count)]
        await asyncio.sleep(2 * MINUTE)
        for name in names:
            cluster.kube.claim_store.create(claim_body(name))
        creating = await counted.during(cluster.until(lambda: cluster.ready() == count))
        after = tuple(sorted(_ready_after(cluster, name) for name in names))
        await asyncio.sleep(2 * MINUTE)
        idle = await counted.during(asyncio.sleep(HOUR))
        for name in names:
            cluster.kube.claim_store.delete(name)
        deleting = await counted.during(cluster.until(lambda: not cluster.kube.claim_store.items))
        await cluster.close()
        return Story(creating, idle, deleting, after)

    return run_over_http(scene)


def _ready_after(cluster: Cluster, name: str) -> float:
    ready = Claim(cluster.kube.claim_store.items[name]).conditions["Ready"]
    return cluster.at(ready.since) - cluster.fleet.ready_at[name]


def polling_story(count: int) -> Story:
    """The same by the stand-in."""

    async def scene(bench: Bench) -> Story:
        bench.aks.times = AZURE
        bench.aks.limit = 2 * count
        bench.arm.retry_after = None
        poller, counted = Poller(bench), Counted(bench)
        names = [f"ws{number}" for number in range(count)]
        collecting = asyncio.create_task(poller.collect_garbage())
        creating = await counted.during(asyncio.gather(*map(poller.create, names)))
        idle = await counted.during(asyncio.sleep(HOUR))
        deleting = await counted.during(asyncio.gather(*map(poller.delete, names)))
        collecting.cancel()
        return Story(creating, idle, deleting)

    return run_over_http(scene)
