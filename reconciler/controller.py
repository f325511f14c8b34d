"""The loop: a claim that something happened to is decided upon and dealt with, until there is nothing to do for now."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from reconciler import budget
from reconciler.azure import AgentPools, AzureError, LostError
from reconciler.clock import Clock, loop_time
from reconciler.collect import Collector, Orphan
from reconciler.decide import decide
from reconciler.decide.action import Decision
from reconciler.effects import Effects, NotLeaderError
from reconciler.events import Recorder
from reconciler.kube import ConflictError, GoneError, Kube, KubeError
from reconciler.lister import Lister
from reconciler.memory import Memories
from reconciler.metrics import Metrics
from reconciler.mirror import Mirror
from reconciler.nodeclaim import Claim
from reconciler.offerings import Refusals
from reconciler.prices import Prices
from reconciler.runtime.queue import Queue
from reconciler.settings import Settings
from reconciler.sight import Sight

LOG = logging.getLogger(__name__)
STEPS = 12
"""Decisions about one claim in one turn; a claim's whole life has fewer."""
TURN_SECONDS = 150.0
RESYNC_SECONDS = 600.0


def _always() -> bool:
    return True


@dataclass
class Controller:
    """`run` works until it is cancelled; `watch` only listens, as a standby does."""

    settings: Settings
    clock: Clock
    kube: Kube
    pools: AgentPools
    may_write: Callable[[], bool] = _always
    metrics: Metrics = field(default_factory=Metrics)
    queue: Queue = field(default_factory=Queue)
    memories: Memories = field(default_factory=Memories)
    refusals: Refusals = field(default_factory=Refusals)
    effects: Effects = field(init=False)
    collector: Collector | None = None
    """None until it leads."""
    cluster_id: str = ""

    def __post_init__(self) -> None:
        given = self.settings
        self.mirror = Mirror(self.kube, self.queue.add)
        self.lister = Lister(
            self.pools, self._pools_changed, self.memories.unsettled, given.list_period, given.idle_period
        )
        self.recorder = Recorder(self.kube, self.clock)

    async def watch(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.mirror.claims.run())
            tasks.create_task(self.mirror.nodes.run())

    async def work(self) -> None:
        """As the leader: `watch` must run beside it."""
        await self.mirror.wait()
        collector = self._begin(await self._cluster_id())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.lister.run())
            tasks.create_task(self._resync())
            tasks.create_task(collector.run())
            for _ in range(self.settings.workers):
                tasks.create_task(self._worker())

    @property
    def orphans(self) -> list[Orphan]:
        return self.collector.found if self.collector else []

    @property
    def prices(self) -> Prices:
        return self.collector.prices if self.collector else {}

    def _begin(self, cluster_id: str) -> Collector:
        began, self.cluster_id = loop_time(), cluster_id
        sight = Sight(
            self.settings, self.clock, cluster_id, self.mirror, self.lister, self.refusals, self.memories, began
        )
        self.effects = Effects(
            self.settings,
            self.clock,
            self.kube,
            self.pools,
            self.mirror,
            self.lister,
            sight,
            self.refusals,
            self.memories,
            self.recorder,
            self.metrics,
            self.may_write,
        )
        self.collector = collector = Collector(
            self.settings,
            self.clock,
            self.kube,
            self.pools,
            self.lister,
            self.mirror.all_nodes,
            cluster_id,
            self.metrics,
            self.may_write,
        )
        return collector

    async def _cluster_id(self) -> str:
        """An API server that is down at the start is waited for."""
        while True:
            try:
                return await self.kube.cluster_id()
            except KubeError as error:
                LOG.warning("the namespace `kube-system` cannot be read", extra={"cause": str(error)})
                await asyncio.sleep(5)

    def _pools_changed(self, names: Iterable[str]) -> None:
        """The oldest first, and where pools went also those that wait for room: by themselves they look rarely."""
        changed = list(names)
        touched = [claim for claim in map(self.mirror.claim, changed) if claim is not None]
        if changed:
            touched += [claim for claim in self.effects.sight.next_in_line() if claim.waits_for_room]
        for claim in sorted(touched, key=budget.age):
            self.queue.add(claim.name)

    async def _resync(self) -> None:
        while True:
            for name in list(self.mirror.claims.items):
                self.queue.add(name)
            self.memories.keep({claim.uid for claim in self.mirror.all_claims()})
            await asyncio.sleep(RESYNC_SECONDS)

    async def _worker(self) -> None:
        while True:
            key = await self.queue.take()
            try:
                async with asyncio.timeout(TURN_SECONDS):
                    again = await self._tell(key)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 -- one claim's trouble must not stop the others
                self._failed(key, error)
            else:
                self.queue.done(key, again)

    async def _tell(self, key: str) -> float | None:
        """A turn, and the events of it: those of one that failed say why."""
        try:
            again = await self.turn(key)
        except Exception:
            await self.recorder.flush()
            raise
        await self.recorder.flush()
        return again

    def _failed(self, key: str, error: Exception) -> None:
        wanted = error.retry_after if isinstance(error, AzureError | KubeError) else None
        delay = self.queue.failed(key, wanted or 0.0)
        expected = isinstance(error, AzureError | LostError | KubeError | NotLeaderError | TimeoutError)
        level = logging.INFO if isinstance(error, ConflictError | GoneError) else logging.WARNING
        LOG.log(
            level if expected else logging.ERROR,
            "a turn failed and is repeated",
            extra={"claim": key, "cause": repr(error), "delay": round(delay, 1)},
            exc_info=None if expected else error,
        )

    def _measure(self, before: Claim, after: Claim) -> None:
        """How long a claim waited for its node, once it has one."""
        pool = self.lister.snapshot.pools.get(after.name)
        if after.ready and not before.ready and pool is not None and pool.created is not None:
            self.metrics.create_seconds.observe((self.clock() - pool.created).total_seconds())

    def _is_early(self, claim: Claim, decision: Decision) -> float:
        """In how many seconds what hinders a claim that was never ready has lasted long enough to be written."""
        if not decision.patience or decision.status is None or claim.ready:
            return 0.0
        reasons = tuple(str(each["reason"]) for each in decision.status.get("conditions", ()))
        return self.memories.of(claim.uid, loop_time()).patience(reasons, decision.patience, loop_time())

    async def turn(self, name: str) -> float | None:
        """Decide and act until there is nothing to do for now; when to look again."""
        for _ in range(STEPS):
            claim = self.mirror.claim(name)
            if claim is None:
                return None
            decision = decide(self.effects.sight.seen(claim))
            self.memories.of(claim.uid, loop_time()).settled = decision.settled
            if decision.notice is not None:
                notice = decision.notice
                (self.recorder.warning if notice.kind == "Warning" else self.recorder.normal)(
                    claim, notice.reason, notice.message
                )
            early = self._is_early(claim, decision)
            if early > 0:
                return early
            written = await self.effects.write_status(claim, decision)
            self._measure(claim, written)
            claim = written
            again = await self.effects.perform(claim, decision)
            if again != 0.0:
                return again
        return 1.0
