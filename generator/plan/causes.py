"""Which line of the catalog makes a unit change? The entries of both sides in, places with a sentence out; pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from generator.finding import Place
from generator.load import Catalog, Entry
from generator.placement import ModelPlacement, Placement, RagPlacement, TuningPlacement
from generator.plan.change import Cause
from generator.plan.difference import ABSENT, Difference, differences, short

SILENT = frozenset({"description"})
"""Fields of an entry that no object carries."""
REMOVED = "the entry was removed"
BOTH = 2
MOST = 4
"""Lines of the cluster's file that a unit names."""


@dataclass(frozen=True, slots=True)
class Histories:
    """Both catalogs; the base is None where it does not load."""

    before: Catalog | None
    after: Catalog


def unit_causes(histories: Histories, placement: Placement) -> tuple[Cause, ...]:
    """Why the unit of a placement changes: its entry first, then what it shares, then this release of kaitops."""
    if histories.before is None:
        return (Cause(Place(placement.source, 1, 1), "not known: the base's catalog does not load"),)
    own = [*_of_entry(histories, kind_of(placement), placement.name, placement.cluster)]
    if not own and isinstance(placement, ModelPlacement):
        tunings = [adapter.tuning for adapter in placement.adapters if adapter.tuning]
        own = [cause for name in tunings for cause in _of_entry(histories, "Tuning", name, placement.cluster)]
    return tuple(own) or shared_causes(histories, placement.cluster, placement.source)


def shared_causes(
    histories: Histories, cluster: str, source: str, *, entries: bool = False, edited: Sequence[str] = ()
) -> tuple[Cause, ...]:
    """The lines of the cluster's own file and what was edited by hand, or, where there is neither, the release.

    Args:
        histories: Both catalogs.
        cluster: Whose unit changes.
        source: The catalog file that the unit names.
        entries: Whether the unit holds something of every entry, so that any of them may be the cause.
        edited: Hand-written files that the unit stands on and that differ.
    """
    lines = [*_of_entry(histories, "Cluster", cluster, "", of_entry=False)]
    if entries:
        lines += _of_entries(histories, cluster)
    lines += [Cause(Place(path, 1, 1), "edited by hand", of_entry=False) for path in edited]
    if lines:
        return tuple(lines[:MOST])
    text = "no entry was edited: this release of kaitops or a fact renders it differently"
    return (Cause(Place(source, 1, 1), text, of_entry=False),)


def _of_entries(histories: Histories, cluster: str) -> Iterator[Cause]:
    for kind in ("Model", "Tuning", "RagEngine"):
        before = histories.before.of_kind(kind) if histories.before else {}
        after = histories.after.of_kind(kind)
        for name in sorted({*before, *after}):
            sides = [side[name] for side in (before, after) if name in side]
            runs = any(cluster in entry.value.spec.clusters for entry in sides)
            same = len(sides) == BOTH and sides[0].file.text == sides[1].file.text
            if runs and not same:
                yield from _of_entry(histories, kind, name, cluster)


def kind_of(placement: Placement) -> str:
    """The kind of a placement's entry."""
    if isinstance(placement, TuningPlacement):
        return "Tuning"
    return "RagEngine" if isinstance(placement, RagPlacement) else "Model"


def _of_entry(histories: Histories, kind: str, name: str, cluster: str, *, of_entry: bool = True) -> Iterator[Cause]:
    old: Entry[Any] | None = histories.before.of_kind(kind).get(name) if histories.before else None
    new: Entry[Any] | None = histories.after.of_kind(kind).get(name)
    if new is None and old is not None:
        yield Cause(Place(old.file.name, 1, 1), REMOVED, of_entry)
    elif old is None and new is not None:
        yield Cause(Place(new.file.name, 1, 1), "a new entry", of_entry)
    elif old is not None and new is not None:
        for difference in differences(old.file.data.get("spec"), new.file.data.get("spec")):
            if _concerns(difference, cluster):
                yield Cause(new.place(*difference.path), _sentence(difference), of_entry)


def _concerns(difference: Difference, cluster: str) -> bool:
    """Whether the field means anything on the cluster: no other cluster's override, no mere description."""
    if cluster and difference.path[0] == "clusters" and len(difference.path) > 1:
        return difference.path[1] == cluster
    return difference.path[0] not in SILENT


def _sentence(difference: Difference) -> str:
    name = f"`{difference.dotted}`"
    if difference.before is ABSENT:
        return f"{name} set to {short(difference.after)}"
    if difference.after is ABSENT:
        return f"{name} removed, was {short(difference.before)}"
    return f"{name} {short(difference.before)} → {short(difference.after)}"
