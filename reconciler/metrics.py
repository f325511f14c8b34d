"""What is measured, and under which names? The alerts in `clusters/base/monitoring` read exactly these."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PREFIX = "kaitops_reconciler"
CREATE_BUCKETS = (60, 120, 180, 300, 450, 600, 900, 1200, 1800, 2400, 3600)


class Metrics:
    """One registry, so that two reconcilers in one test do not share figures."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.leader = _gauge(registry, "leader", "1 while this process holds the lease")
        self.lease_renewed = _gauge(registry, "lease_renewed_timestamp_seconds", "When the lease was last renewed")
        self.last_list = _gauge(registry, "last_list_timestamp_seconds", "When the node pools were last read")
        self.last_watch = _gauge(
            registry, "last_watch_event_timestamp_seconds", "When the API server last told anything"
        )
        self.nodeclaims = _gauge(registry, "nodeclaims", "NodeClaims of ours", "phase")
        self.nodepools = _gauge(registry, "nodepools", "Node pools of the cluster", "ownership", "state")
        self.nodepool_limit = _gauge(registry, "nodepool_limit", "Node pools that the cluster may have")
        self.orphan_oldest = _gauge(registry, "orphan_oldest_seconds", "Age of the oldest pool of ours without a claim")
        self.orphan_usd = _gauge(
            registry, "orphan_usd_per_hour", "What pools of ours without a claim cost at list price"
        )
        self.queue_depth = _gauge(registry, "queue_depth", "NodeClaims that are due or worked on")
        self.queue_oldest = _gauge(registry, "queue_oldest_seconds", "How long the first of them has been due")
        self.azure_requests = Counter(
            f"{PREFIX}_azure_requests", "Requests to Azure", ("operation", "code"), registry=registry
        )
        self.throttle_wait = Counter(
            f"{PREFIX}_throttle_wait_seconds", "Time that Azure told us to wait", registry=registry
        )
        self.launch_failures = Counter(
            f"{PREFIX}_launch_failures", "Node pools refused or failed", ("reason",), registry=registry
        )
        self.collect_refusals = Counter(
            f"{PREFIX}_collect_refusals", "Orphans that a brake kept from deletion", ("reason",), registry=registry
        )
        self.create_seconds = Histogram(
            f"{PREFIX}_nodepool_create_seconds",
            "From the request for a pool to a claim that is ready",
            buckets=CREATE_BUCKETS,
            registry=registry,
        )

    def refused(self, reason: str) -> None:
        self.launch_failures.labels(reason).inc()

    def counted(self, operation: str, code: str) -> None:
        self.azure_requests.labels(operation, code).inc()

    def waited(self, seconds: float) -> None:
        self.throttle_wait.inc(seconds)


def _gauge(registry: CollectorRegistry, name: str, words: str, *labels: str) -> Gauge:
    return Gauge(f"{PREFIX}_{name}", words, labels, registry=registry)
