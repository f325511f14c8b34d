"""Each KAITO object gets its revision: a hash over exactly its fields that cannot roll out in place.

The object is rendered once without a revision, judged by the verdict table, and named. Tunings come first, since a
model may use a tuning's output, whose image carries the tuning's revision.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from generator.document import Body
from generator.placement import AdapterSource, ModelPlacement, Placement, TuningPlacement
from generator.resolve import Resolution
from generator.resolve.limits import with_outputs
from generator.verdict import revision

PlacementType = TypeVar("PlacementType", bound=Placement)
Draw = Callable[[Placement], Body]
"""Renders a placement's KAITO object."""

REVISION_LABEL = "kaitops.dev/revision"


def revise(resolution: Resolution, draw: Draw) -> Resolution:
    """The same placements, each under its revision."""
    tunings = [_revised(tuning, draw) for tuning in resolution.tunings]
    outputs = {(tuning.cluster, tuning.name): tuning for tuning in tunings}
    models = [_revised(_with_adapters(model, outputs), draw) for model in resolution.models]
    engines = [_revised(engine, draw) for engine in resolution.rag_engines]
    limits = {
        cluster: with_outputs(known, (tuning for tuning in tunings if tuning.cluster == cluster))
        for cluster, known in resolution.limits.items()
    }
    return Resolution(models, tunings, engines, resolution.findings, limits)


def _revised(placement: PlacementType, draw: Draw) -> PlacementType:
    restart = isinstance(placement, ModelPlacement) and placement.rollout == "Restart"
    return under_revision(placement, revision(draw(placement), restart_in_place=restart))


def under_revision(placement: PlacementType, name: str) -> PlacementType:
    """The placement under a given revision; nodes of our own making carry it, so that two never share one."""
    match_labels = placement.match_labels | ({} if placement.own_nodes else {REVISION_LABEL: name})
    return replace(
        placement, revision=name, match_labels=match_labels, labels=placement.labels | {REVISION_LABEL: name}
    )


def _with_adapters(model: ModelPlacement, outputs: dict[tuple[str, str], TuningPlacement]) -> ModelPlacement:
    if not any(adapter.tuning for adapter in model.adapters):
        return model
    return replace(model, adapters=tuple(_filled(model.cluster, adapter, outputs) for adapter in model.adapters))


def _filled(cluster: str, adapter: AdapterSource, outputs: dict[tuple[str, str], TuningPlacement]) -> AdapterSource:
    if not adapter.tuning:
        return adapter
    return replace(adapter, image=outputs[cluster, adapter.tuning].output_image)
