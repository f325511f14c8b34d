"""The figures as they are at the moment somebody asks for them."""

from collections import Counter
from dataclasses import dataclass

from reconciler import names
from reconciler.clock import Clock, loop_time
from reconciler.controller import Controller
from reconciler.health import Pulse
from reconciler.metrics import Metrics
from reconciler.nodeclaim import Claim
from reconciler.nodepool import ownership
from reconciler.runtime.elector import Elector

PHASES = ("Pending", "Creating", "Launched", "Registered", "Ready", "Terminating")


def phase(claim: Claim) -> str:
    """One word for where in its life a claim is."""
    if claim.deleted:
        return "Terminating"
    if claim.ready:
        return "Ready"
    if claim.conditions[names.REGISTERED].true:
        return "Registered"
    if claim.launched:
        return "Launched"
    return "Creating" if claim.conditions[names.LAUNCHED].reason == "Creating" else "Pending"


@dataclass
class Telemetry:
    controller: Controller
    elector: Elector | None
    clock: Clock
    lag: float = 0.0

    @property
    def leads(self) -> bool:
        return self.elector is None or self.elector.elected.is_set()

    def pulse(self) -> Pulse:
        now, mirror = loop_time(), self.controller.mirror
        heard = min(mirror.claims.heard, mirror.nodes.heard)
        silence = now - self.controller.lister.read_at if self.leads else 0.0
        return Pulse(self.lag, now - heard, silence, mirror.synced)

    def update(self) -> Metrics:
        metrics, lister = self.controller.metrics, self.controller.lister
        metrics.leader.set(self.leads)
        metrics.lease_renewed.set(self._stamp(self.elector.renewed if self.elector else loop_time()))
        metrics.last_list.set(self._stamp(lister.read_at))
        mirror = self.controller.mirror
        metrics.last_watch.set(self._stamp(max(mirror.claims.heard, mirror.nodes.heard)))
        metrics.nodepool_limit.set(self.controller.settings.pool_limit)
        metrics.queue_depth.set(self.controller.queue.depth)
        metrics.queue_oldest.set(self.controller.queue.oldest)
        self._claims(metrics)
        self._pools(metrics)
        self._orphans(metrics)
        return metrics

    def _stamp(self, moment: float) -> float:
        """A time of the event loop's clock as a date; 0 for never."""
        span = loop_time() - moment
        return 0.0 if span == float("inf") else self.clock().timestamp() - span

    def _claims(self, metrics: Metrics) -> None:
        found = Counter(phase(claim) for claim in self.controller.mirror.all_claims() if claim.managed)
        for each in PHASES:
            metrics.nodeclaims.labels(each).set(found[each])

    def _pools(self, metrics: Metrics) -> None:
        """A standby reads no pools, and knows nobody's."""
        metrics.nodepools.clear()
        orphans = {each.pool.name for each in self.controller.orphans}
        for pool in self.controller.lister.snapshot.pools.values():
            whose = "orphan" if pool.name in orphans else ownership(pool, self.controller.cluster_id).value
            metrics.nodepools.labels(whose, pool.state).inc()

    def _orphans(self, metrics: Metrics) -> None:
        found, prices = self.controller.orphans, self.controller.prices
        metrics.orphan_oldest.set(max((each.age.total_seconds() for each in found), default=0.0))
        metrics.orphan_usd.set(sum(prices.get(each.pool.size, 0.0) for each in found))
