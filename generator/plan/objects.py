"""What happens to each object of a unit? The objects of both sides in, changes with a verdict out; pure.

Objects are the same where API group, kind, namespace and name are. KAITO's object carries its revision in its name:
one that goes and one that comes in the same unit are a replacement, judged by how the entry rolls out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from generator.document import Body
from generator.plan.change import FieldChange, ObjectChange, Verb, worst
from generator.plan.difference import ABSENT, Difference, differences, short
from generator.quantity import amount
from generator.revise import REVISION_LABEL
from generator.verdict import Verdict, leaves, row_of

KAITO = frozenset({"Workspace", "InferenceSet", "RAGEngine"})
FIXED = {
    "PersistentVolumeClaim": ("spec.accessModes", "spec.storageClassName", "spec.volumeName", "spec.volumeMode"),
    "PersistentVolume": ("spec.csi", "spec.accessModes", "spec.storageClassName", "spec.volumeMode"),
}
"""Fields that Kubernetes never changes, of the kinds that we render."""
IN_PLACE = {
    Verdict.LIVE: Verb.LIVE,
    Verdict.RESTART: Verb.RESTART,
    Verdict.BLUE_GREEN: Verb.REFUSED,
    Verdict.RECREATE: Verb.RECREATE,
    Verdict.REFUSED: Verb.REFUSED,
}
"""The verdict table where an object keeps its name: KAITO refuses or ignores what a new revision should carry."""
CANARY = "-canary.yaml"
"""How the files of a canary end."""
SIZE = "spec.resources.requests.storage"
"""Of a claim, which grows and never shrinks."""
SELECTORS = ("spec.selector.", "spec.podSelector.")

Identity = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Item:
    """One object of one side."""

    path: str
    body: Body

    @property
    def identity(self) -> Identity:
        """API group, kind, namespace and name."""
        metadata = self.body.get("metadata") or {}
        group = str(self.body.get("apiVersion", "")).rpartition("/")[0]
        return group, self.kind, str(metadata.get("namespace", "")), str(metadata.get("name", ""))

    @property
    def kind(self) -> str:
        return str(self.body.get("kind", ""))


def object_changes(before: Iterable[Item], after: Iterable[Item], *, gap: bool) -> list[ObjectChange]:
    """The changes of one unit.

    Args:
        before: The objects of the files that differ, as committed at the base.
        after: The same of the head.
        gap: Whether a new revision waits until the old one is gone (`rollout: Recreate`).
    """
    old, new = ({item.identity: item for item in side} for side in (before, after))
    changes = [*_edited(old, new)]
    going = [item for identity, item in old.items() if identity not in new]
    coming = [item for identity, item in new.items() if identity not in old]
    promoted = [item for identity, item in new.items() if identity in old and _is_promoted(old[identity], item)]
    changes += _replaced(going, coming, promoted, gap=gap)
    return sorted(_following(changes), key=lambda change: (change.follows, change.path, change.kind, change.name))


def _edited(old: Mapping[Identity, Item], new: Mapping[Identity, Item]) -> Iterator[ObjectChange]:
    for identity, item in new.items():
        found = [*differences(old[identity].body, item.body)] if identity in old else []
        if found:
            verb = worst(_verb(item.kind, difference) for difference in found)
            yield _change(item, verb, fields=tuple(map(_field, found)))


def _verb(kind: str, difference: Difference) -> Verb:
    if kind not in KAITO:
        return Verb.REFUSED if _is_fixed(kind, difference) else Verb.LIVE
    absent = difference.before is ABSENT or difference.after is ABSENT
    value = difference.after if difference.before is ABSENT else difference.before
    path = tuple(str(part) for part in difference.path)
    rows = [row_of(kind, leaf) for leaf, _ in leaves(value, path)]
    return worst(IN_PLACE[row.presence if absent and row.presence else row.verdict] for row in rows)


def _is_fixed(kind: str, difference: Difference) -> bool:
    if kind == "PersistentVolumeClaim" and difference.dotted == SIZE:
        return amount(str(difference.after)) < amount(str(difference.before))
    return any(f"{difference.dotted}.".startswith(f"{field}.") for field in FIXED.get(kind, ()))


def _is_promoted(old: Item, new: Item) -> bool:
    """What was a canary and serves now: the object is the same, and its file another."""
    return new.kind in KAITO and old.path.endswith(CANARY) and not new.path.endswith(CANARY)


def _replaced(going: list[Item], coming: list[Item], promoted: list[Item], *, gap: bool) -> Iterator[ObjectChange]:
    """Pair what goes with what comes, kind by kind, KAITO's kinds as one; the rest is created or deleted."""
    left = list(going)
    for item in promoted:
        for served in [other for other in left if other.kind in KAITO]:
            left.remove(served)
            yield _succession(served, item, Verb.BLUE_GREEN)
    for item in coming:
        old = next((other for other in left if _family(other) == _family(item)), None)
        if old is None:
            yield _change(item, Verb.CREATE)
            continue
        left.remove(old)
        moved = old.identity[2] != item.identity[2]
        yield _succession(old, item, Verb.RECREATE if gap or moved else Verb.BLUE_GREEN)
    yield from (_change(item, Verb.DELETE) for item in left)


def _succession(old: Item, new: Item, verb: Verb) -> ObjectChange:
    found = differences(_content(old.body), _content(new.body))
    return _change(new, verb, fields=tuple(map(_field, found)), predecessor=old.identity[3])


def _family(item: Item) -> tuple[str, bool]:
    """What an object can stand in for: KAITO's kinds replace each other, named things only their like, canaries too."""
    return "KAITO" if item.kind in KAITO else item.kind, item.path.endswith(CANARY)


def _content(body: Body) -> Any:
    """Without what a revision changes by itself: the name, the revision's label, and the labels of its nodes."""
    metadata = {key: value for key, value in (body.get("metadata") or {}).items() if key != "name"}
    return _without_revision(body | {"metadata": metadata})


def _without_revision(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_revision(value) for key, value in node.items() if key != REVISION_LABEL}
    return [_without_revision(value) for value in node] if isinstance(node, list) else node


def _following(changes: list[ObjectChange]) -> Iterator[ObjectChange]:
    """Mark what only carries on a new revision: its label, the selectors that lead to it, its config's new name."""
    revised = any(change.kind in KAITO and change.predecessor for change in changes)
    for change in changes:
        if change.kind in KAITO:
            yield change
        elif change.kind == "ConfigMap" and change.predecessor:
            yield replace(change, follows=revised, verb=change.verb if revised else Verb.LIVE)
        else:
            only = bool(change.fields) and all(_is_revision(field) for field in change.fields)
            yield replace(change, follows=only and change.verb is Verb.LIVE)


def _is_revision(field: FieldChange) -> bool:
    return field.path.endswith(REVISION_LABEL) or field.path.startswith(SELECTORS)


def _change(item: Item, verb: Verb, **more: Any) -> ObjectChange:
    _, kind, namespace, name = item.identity
    return ObjectChange(item.path, kind, namespace, name, verb, is_canary=item.path.endswith(CANARY), **more)


def _field(difference: Difference) -> FieldChange:
    return FieldChange(difference.dotted, short(difference.before), short(difference.after))
