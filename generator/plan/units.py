"""What changes on each cluster, unit by unit: the differing files of both sides become changes with causes."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypeVar

from generator.checks.build import PLATFORM
from generator.endpoint import endpoints_of
from generator.finding import Place
from generator.load import Catalog
from generator.placement import ModelPlacement, Placement
from generator.plan.causes import Histories, kind_of, shared_causes, unit_causes
from generator.plan.change import NOTHING, Cause, Figures, ObjectChange, UnitChange, Verb, worst
from generator.plan.compare import FilePair
from generator.plan.objects import KAITO, Item, object_changes
from generator.plan.platform import Items
from generator.resolve import Resolution

APPLICATION = "application-"
OF_ALL = frozenset({"azure", "gitops", "monitoring"})
"""Units of a cluster that hold something of each entry."""

UnitKey = tuple[str, str]
"""Cluster and unit."""
PlacementsByUnit = Mapping[UnitKey, Placement]
FiguresByUnit = Mapping[UnitKey, Figures]
KeyType = TypeVar("KeyType")


@dataclass(frozen=True, slots=True)
class Side:
    """What one side knows of its units."""

    catalog: Catalog | None
    placements: PlacementsByUnit
    figures: FiguresByUnit
    units: AbstractSet[UnitKey]
    """The folders that it has."""
    edited: Mapping[UnitKey, tuple[str, ...]] = field(default_factory=dict)
    """Hand-written files beneath a unit that are not as on the other side."""

    def endpoints(self, key: UnitKey) -> tuple[str, ...]:
        placement = self.placements.get(key)
        if self.catalog is None or not isinstance(placement, ModelPlacement) or not placement.running:
            return ()
        return tuple(endpoints_of(self.catalog.clusters[key[0]].value.spec, placement))


def placements_of(resolution: Resolution) -> dict[UnitKey, Placement]:
    everything = (*resolution.models, *resolution.tunings, *resolution.rag_engines)
    return {_key(placement): placement for placement in everything}


def _key(placement: Placement) -> UnitKey:
    key = (placement.cluster, placement.unit)
    return canary_of(key) if placement.canary else key


def canary_of(key: UnitKey) -> UnitKey:
    """What a canary takes is counted beside its unit, under a name that no unit has."""
    return key[0], f"{key[1]} (canary)"


def grouped(pairs: Iterable[FilePair], units: Iterable[UnitKey]) -> dict[UnitKey, list[FilePair]]:
    """The differing files by unit; the Application of a model belongs to the model."""
    known, groups = set(units), defaultdict(list)
    for pair in pairs:
        key = (pair.cluster, pair.unit)
        file = pair.path.rpartition("/")[2]
        if pair.unit == "gitops" and file.startswith(APPLICATION):
            owner = (pair.cluster, file.removeprefix(APPLICATION).removesuffix(".yaml"))
            key = owner if owner in known else key
        groups[key].append(pair)
    return dict(groups)


def unit_changes(
    groups: Mapping[UnitKey, list[FilePair]], built: Mapping[UnitKey, Items], before: Side, after: Side
) -> Iterator[UnitChange]:
    """One change for each unit whose objects differ; platform units by what kustomize builds, where it was built."""
    for key in sorted({*groups, *built}):
        old, new = built[key] if key in built else _items(groups[key])
        placement = after.placements.get(key) or before.placements.get(key)
        gap = isinstance(placement, ModelPlacement) and placement.rollout == "Recreate"
        changes = object_changes(old, new, gap=gap)
        if changes:
            yield _unit(key, changes, placement, before, after)


def _items(pairs: Iterable[FilePair]) -> Items:
    old: list[Item] = []
    new: list[Item] = []
    for pair in pairs:
        before, after = pair.items()
        old += before
        new += after
    return old, new


def _unit(
    key: UnitKey, changes: list[ObjectChange], placement: Placement | None, before: Side, after: Side
) -> UnitChange:
    cluster, unit = key
    return UnitChange(
        cluster=cluster,
        name=unit,
        kind="platform" if placement is None else kind_of(placement),
        verb=_verb(changes, stays=key in before.units and key in after.units),
        objects=tuple(changes),
        causes=_causes(key, placement, before, after),
        before=before.figures.get(key, NOTHING),
        after=after.figures.get(key, NOTHING),
        canary_before=before.figures.get(canary_of(key), NOTHING),
        canary_after=after.figures.get(canary_of(key), NOTHING),
        endpoints_before=before.endpoints(key),
        endpoints_after=after.endpoints(key),
    )


def _verb(changes: list[ObjectChange], *, stays: bool) -> Verb:
    """What runs decides; without it, a unit that stays is edited, whatever comes and goes in it."""
    verbs = [change.verb for change in changes]
    if Verb.REFUSED in verbs:
        return Verb.REFUSED
    runs = [change.verb for change in changes if change.kind in KAITO and not (stays and change.is_canary)]
    if runs or not stays:
        return worst(runs or verbs)
    return Verb.LIVE


def _causes(key: UnitKey, placement: Placement | None, before: Side, after: Side) -> tuple[Cause, ...]:
    if after.catalog is None:
        return ()
    histories = Histories(before.catalog, after.catalog)
    if placement is not None:
        return unit_causes(histories, placement)
    source = f"catalog/clusters/{key[0]}.yaml"
    if before.catalog is None:
        return (Cause(Place(source, 1, 1), "not known: the base's catalog does not load", of_entry=False),)
    return shared_causes(histories, key[0], source, entries=key[1] in OF_ALL, edited=after.edited.get(key, ()))


def is_platform(key: UnitKey) -> bool:
    return key[1] in PLATFORM
