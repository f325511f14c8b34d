"""What an edit of each field of KAITO's objects does to what runs: one table for render, plan and the docs.

KAITO makes most fields immutable or ignores their edits. A field whose edit cannot roll out in place is part of the
object's revision, so that the edit makes a new object beside the old one. A field that can is not, so that it is
edited where it stands. Each emitted field must match a row: a new field without a verdict fails the render.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from generator.document import Body

REVISION_LENGTH = 5
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no look-alikes: a revision never spells a word, and never reads as a number after its prefix."""


class Verdict(StrEnum):
    LIVE = "live"
    """Applied in place; nothing restarts."""
    RESTART = "restart"
    """Applied in place by restarting the model's only pod; treated as blue-green unless `rollout: Restart`."""
    BLUE_GREEN = "blue-green"
    """Refused or ignored by KAITO in place: a new revision carries it, the old one serves until that is healthy."""
    RECREATE = "recreate"
    """The new object cannot stand beside the old one under our names: served again only after a gap."""
    REFUSED = "refused"
    """No rendering can carry the edit; the checks say so."""


@dataclass(frozen=True, slots=True)
class Row:
    """The verdict on an edit of one field; `**` in the path matches any rest, `*` any one key or index."""

    kind: str
    path: str
    verdict: Verdict
    source: str
    presence: Verdict | None = None
    """The verdict on setting or removing the field, where that differs from changing it."""


_HASH = "KAITO v0.12 workspace_controller.go ComputeHash: metadata and ConfigMap content are not in the hash"
_WEBHOOK = "KAITO v0.12 workspace_validation.go: immutable on update"
_CREATE_ONLY = "KAITO v0.12 applyInference: the template path is create-only"
_ROLLS = "KAITO v0.12 applyInference: volumes and initContainers are copied to the StatefulSet, which restarts the pod"
_ROLLS_ONCE = f"{_ROLLS}; the command is never updated, so setting or removing the field does nothing"
_OWN = "read by Argo CD, kustomize or people, never by KAITO"
_SCALER = "keda-kaito-scaler reads the annotation continuously"
_SET = "KAITO v0.12 InferenceSet: unsettled whether children follow the template; their webhook refuses parts of it"
_SCALE = "KAITO v0.12 InferenceSet: scale subresource"
_RAG = "KAITO v0.12 ragengine: no update path is described, and compute is immutable as a Workspace's resource is"
_JOB = "KAITO v0.12 tuning: a Job runs once; preset and method are immutable"
_KUBERNETES = "Kubernetes: an object cannot change its namespace or its kind"

ALL = ("Workspace", "InferenceSet", "RAGEngine")

