"""A cluster in virtual time: an API server and an AKS in memory, and reconcilers that live, crash and live again.

Every call of a reconciler to either goes through a `Wire`, which numbers it and can cut the process off before the call
takes effect, or after it did and before the answer arrives: the two ways a process can die.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from reconciler import names
from reconciler.azure.throttle import ThrottledPools
from reconciler.controller import Controller
from reconciler.nodepool import Ownership, Pool, ownership
from reconciler.runtime.elector import Elector
from reconciler.settings import Settings
from reconciler.simulate import Delays, Machines, SimulatedAks
from tests.reconciler.fake_kube import FakeKube
from tests.reconciler.virtual import run_virtually

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = replace(Settings(), azure="simulated", location="eastus", workers=4)
DELAYS = Delays(create=100.0, join=10.0, ready=20.0, delete=60.0)


class DeadError(Exception):
    """The process that asks has been killed."""


@dataclass
class Wire:
    """Between a process and the world."""

    crash_at: int = -1
    """The number of the call at which the process dies, from 0."""
    after: bool = False
    """Whether the call still takes effect."""
    calls: list[str] = field(default_factory=list)
    died: asyncio.Event = field(default_factory=asyncio.Event)
    before_call: Callable[[str], None] = lambda _name: None
    """May raise instead of the call."""
    lost_answer: Callable[[str], Exception | None] = lambda _name: None
    """An error instead of the answer to a call that took effect."""

    async def call(self, name: str, request: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        if self.died.is_set():
            raise DeadError
        number = len(self.calls)
        self.calls.append(name)
        if number == self.crash_at and not self.after:
            await self._die()
        self.before_call(name)
        answer = await request()
        if number == self.crash_at:
            await self._die()
        lost = self.lost_answer(name)
        if lost is not None:
            raise lost
        return answer

    async def _die(self) -> None:
        self.died.set()
        await asyncio.get_running_loop().create_future()


class Wired:
    """An object whose coroutine methods go through a wire."""

    def __init__(self, inner: Any, wire: Wire, prefix: str) -> None:
        self._inner, self._wire, self._prefix = inner, wire, prefix

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            return await self._wire.call(f"{self._prefix}.{name}", lambda: found(*arguments, **named))

        return call


@dataclass
class Process:
    """One reconciler, as its own operating-system process would be."""

    controller: Controller
    wire: Wire
    elector: Elector | None
    tasks: list["asyncio.Task[Any]"] = field(default_factory=list)

    async def kill(self) -> None:
        self.wire.died.set()
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with suppress(asyncio.CancelledError, Exception):
                await task


class World:
    def __init__(self, settings: Settings = SETTINGS, delays: Delays = DELAYS) -> None:
        self.settings = settings
        self.start = asyncio.get_running_loop().time()
        self.kube = FakeKube(self.now)
        self.aks = SimulatedAks(delays)
        self.machines = Machines(self.aks, self.kube, self.now, period=2.0)
        self.processes: list[Process] = []
        self._task = asyncio.create_task(self.machines.run())

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=asyncio.get_running_loop().time() - self.start)

    def launch(self, wire: Wire | None = None, *, elect: str = "", settings: Settings | None = None) -> Process:
        """A process; with a name for the lease it takes part in the election."""
        wire = wire or Wire()
        kube = Wired(self.kube, wire, "kube")
        pools = ThrottledPools(Wired(self.aks, wire, "azure"))
        elector = Elector(Wired(self.kube, wire, "lease"), elect, wire.died.set) if elect else None
        may_write = (lambda: elector.may_write) if elector else (lambda: True)
        controller = Controller(settings or self.settings, self.now, kube, pools, may_write)
        process = Process(controller, wire, elector)
        process.tasks = [asyncio.create_task(controller.watch()), asyncio.create_task(_work(controller, elector))]
        if elector:
            process.tasks.append(asyncio.create_task(elector.run()))
        self.processes.append(process)
        return process

    async def close(self) -> None:
        for process in self.processes:
            await process.kill()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def until(self, condition: Callable[[], object], seconds: float = 7200.0) -> None:
        """Let time pass until it is so."""
        end = asyncio.get_running_loop().time() + seconds
        while not condition():
            assert asyncio.get_running_loop().time() < end, self.describe()
            await asyncio.sleep(1.0)

    def describe(self) -> str:
        claims = [(name, self.conditions(name)) for name in self.kube.claim_store.items]
        pools = [(pool.name, pool.state) for pool in self.pools().values()]
        return f"{self.now():%H:%M:%S} claims {claims} pools {pools}"

    def claim_or_none(self, name: str = "ws1") -> dict[str, Any] | None:
        return self.kube.claim_store.items.get(name)

    def claim(self, name: str = "ws1") -> dict[str, Any]:
        found = self.claim_or_none(name)
        assert found is not None, name
        return found

    def conditions(self, name: str = "ws1") -> dict[str, tuple[str, str]]:
        body = self.claim_or_none(name) or {}
        conditions = (body.get("status") or {}).get("conditions") or ()
        return {each["type"]: (each["status"], each["reason"]) for each in conditions}

    def message(self, name: str = "ws1", kind: str = names.LAUNCHED) -> str:
        conditions = ((self.claim_or_none(name) or {}).get("status") or {}).get("conditions") or ()
        return next((str(each["message"]) for each in conditions if each["type"] == kind), "")

    def ready(self, name: str = "ws1") -> bool:
        return self.conditions(name).get(names.READY, ("", ""))[0] == "True"

    def pools(self) -> dict[str, Pool]:
        return {name: record.pool for name, record in self.aks._records.items() if name != "systempool"}

    def ours(self) -> list[Pool]:
        return [pool for pool in self.pools().values() if ownership(pool, self.kube.id) is Ownership.OURS]


async def _work(controller: Controller, elector: Elector | None) -> None:
    if elector:
        await elector.elected.wait()
    await controller.work()


def scene(
    test: Callable[[World], Coroutine[Any, Any, None]],
    settings: Settings = SETTINGS,
    delays: Delays = DELAYS,
    *,
    start: bool = True,
) -> None:
    """Play a test in a world of its own, with one reconciler already at work."""

    async def main() -> None:
        world = World(settings, delays)
        if start:
            world.launch()
        try:
            await test(world)
        finally:
            await world.close()

    run_virtually(main())
