"""What a cluster's entries take: GPUs by family, node pools, money; at rest, at full scale, and while one is replaced.

Only what the catalog says is counted. Nodes that failed revisions still hold, and pools that others made, show in the
cluster alone. While a blue-green edit rolls out the old nodes stay until the new ones serve; one entry at a time is
counted so, the one that takes most, since edits come one by one (`kaitops plan` counts what one change moves at once).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from generator.canary import spec_of
from generator.model.cluster import ClusterSpec
from generator.model.model import ModelSpec
from generator.placement import ModelPlacement, Placement
from generator.skus import Skus

POOLED = frozenset({"kaitops", "gpu-provisioner"})
"""Provisioners that make one node pool for each node."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one entry takes on one cluster, in nodes of one VM size."""

    name: str
    namespace: str
    source: str
    sku: str
    family: str
    gpus_per_node: int
    usd_per_node: float | None
    """USD per hour; None where no price of the region is known."""
    at_rest: int
    at_full_scale: int
    surge: int
    """Further nodes while an edit of it rolls out."""

    def gpus(self, nodes: int) -> int:
        return nodes * self.gpus_per_node


@dataclass(frozen=True, slots=True)
class Amount:
    """One resource of a cluster at its three levels."""

    at_rest: float
    at_full_scale: float
    surge: float
    """What the one entry that takes most adds while it is replaced."""
    surging: str
    """That entry."""

    @property
    def while_replaced(self) -> float:
        return self.at_rest + self.surge


@dataclass(frozen=True, slots=True)
class Usage:
    """Everything that one cluster's entries take."""

    shares: tuple[Share, ...]
    pooled: bool

    def families(self) -> list[str]:
        return sorted({share.family for share in self.shares if share.gpus_per_node})

    def gpus(self, family: str) -> Amount:
        return _amount((share for share in self.shares if share.family == family), lambda s: float(s.gpus_per_node))

    def gpus_of_namespace(self, namespace: str) -> Amount:
        return _amount((s for s in self.shares if s.namespace == namespace), lambda s: float(s.gpus_per_node))

    def node_pools(self) -> Amount:
        return _amount(self.shares if self.pooled else (), lambda _: 1.0)

    def usd_per_hour(self) -> Amount:
        """Of the nodes whose price is known; `unpriced` names the others."""
        return _amount((s for s in self.shares if s.usd_per_node is not None), lambda s: s.usd_per_node or 0.0)

    def unpriced(self) -> Mapping[str, int]:
        """VM size without a known price → its nodes at rest."""
        nodes: dict[str, int] = defaultdict(int)
        for share in self.shares:
            if share.usd_per_node is None and share.at_rest:
                nodes[share.sku] += share.at_rest
        return nodes

    def largest(self, family: str) -> list[Share]:
        """The entries of a family, those with most GPUs first."""
        found = [share for share in self.shares if share.family == family]
        return sorted(found, key=lambda share: (-share.gpus(share.at_rest), share.name))


def usage(cluster: ClusterSpec, placements: Iterable[Placement], models: Mapping[str, ModelSpec], skus: Skus) -> Usage:
    """What the placements of one cluster take; `models` holds the entries of its models by name.

    Nodes of one's own (`provisioner: byo`) are nobody's here: their size is not written anywhere.
    """
    shares = (_share(cluster, placement, models.get(placement.name), skus) for placement in placements)
    return Usage(tuple(share for share in shares if share), cluster.kaito.provisioner in POOLED)


def _share(cluster: ClusterSpec, placement: Placement, model: ModelSpec | None, skus: Skus) -> Share | None:
    sku = skus.sizes.get(placement.instance_type)
    if sku is None or not placement.running:
        return None
    least, most, surge = 1, 1, 1
    if isinstance(placement, ModelPlacement) and model:
        scale = spec_of(model, placement).clusters[placement.cluster].autoscale
        least = (scale.min if scale else placement.replicas) * placement.nodes
        most = scale.max * placement.nodes if scale else least
        surge = 0 if placement.rollout == "Recreate" else least
    return Share(
        name=f"{placement.name} (canary)" if placement.canary else placement.name,
        namespace=placement.namespace,
        source=placement.source,
        sku=sku.name,
        family=sku.family,
        gpus_per_node=sku.gpus,
        usd_per_node=sku.usd_per_hour.get(cluster.azure.region),
        at_rest=least,
        at_full_scale=most,
        surge=surge,
    )


def _amount(shares: Iterable[Share], weight: Callable[[Share], float]) -> Amount:
    at_rest = at_full_scale = surge = 0.0
    surging = ""
    for share in shares:
        each = weight(share)
        at_rest += share.at_rest * each
        at_full_scale += share.at_full_scale * each
        if share.surge * each > surge:
            surge, surging = share.surge * each, share.name
    return Amount(round(at_rest, 4), round(at_full_scale, 4), round(surge, 4), surging)
