"""What do the units and the clusters take, before, after and while the change rolls out? Pure sums over budgets."""

from collections.abc import Callable, Mapping, Sequence

from generator.assess import Assessor
from generator.budget import POOLED, Share, usage
from generator.canary import spec_of
from generator.compile import Compiled
from generator.fit.shape import UnknownShapeError
from generator.model.cluster import ClusterSpec
from generator.placement import ModelPlacement, Placement, TuningPlacement
from generator.plan.change import Amount, Figures, UnitChange, Verb
from generator.plan.units import UnitKey, placements_of

LEAVING = frozenset({Verb.BLUE_GREEN, Verb.DELETE})
"""Changes whose old nodes are still up while the rest of the change rolls out: Argo CD syncs all units at once."""


def figures_of(compiled: Compiled) -> dict[UnitKey, Figures]:
    """What each unit takes at rest."""
    found = {}
    models = {name: entry.value.spec for name, entry in compiled.catalog.models.items()}
    for key, placement in placements_of(compiled.resolution).items():
        cluster = compiled.catalog.clusters[placement.cluster].value.spec
        for share in usage(cluster, [placement], models, compiled.facts.skus).shares:
            found[key] = _figures(share)
    return found


def _figures(share: Share) -> Figures:
    money = None if share.usd_per_node is None else share.usd_per_node * share.at_rest
    return Figures(share.sku, share.family, share.at_rest, share.gpus(share.at_rest), money)


def headroom(assessor: Assessor, compiled: Compiled, placement: Placement | None) -> float | None:
    """GiB left on the fullest GPU, as `kaitops fit` says; None where that cannot be told."""
    sku = compiled.facts.skus.sizes.get(placement.instance_type) if placement and placement.running else None
    if placement is None or sku is None:
        return None
    cluster = compiled.catalog.clusters[placement.cluster].value.spec
    try:
        if isinstance(placement, ModelPlacement):
            spec = spec_of(compiled.catalog.models[placement.name].value.spec, placement)
            return assessor.model(spec, cluster, placement.cluster, sku).headroom_gib
        if isinstance(placement, TuningPlacement):
            return assessor.tuning(compiled.catalog.tunings[placement.name].value.spec, cluster, sku).headroom_gib
    except UnknownShapeError:
        pass
    return None


def amounts(
    cluster: ClusterSpec, before: Sequence[Figures] | None, after: Sequence[Figures], units: Sequence[UnitChange]
) -> tuple[Amount, ...]:
    """GPUs by family, node pools and money of one cluster; `before` is None where it is not known."""
    leaving = [unit.before for unit in units if unit.verb in LEAVING]
    quota = cluster.quota
    families = sorted({one.family for one in (*(before or ()), *after) if one.gpus})

    def row(what: str, weight: Callable[[Figures], float], limit: float | None) -> Amount:
        old = None if before is None else _sum(before, weight)
        new = _sum(after, weight)
        return Amount(what, old, new, max(old or 0.0, round(new + _sum(leaving, weight), 4)), limit)

    rows = [row(f"{family} GPUs", _gpus_of(family), quota.gpus.get(family)) for family in families]
    if cluster.kaito.provisioner in POOLED:
        rows.append(row("node pools", lambda one: float(one.nodes), cluster.node_pools))
    rows.append(row("USD per hour", lambda one: one.usd or 0.0, quota.usd_per_hour))
    return tuple(rows)


def _gpus_of(family: str) -> Callable[[Figures], float]:
    return lambda one: float(one.gpus) if one.family == family else 0.0


def _sum(side: Sequence[Figures], weight: Callable[[Figures], float]) -> float:
    return round(sum(weight(one) for one in side), 4)


def of_cluster(figures: Mapping[UnitKey, Figures], cluster: str) -> list[Figures]:
    return [one for (name, _), one in figures.items() if name == cluster]
