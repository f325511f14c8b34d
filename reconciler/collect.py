"""Which pools of ours belong to no claim any more, and which of them may be deleted now?

The second net under the finalizers, for what no finalizer can hold: a claim whose finalizer somebody removed by hand, a
request that took effect after everybody had given it up. Deleting pools that nobody watches is dangerous, so it has
brakes: seen in two searches, old enough, few at once, and nothing at all while the list of claims looks wrong.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reconciler import names
from reconciler.azure import AgentPools, AzureError, LostError
from reconciler.clock import Clock, loop_time
from reconciler.kube import Kube, KubeError
from reconciler.lister import Lister
from reconciler.metrics import Metrics
from reconciler.node import Node
from reconciler.nodeclaim import Claim
from reconciler.nodepool import Ownership, Pool, ownership
from reconciler.prices import Prices, read_prices
from reconciler.settings import Settings

LOG = logging.getLogger(__name__)
CONFIRM_SECONDS = 300.0
"""An odd list of claims is believed when a second one says the same so much later."""


@dataclass(frozen=True, slots=True)
class Orphan:
    pool: Pool
    age: timedelta
    why_not: str = ""
    """The brake that keeps it; empty: it may be deleted."""


@dataclass(frozen=True, slots=True)
class Search:
    """What one search knows of the ones before it."""

    seen: frozenset[str] = frozenset()
    """The UIDs of the orphans of the last search."""
    claims: int = 0
    """How many claims there were when the list of them was last believed."""
    odd_since: float | None = None
    """When the list of claims began to look wrong."""


def orphans(pools: Iterable[Pool], uids: Iterable[str], cluster: str, now: datetime) -> list[Orphan]:
    """Pools of ours whose claim does not exist, the oldest first."""
    alive = set(uids)
    ours = [pool for pool in pools if ownership(pool, cluster) is Ownership.OURS and pool.uid not in alive]
    return sorted((Orphan(pool, now - (pool.created or now)) for pool in ours), key=lambda each: each.age, reverse=True)


def brake(
    found: list[Orphan], before: Search, claims: int, moment: float, *, least_age: timedelta, limit: int
) -> tuple[list[Orphan], Search]:
    """The same orphans, each with what keeps it, and what the next search must know."""
    odd = _is_odd(before, claims)
    since = (before.odd_since if before.odd_since is not None else moment) if odd else None
    confirmed = since is not None and moment - since >= CONFIRM_SECONDS
    after = Search(
        frozenset(each.pool.uid for each in found),
        claims if not odd or confirmed else before.claims,
        since,
    )
    refusal = "the list of claims is empty or has shrunk by half" if odd and not confirmed else ""
    judged, left = [], limit
    for each in found:
        why = refusal or _why_not(each, before, least_age) or ("" if left > 0 else "enough were deleted in this search")
        left -= not why
        judged.append(Orphan(each.pool, each.age, why))
    return judged, after


def _is_odd(before: Search, claims: int) -> bool:
    return claims == 0 or claims * 2 < before.claims


def _why_not(orphan: Orphan, before: Search, least_age: timedelta) -> str:
    if orphan.pool.deleting:
        return "it is being deleted"
    if orphan.pool.uid not in before.seen:
        return "it was not yet an orphan in the search before"
    return "it is too young" if orphan.age < least_age else ""


@dataclass
class Collector:
    """Searches, and deletes what no brake keeps."""

    settings: Settings
    clock: Clock
    kube: Kube
    pools: AgentPools
    lister: Lister
    nodes: Callable[[], list[Node]]
    cluster_id: str
    metrics: Metrics
    may_write: Callable[[], bool]
    last: Search = field(default_factory=Search)
    found: list[Orphan] = field(default_factory=list)
    prices: Prices = field(init=False)

    def __post_init__(self) -> None:
        self.prices = read_prices(self.settings.prices, self.settings.location)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.settings.sweep_period)
            try:
                await self.sweep()
            except (AzureError, LostError, KubeError) as error:
                LOG.warning("the search for orphans failed", extra={"cause": str(error)})
            except Exception:
                # Whatever is odd about one pool: to end the process would end it again after each start.
                LOG.exception("the search for orphans failed")

    async def sweep(self) -> None:
        """Pools first, then claims: a claim that is missing then was not there when its pool was seen."""
        snapshot = self.lister.snapshot
        if loop_time() - snapshot.started > 2 * self.settings.idle_period:
            return
        claims = [Claim(each) for each in await self.kube.list_claims()]
        found = orphans(snapshot.pools.values(), (each.uid for each in claims), self.cluster_id, self.clock())
        judged, self.last = brake(
            found,
            self.last,
            len(claims),
            loop_time(),
            least_age=self.settings.orphan_age,
            limit=self.settings.sweep_limit,
        )
        self.found = judged
        for orphan in judged:
            await self._judge(orphan)
        await self._release_nodes({each.uid for each in claims}, snapshot.pools)

    async def _judge(self, orphan: Orphan) -> None:
        facts = {"pool": orphan.pool.name, "age": str(orphan.age), "usd_per_hour": self.prices.get(orphan.pool.size)}
        if orphan.why_not:
            LOG.info("orphan kept", extra={**facts, "cause": orphan.why_not})
            if orphan.why_not.startswith(("the list", "enough")):
                self.metrics.collect_refusals.labels("ClaimsOdd" if "list" in orphan.why_not else "LimitReached").inc()
            return
        if not self.may_write():
            return
        LOG.warning("orphan deleted", extra=facts)
        try:
            await self.pools.delete(orphan.pool.name, orphan.pool.etag)
        except (AzureError, LostError) as error:
            LOG.warning("orphan not deleted", extra={**facts, "cause": str(error)})

    async def _release_nodes(self, alive: set[str], pools: Mapping[str, Pool]) -> None:
        """Nodes that our finalizer holds although nobody is left to take it off."""
        for node in self.nodes():
            uid = node.labels.get(names.UID_LABEL, "")
            gone = bool(uid) and uid not in alive
            if not (gone and self._has_left(uid, pools.get(node.pool)) and node.held and self.may_write()):
                continue
            kept = [each for each in node.finalizers if each != names.TERMINATION_FINALIZER]
            try:
                await self.kube.patch_node(node.name, node.version, {"metadata": {"finalizers": kept}})
                if not node.deleting:
                    await self.kube.delete_node(node.name, node.uid)
            except KubeError as error:
                LOG.info("node not released", extra={"node": node.name, "cause": str(error)})

    def _has_left(self, uid: str, pool: Pool | None) -> bool:
        """Whether the pool of a UID is no more: there is none of its name, or beyond doubt another claim's."""
        return pool is None or (ownership(pool, self.cluster_id) is Ownership.OURS and pool.uid != uid)