TABLE: tuple[Row, ...] = (
    *(Row(kind, "apiVersion", Verdict.LIVE, "KAITO v0.12 CRDs: versions convert by name alone") for kind in ALL),
    *(Row(kind, "kind", Verdict.BLUE_GREEN, _KUBERNETES) for kind in ALL),
    *(Row(kind, "metadata.namespace", Verdict.RECREATE, _KUBERNETES) for kind in ALL),
    *(Row(kind, "metadata.name", Verdict.REFUSED, "the name follows from the entry and its revision") for kind in ALL),
    *(Row(kind, "metadata.labels.*", Verdict.LIVE, _OWN) for kind in ALL),
    *(Row(kind, "metadata.annotations.argocd.argoproj.io/*", Verdict.LIVE, _OWN) for kind in ALL),
    *(Row(kind, "metadata.annotations.kaitops.dev/*", Verdict.LIVE, _OWN) for kind in ALL),
    *(Row(kind, "metadata.annotations.kaito.sh/*", Verdict.BLUE_GREEN, _HASH) for kind in ALL),
    Row("InferenceSet", "metadata.annotations.scaledobject.kaito.sh/*", Verdict.LIVE, _SCALER),
    Row("Workspace", "resource.instanceType", Verdict.BLUE_GREEN, _WEBHOOK),
    Row("Workspace", "resource.labelSelector.matchLabels.*", Verdict.BLUE_GREEN, _WEBHOOK),
    Row("Workspace", "inference.preset.name", Verdict.BLUE_GREEN, _WEBHOOK),
    Row("Workspace", "inference.preset.presetOptions.modelAccessSecret", Verdict.BLUE_GREEN, _WEBHOOK),
    Row("Workspace", "inference.config", Verdict.RESTART, _ROLLS_ONCE, presence=Verdict.BLUE_GREEN),
    Row("Workspace", "inference.adapters.**", Verdict.RESTART, _ROLLS_ONCE, presence=Verdict.BLUE_GREEN),
    Row("Workspace", "inference.template.**", Verdict.BLUE_GREEN, _CREATE_ONLY),
    Row("Workspace", "tuning.preset.name", Verdict.BLUE_GREEN, _JOB),
    Row("Workspace", "tuning.preset.presetOptions.modelAccessSecret", Verdict.BLUE_GREEN, _JOB),
    Row("Workspace", "tuning.method", Verdict.BLUE_GREEN, _JOB),
    Row("Workspace", "tuning.config", Verdict.BLUE_GREEN, _JOB),
    Row("Workspace", "tuning.input.**", Verdict.BLUE_GREEN, _JOB),
    Row("Workspace", "tuning.output.**", Verdict.BLUE_GREEN, _JOB),
    Row("InferenceSet", "spec.replicas", Verdict.LIVE, _SCALE),
    Row("InferenceSet", "spec.labelSelector.matchLabels.*", Verdict.BLUE_GREEN, _SET),
    Row("InferenceSet", "spec.template.**", Verdict.BLUE_GREEN, _SET),
    Row("RAGEngine", "spec.compute.**", Verdict.BLUE_GREEN, _RAG),
    Row("RAGEngine", "spec.storage.**", Verdict.BLUE_GREEN, _RAG),
    Row("RAGEngine", "spec.embedding.**", Verdict.BLUE_GREEN, _RAG),
    Row("RAGEngine", "spec.inferenceService.**", Verdict.BLUE_GREEN, _RAG),
    Row("RAGEngine", "spec.guardrails.**", Verdict.BLUE_GREEN, _RAG),
)

Field = tuple[str, ...]


def row_of(kind: str, path: Field) -> Row:
    """The one row that judges a field.

    Raises:
        LookupError: nobody has judged the field; add a row.
    """
    found = _find(kind, ".".join(path))
    if found is None:
        raise LookupError(f"no verdict for `{'.'.join(path)}` of {kind}")
    return found


@cache
def _find(kind: str, dotted: str) -> Row | None:
    return next((row for row in TABLE if row.kind == kind and _matches(row.path, dotted)), None)


def _matches(pattern: str, dotted: str) -> bool:
    if pattern.endswith(".**"):
        return dotted.startswith(pattern[:-2])
    if pattern.endswith("*"):
        return dotted.startswith(pattern[:-1])
    return dotted == pattern


def leaves(value: Any, path: Field = ()) -> list[tuple[Field, Any]]:
    """Each scalar of a body with its path; an empty map or list counts as a scalar."""
    found: list[tuple[Field, Any]] = []
    _gather(value, path, found)
    return found


def _gather(value: Any, path: Field, found: list[tuple[Field, Any]]) -> None:
    """Into one list: a chain of generators would take longer than drawing the object."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            _gather(inner, (*path, str(key)), found)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            _gather(inner, (*path, str(index)), found)
    else:
        found.append((path, value))


def revision(body: Body, *, restart_in_place: bool) -> str:
    """The short hash over exactly the fields of a KAITO object that cannot roll out in place."""
    kept = sorted(_kept(body, restart_in_place=restart_in_place))
    digest = hashlib.sha256(json.dumps(kept).encode()).digest()
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:REVISION_LENGTH])


def _kept(body: Body, *, restart_in_place: bool) -> Iterator[tuple[str, Any]]:
    """The judged fields, and for those that change in place only whether they are set."""
    set_fields = set()
    for path, value in leaves(body):
        row = row_of(body["kind"], path)
        if row.verdict is Verdict.BLUE_GREEN or (row.verdict is Verdict.RESTART and not restart_in_place):
            yield ".".join(path), json.dumps(value)
        elif row.presence is Verdict.BLUE_GREEN:
            set_fields.add(row.path)
    for name in set_fields:
        yield name, "set"
