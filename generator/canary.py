"""The second side of a model on one cluster: the entry as it would be if its canary were all there is.

A canary is the same model with another size, context, commit or number of replicas, beside the one that serves.
Whatever judges or renders an entry judges and renders this side of it as an entry of its own, whose mistakes are shown
below `canary`. `kaitops promote` makes it the one side.
"""

from dataclasses import dataclass

from generator.finding import Place
from generator.load import Entry
from generator.model import Model
from generator.model.model import ModelSpec
from generator.placement import Placement


@dataclass(frozen=True, slots=True)
class CanaryEntry(Entry[Model]):
    """The canary's side; what it sets is found where it is set."""

    cluster: str

    def place(self, *path: str | int) -> Place:
        own = ("clusters", self.cluster)
        inside = (*own, "canary", *path[2:])
        return self.file.place(("spec", *(inside if path[:2] == own and self._is_written(inside) else path)))

    def _is_written(self, path: tuple[str | int, ...]) -> bool:
        return ("spec", *path) in self.file.places


def canary_entry(entry: Entry[Model], cluster: str) -> CanaryEntry:
    value = entry.value.model_copy(update={"spec": canary_spec(entry.value.spec, cluster)})
    return CanaryEntry(value, entry.file, cluster)


def canary_spec(spec: ModelSpec, cluster: str) -> ModelSpec:
    """The entry on one cluster alone, with its canary's fields in place of its own."""
    override = spec.clusters[cluster]
    canary = override.canary
    if canary is None:
        raise ValueError(f"no canary on cluster {cluster!r}")
    given = {name: getattr(canary, name) for name in canary.model_fields_set - {"weight"}}
    fixed = {"autoscale": None} if canary.replicas else {}
    return spec.model_copy(
        update={"clusters": {cluster: override.model_copy(update={**given, **fixed, "canary": None})}}
    )


def spec_of(spec: ModelSpec, placement: Placement) -> ModelSpec:
    """What the entry says of a placement: of the one that serves, or of its canary."""
    return canary_spec(spec, placement.cluster) if placement.canary else spec


def entry_of(entry: Entry[Model], placement: Placement) -> Entry[Model]:
    return canary_entry(entry, placement.cluster) if placement.canary else entry
