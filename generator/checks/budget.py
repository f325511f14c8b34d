"""Does each cluster have what its entries take: GPUs by family, node pools, money, GPUs of each namespace?

What runs at rest must fit, which is an error; what autoscaling or one blue-green edit takes on top is a warning, since
it only hinders those. `generator/budget.py` says what is counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from generator.budget import Amount, Usage, usage
from generator.checks.subject import Subject
from generator.finding import Finding, Severity
from generator.load import Entry
from generator.model import Cluster

OLD = 90
"""Days after which prices are worth a look."""
SHOWN = 3
"""Entries that a message names."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a cluster has of one resource, and where that is written."""

    rule: str
    where: tuple[str, ...]
    what: str
    most: float
    hint: str


def check(subject: Subject, today: date) -> Iterator[Finding]:
    compiled = subject.compiled
    resolution = compiled.resolution
    placements = (*resolution.models, *resolution.tunings, *resolution.rag_engines)
    models = {name: entry.value.spec for name, entry in compiled.catalog.models.items()}
    for name, cluster in sorted(compiled.catalog.clusters.items()):
        here = [placement for placement in placements if placement.cluster == name]
        taken = usage(cluster.value.spec, here, models, compiled.facts.skus)
        yield from _gpus(cluster, taken)
        yield from _namespaces(cluster, taken)
        yield from _node_pools(cluster, taken)
        yield from _money(cluster, taken, compiled.facts.skus.priced, today)


def _gpus(cluster: Entry[Cluster], taken: Usage) -> Iterator[Finding]:
    quota = cluster.value.spec.quota.gpus
    for family in taken.families():
        amount = taken.gpus(family)
        largest = ", ".join(f"`{share.name}` {share.gpus(share.at_rest)}" for share in taken.largest(family)[:SHOWN])
        if family in quota:
            hint = f"most by {largest}; ask Azure for more, or take something down"
            limit = Limit("budget/gpus", ("quota", "gpus", family), f"{family} GPUs", quota[family], hint)
            yield from _levels(cluster, limit, amount)
        elif quota:
            message = f"entries take {amount.at_rest:g} {family} GPUs, and `quota.gpus` names no {family}"
            hint = f"most by {largest}; state what the subscription grants in the region"
            yield Finding(cluster.place("quota", "gpus"), "budget/no-quota", message, hint, Severity.WARNING)


def _namespaces(cluster: Entry[Cluster], taken: Usage) -> Iterator[Finding]:
    hint = "pods beyond the namespace's ResourceQuota are refused; raise `gpus`, or take something down"
    for name, namespace in cluster.value.spec.namespaces.items():
        where = ("namespaces", name, "quota", "gpus")
        limit = Limit("budget/namespace", where, f"GPUs in namespace `{name}`", namespace.quota.gpus, hint)
        yield from _levels(cluster, limit, taken.gpus_of_namespace(name))


def _node_pools(cluster: Entry[Cluster], taken: Usage) -> Iterator[Finding]:
    hint = "each node of an entry is a pool; use larger sizes, `provisioner: karpenter`, or another cluster"
    most = cluster.value.spec.node_pools
    yield from _levels(
        cluster, Limit("budget/node-pools", ("quota", "nodePools"), "node pools", most, hint), taken.node_pools()
    )


def _money(cluster: Entry[Cluster], taken: Usage, priced: date, today: date) -> Iterator[Finding]:
    budget = cluster.value.spec.quota.usd_per_hour
    if budget is None:
        return
    where = ("quota", "usdPerHour")
    hint = f"list prices of {priced}, without reservations or spot"
    yield from _levels(cluster, Limit("budget/usd", where, "USD per hour", budget, hint), taken.usd_per_hour())
    region = cluster.value.spec.azure.region
    for sku, nodes in sorted(taken.unpriced().items()):
        count = f"{nodes} nodes of `{sku}` are" if nodes > 1 else f"one node of `{sku}` is"
        message = f"{count} not in the sum: no price in `{region}` is known"
        hint = "add it to `catalog/facts/skus.yaml` with its source"
        yield Finding(cluster.place(*where), "budget/unpriced", message, hint, Severity.NOTE)
    age = (today - priced).days
    if age > OLD:
        message = f"the prices are of {priced}, {age} days ago"
        hint = "look them up again in `catalog/facts/skus.yaml`"
        yield Finding(cluster.place(*where), "budget/old-prices", message, hint, Severity.NOTE)


def _levels(cluster: Entry[Cluster], limit: Limit, amount: Amount) -> Iterator[Finding]:
    """An error where the entries at rest take more than there is, else warnings about scale and replacement."""
    place, what, most = cluster.place(*limit.where), limit.what, _number(limit.most)
    if amount.at_rest > limit.most:
        message = f"entries take {_number(amount.at_rest)} {what}, and the cluster has {most}"
        yield Finding(place, limit.rule, message, limit.hint)
        return
    if amount.at_full_scale > limit.most:
        message = f"at full scale entries take {_number(amount.at_full_scale)} {what} of {most}"
        hint = f"autoscaling will stop before its `max`; {limit.hint}"
        yield Finding(place, limit.rule, message, hint, Severity.WARNING)
    if amount.while_replaced > limit.most:
        message = (
            f"while `{amount.surging}` is replaced, entries take {_number(amount.while_replaced)} {what} of {most}: "
            "a blue-green edit of it would hang"
        )
        hint = f"free some, or set `rollout: Recreate` there; {limit.hint}"
        yield Finding(place, limit.rule, message, hint, Severity.WARNING)


def _number(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")
