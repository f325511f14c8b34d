"""Would an API server take each object, and lose no field of it?

A kind that no schema describes is an error: a check that looks at nothing must not look like one that passed. The
common case is one call into compiled code per object; words are looked for only when that call says no.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from generator.checks.schema.core import minors
from generator.checks.schema.duplicates import duplicates
from generator.checks.schema.parts import parts
from generator.checks.schema.shape import Shape, shape_of
from generator.checks.schema.wording import Path, Wording, say, spell
from generator.document import Document
from generator.finding import Finding
from generator.kinds import other_versions

__all__ = ["check", "minors"]


def check(documents: Iterable[Document], kubernetes_minor: str) -> Iterator[Finding]:
    """Judge every document by the schemas of one Kubernetes minor, such as `1.34`."""
    for document in documents:
        api_version, kind = str(document.body.get("apiVersion", "")), str(document.body.get("kind", ""))
        shape = shape_of(api_version, kind, kubernetes_minor)
        if shape is None:
            yield _finding(document, "missing", _missing(api_version, kind))
            continue
        yield from _judge(document, shape, (), document.body)
        for path, value, part in parts(api_version, kind, kubernetes_minor, document.body):
            yield from _judge(document, part, path, value)


def _judge(document: Document, shape: Shape, path: Path, value: Any) -> Iterator[Finding]:
    try:
        valid = shape.validator.is_valid(value)
    except ValueError as error:  # a date, or a key that is no text: YAML has them, JSON has not
        yield _finding(
            document, "invalid", Wording(f"cannot be written as JSON: {error}", "quote the value or the key")
        )
        return
    if valid:
        for below, names in duplicates(shape.lists, value):
            yield _finding(document, "duplicate", _repeated((*path, *below), names))
        return
    for violation in shape.validator.iter_errors(value):
        for wording in say(violation, shape.schema, path):
            yield _finding(document, "invalid", wording)


def _repeated(path: Path, names: dict[str, Any]) -> Wording:
    said = " and ".join(f"{name} `{given}`" for name, given in names.items())
    return Wording(f"`{spell(path)}`: an earlier entry has the same {said}")


def _missing(api_version: str, kind: str) -> Wording:
    known = ", ".join(f"`{version}`" for version in other_versions(kind))
    hint = (
        f"`{kind}` is known in {known}"
        if known
        else "add its CRD to `tools/distill/sources.py`, then run `make schemas`"
    )
    return Wording(f"no schema describes `{kind}` of `{api_version}`", hint)


def _finding(document: Document, rule: str, wording: Wording) -> Finding:
    return Finding(document.source, f"schema/{rule}", f"{document.path}: {wording.message}", wording.hint)
