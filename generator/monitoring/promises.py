"""What the catalog promises of one model, as series: that it runs, whose it is, what it costs, how good it must be.

The rules in `clusters/base/monitoring/rules/` are about all models at once. These few records, rendered for each model,
are what they join: an alert finds the owner here, and a model that is not here is not missed. So a suspended model is
silent, and one that is in the catalog and does not answer is heard, with no list of models in any alert.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from generator.monitoring.rules import Group, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One objective of a model and how it is measured: answers in all, and answers that miss it, per second."""

    slo: str
    objective: float
    total: str
    bad: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    namespace: str
    model: str
    owner: str
    sku: str
    scraped: bool
    """Whether its pods serve metrics that Prometheus can read."""
    usd_per_hour: float | None
    """List price of one replica's nodes; None where it is not known."""
    slos: tuple[Measured, ...]


def latency(slo: str, objective: float, threshold: float, metric: str, *, namespace: str, model: str) -> Measured:
    """An objective over a histogram; the threshold must be one of its bounds, spelled as its client library does."""
    where = f'namespace="{namespace}", model="{model}"'
    total = f"sum(rate({metric}_count{{{where}}}[5m]))"
    good = f'sum(rate({metric}_bucket{{{where}, le="{float(threshold)!r}"}}[5m]))'
    return Measured(slo=slo, objective=objective, total=total, bad=f"{total}\n  - {good}")


def availability_at_gateway(objective: float, *, namespace: str, model: str) -> Measured:
    """As clients see it, whatever serves: 5xx is bad, and 429, a full queue, counts as neither bad nor good."""
    where = f'reporter="source", destination_service_namespace="{namespace}", destination_service_name="{model}"'
    total = f'sum(rate(istio_requests_total{{{where}, response_code!="429"}}[5m]))'
    bad = f'sum(rate(istio_requests_total{{{where}, response_code=~"5.."}}[5m]))'
    return Measured(slo="availability", objective=objective, total=total, bad=f"{bad}\n  or {total} * 0")


def availability_at_engine(objective: float, *, namespace: str, model: str) -> Measured:
    """For a model without a route: what its own server answered. A server that is gone answers nothing, bad or good."""
    where = f'namespace="{namespace}", model="{model}"'
    total = f"sum(rate(http_requests_total{{{where}}}[5m]))"
    bad = f'sum(rate(http_requests_total{{{where}, status="5xx"}}[5m]))'
    return Measured(slo="availability", objective=objective, total=total, bad=f"{bad}\n  or {total} * 0")


def promise_group(promise: Promise, cluster: str = "") -> Group:
    """The records of one model; `cluster` is the label that a store of several clusters tells them apart by."""
    return Group(promise.model, tuple(_records(promise, {"cluster": cluster} if cluster else {})))


def _records(promise: Promise, store: dict[str, str]) -> Iterator[Rule]:
    who = {**store, "namespace": promise.namespace, "model": promise.model, "owner": promise.owner}
    scraped = "true" if promise.scraped else "false"
    about = {"sku": promise.sku, "scraped": scraped} if promise.sku else {"scraped": scraped}
    yield Rule(record="kaitops:model_info", expr="vector(1)", labels=who | about)
    if promise.usd_per_hour is not None:
        yield Rule(record="kaitops:replica_usd_per_hour", expr=f"vector({promise.usd_per_hour!r})", labels=who)
    for slo in promise.slos:
        labels = {**who, "slo": slo.slo}
        yield Rule(record="kaitops:slo_objective", expr=f"vector({slo.objective!r})", labels=labels)
        yield Rule(record="kaitops:slo_total:rate5m", expr=slo.total, labels=labels)
        yield Rule(record="kaitops:slo_bad:rate5m", expr=slo.bad, labels=labels)
