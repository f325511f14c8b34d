"""The schemas of Kubernetes' own kinds, per minor, from the data of the package `kubernetes-validate`.

Its own API is not used: it parses 1.5 MB and builds a validator anew for every object. Here the file is read once per
minor, and a validator gets the few definitions that it refers to, made stricter: no `null` (an API server drops it
silently, so it is a hole in a template), no `status`.
"""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from generator.finding import CannotRunError

Schema = dict[str, Any]

DEFINITIONS = "#/$defs/"
KEPT = (
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "enum",
    "items",
    "maximum",
    "minimum",
    "not",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-list-map-keys",
)


@cache
def definitions(minor: str) -> Schema:
    """Every definition of a minor of `minors()`, by its full name."""
    file = _data() / f"v{minor}.0-local-strict" / "_definitions.json"
    found: Schema = json.loads(file.read_bytes())["$defs"]
    return found


@cache
def kinds(minor: str) -> dict[tuple[str, str], str]:
    """API version and kind → the name of the definition."""
    found = {}
    for name, definition in definitions(minor).items():
        for each in definition.get("x-kubernetes-group-version-kind", ()):
            api_version = f"{each['group']}/{each['version']}".removeprefix("/")
            found[api_version, each["kind"]] = name
    return found


@cache
def minors() -> list[str]:
    """The minors that the package knows, oldest first."""
    names = [folder.name[1:].split(".0-")[0] for folder in _data().glob("v*-local-strict")]
    return sorted(names, key=lambda name: [int(number) for number in name.split(".")])


def schema_of(minor: str, name: str) -> Schema:
    """One definition, with everything that it refers to."""
    needed: Schema = {}
    waiting = [name]
    while waiting:
        wanted = waiting.pop()
        if wanted not in needed:
            needed[wanted] = _strict(definitions(minor)[wanted], waiting)
    return {**needed[name], "$defs": needed}


def object_schema(minor: str, name: str, metadata: Schema) -> Schema:
    """The schema of a whole object, with our metadata in place of the one that a controller may write."""
    properties = {field: below for field, below in definitions(minor)[name]["properties"].items() if field != "status"}
    waiting: list[str] = []
    own = _strict({**definitions(minor)[name], "properties": properties}, waiting)
    needed: Schema = {}
    for wanted in waiting:
        needed |= schema_of(minor, wanted)["$defs"]
    own["properties"]["metadata"] = metadata
    own["required"] = sorted({*own.get("required", ()), "apiVersion", "kind", "metadata"})
    return {**own, "$defs": needed}


def _strict(node: Schema, seen: list[str]) -> Schema:
    """A copy without prose and `null`; the definitions that it refers to are added to `seen`."""
    made: Schema = {}
    for word in KEPT:
        if word in node:
            made[word] = _keyword(word, node[word], seen)
    if "oneOf" in node:  # only `IntOrString` and `Quantity`: a choice between plain types
        made["type"] = [_keyword("type", choice["type"], seen) for choice in node["oneOf"]]
    return made


def _keyword(word: str, value: Any, seen: list[str]) -> Any:
    if word == "$ref":
        seen.append(value.removeprefix(DEFINITIONS))
    elif word == "properties":
        return {name: _strict(below, seen) for name, below in value.items()}
    elif word == "type" and isinstance(value, list):
        kept = [name for name in value if name != "null"]
        return kept[0] if len(kept) == 1 else kept
    elif word in ("allOf", "anyOf"):
        return [_strict(below, seen) for below in value]
    elif isinstance(value, dict):
        return _strict(value, seen)
    return value


def _data() -> Path:
    """The package's data folder, found without importing the package, which would cost more than this check."""
    spec = find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise CannotRunError("the package `kubernetes-validate` is not installed", "run `make check`")
    return Path(spec.submodule_search_locations[0]) / "kubernetes-json-schema"
