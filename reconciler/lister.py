"""What pools does the cluster have? One LIST answers for every claim.

AKS allows one read per second to a whole subscription and region, so no pool is asked for by itself: a LIST every ten
seconds while something is going on, every half minute otherwise, and sooner when a claim needs a newer one.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from reconciler.azure import AgentPools, AzureError, LostError
from reconciler.clock import loop_time
from reconciler.errors import UNKNOWN, Class, Verdict, classify
from reconciler.nodepool import NEVER, Cluster, Pool, Snapshot

LOG = logging.getLogger(__name__)
SHORTEST = 2.0
"""Between two LISTs, however much is wanted."""
TICK = 0.001
"""A LIST that begins at the very moment of a request may have come before it."""
FIRST_DELAY, LONGEST_DELAY = 2.0, 60.0
SEVERAL = 3
"""Failures in a row that are more than a hiccup."""
LONG_WAIT = 15.0
"""So many seconds that Azure asks to wait are no hiccup either."""
UNANSWERED = Verdict(
    "AzureUnreachable",
    "Azure does not answer as it should: the reconciler's log says how; it tries again by itself",
    Class.TRANSIENT,
)
CLUSTER_PERIOD, UNSTEADY_PERIOD = 300.0, 60.0


class EmptyListError(Exception):
    """An AKS cluster has at least one system pool, so an empty list is about something else."""


@dataclass
class Lister:
    pools: AgentPools
    changed: Callable[[Iterable[str]], None]
    """Called after each LIST with the names of the pools that changed, and the keys that waited for it."""
    busy: Callable[[], bool]
    period: float
    idle_period: float
    snapshot: Snapshot = NEVER
    cluster: Cluster | None = None
    verdict: Verdict | None = None
    """Why the last LISTs failed, several in a row; None while they come."""
    read_at: float = float("-inf")
    """When the last LIST came that was whole."""
    _cluster_at: float = float("-inf")
    _cluster_tried: float = float("-inf")
    """When the cluster was last asked for in vain."""
    _steady_since: float | None = None
    _wanted: dict[str, float] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def want(self, key: str, after: float) -> None:
        """The key waits for a LIST that begins after a time."""
        self._wanted[key] = max(after, self._wanted.get(key, after))
        self._wake.set()

    def hurry(self) -> None:
        """Something began: the next LIST is due by the shorter period."""
        self._wake.set()

    def steady_for(self) -> float:
        """For how long the cluster has been running and at rest, as far as we saw; less than 0: it is not."""
        return loop_time() - self._steady_since if self._steady_since is not None else -1.0

    async def run(self) -> None:
        failures = 0
        while True:
            await self._until_due()
            await self._look_at_cluster()
            try:
                await self._read()
                failures, self.verdict = 0, None
            except Exception as error:  # noqa: BLE001 -- whatever it is, to end the process would mend nothing
                failures += 1
                _tell("the node pools cannot be read", error)
                wanted = (error.retry_after or 0.0) if isinstance(error, AzureError) else 0.0
                if failures >= SEVERAL or wanted >= LONG_WAIT:
                    self._blame(_judge(error))
                await asyncio.sleep(max(wanted, min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(failures - 1, 16))))

    def _blame(self, verdict: Verdict) -> None:
        """Who waits for a LIST hears why none comes, once."""
        if verdict != self.verdict:
            self.verdict = verdict
            self.changed(list(self._wanted))

    async def _until_due(self) -> None:
        while (left := self._due() - loop_time()) > 0:
            self._wake.clear()
            try:
                async with asyncio.timeout(max(left, TICK)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _due(self) -> float:
        last = self.snapshot.started
        period = self.period if self.busy() else self.idle_period
        return max(last + SHORTEST, min([last + period, *(after + TICK for after in self._wanted.values())]))

    async def _read(self) -> None:
        started = loop_time()
        found = await self.pools.list()
        if not found:
            raise EmptyListError(
                "Azure lists no node pool at all, not even a system pool: nothing is concluded from it"
            )
        self._publish(Snapshot(started, {pool.name: pool for pool in found}))

    def _publish(self, snapshot: Snapshot) -> None:
        old, self.snapshot = self.snapshot, snapshot
        self.read_at = loop_time()
        waited = [key for key, after in self._wanted.items() if after < snapshot.started]
        for key in waited:
            del self._wanted[key]
        self.changed({*waited, *_different(old.pools, snapshot.pools)})

    async def _look_at_cluster(self) -> None:
        """Only Nodes are judged by it: who may not read it, or not now, still makes and deletes pools."""
        if loop_time() < self._cluster_tried + UNSTEADY_PERIOD:
            return
        try:
            await self._read_cluster(CLUSTER_PERIOD if self._steady_since is not None else UNSTEADY_PERIOD)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the LIST of pools does not need it
            self._cluster_tried = loop_time()
            _tell("the cluster cannot be read", error)
            if loop_time() - self._cluster_at > 2 * CLUSTER_PERIOD:
                self.cluster, self._steady_since = None, None

    async def refresh_cluster(self) -> None:
        """Before anything is ended because of what its Nodes look like."""
        await self._read_cluster(UNSTEADY_PERIOD)

    async def _read_cluster(self, period: float) -> None:
        if loop_time() - self._cluster_at < period:
            return
        self.cluster = await self.pools.cluster()
        self._cluster_at = loop_time()
        if not self.cluster.steady:
            self._steady_since = None
        elif self._steady_since is None:
            self._steady_since = self._cluster_at


def _tell(what: str, error: Exception) -> None:
    expected = isinstance(error, AzureError | LostError | EmptyListError)
    LOG.log(
        logging.WARNING if expected else logging.ERROR,
        what,
        extra={"cause": repr(error) if not expected else str(error)},
        exc_info=None if expected else error,
    )


def _judge(error: Exception) -> Verdict:
    """In words that are the same each time: a request's own number in a status would be news for ever."""
    if not isinstance(error, AzureError):
        return UNANSWERED
    verdict = classify(error.trouble)
    if verdict is UNKNOWN:
        return replace(verdict, sentence=f"{verdict.sentence} ({error.status} {error.trouble.code})")
    return verdict


def _different(old: Mapping[str, Pool], new: Mapping[str, Pool]) -> set[str]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
