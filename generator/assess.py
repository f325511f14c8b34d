"""Does an entry fit on a VM size of a cluster? The verdict on what the catalog says, with the facts; pure.

`kaitops fit`, `kaitops add`, the checks `fit` and `budget` and the plan all ask here, so that they never disagree.
"""

from dataclasses import dataclass, field, replace

from generator.facts import KaitoFacts
from generator.figures import FitFacts
from generator.fit.entry import demand_of, written_shape
from generator.fit.host import judge_host
from generator.fit.kaito import GIB
from generator.fit.shape import Shape, UnknownShapeError
from generator.fit.tuning import judge_tuning, training_of
from generator.fit.verdict import Demand, Fit, judge
from generator.model.cluster import ClusterSpec
from generator.model.model import ModelSpec
from generator.model.tuning import TuningSpec
from generator.quantity import amount
from generator.skus import Sku, Skus

LITTLE = 0.05
"""Less than this share of what an engine may take is little headroom: another release of the engine may need it."""


@dataclass(frozen=True, slots=True)
class Assessor:
    """The facts, and the verdicts given already: a fleet asks the same of the same sizes again and again."""

    kaito: KaitoFacts
    skus: Skus
    fit: FitFacts
    _given: dict[tuple[Shape, str, Demand, str], Fit] = field(default_factory=dict, repr=False)

    def shape(self, spec: ModelSpec) -> Shape:
        """The model's shape: as its entry writes it, else as the facts know its preset.

        Raises:
            UnknownShapeError: neither does.
        """
        known = self.kaito.preset(spec.source.preset.name) if spec.source.preset else None
        if spec.architecture:
            return replace(written_shape(spec.architecture), kaito_gib=known.weights_gib if known else 0.0)
        if spec.source.preset:
            return self.fit.shapes.of_preset(spec.source.preset.name)
        raise UnknownShapeError(f"a source of kind `{spec.source.kind}` does not say what the model is")

    def model(self, spec: ModelSpec, cluster: ClusterSpec, name: str, sku: Sku, *, sequences: int = 1) -> Fit:
        """The verdict on a model of cluster `name` on a VM size, which may be another than the entry's.

        `sequences` of the full context must fit at once; an entry's `maxConcurrency` is a limit, no promise of length.

        Raises:
            UnknownShapeError: we cannot tell.
        """
        shape = self.shape(spec)
        floor = min(self.kaito.estimator.default_context, shape.token_limit)
        demand = replace(demand_of(spec, spec.clusters[name], floor), sequences=sequences)
        region = cluster.azure.region
        if sku.gpus:
            return self.placed(shape, sku, demand, region)
        limit = spec.serving.resources.limits.memory
        pod = amount(limit) / GIB if limit else None
        return judge_host(shape, sku, demand, self.fit.figures.engine, pod_gib=pod, region=region)

    def placed(self, shape: Shape, sku: Sku, demand: Demand, region: str) -> Fit:
        """The verdict on a GPU size."""
        asked = (shape, sku.name, demand, region)
        if asked not in self._given:
            self._given[asked] = judge(shape, sku, demand, self.fit.figures, region)
        return self._given[asked]

    def tuning(self, spec: TuningSpec, cluster: ClusterSpec, sku: Sku) -> Fit:
        """The verdict on a tuning run.

        Raises:
            UnknownShapeError: nobody has read the preset's config.
        """
        shape = self.fit.shapes.of_preset(spec.preset)
        training = training_of(spec.method, spec.config)
        return judge_tuning(shape, sku, training, self.fit.figures.engine, cluster.azure.region)


def is_little(fit: Fit) -> bool:
    return fit.headroom_gib < LITTLE * fit.available_gib
