"""Where does a kind as the cluster knows it differ from our schema of it?

The cluster's own description is its published OpenAPI, which every user may read, while its CRDs need a right of their
own. Only what could make it refuse an object that our schema takes is a difference; what it takes beyond ours is none.
Bounds and CEL rules are left to the dry run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from generator.checks.server.served import OK, Kind
from generator.kinds import Schema
from generator.kube import Kube

Path = tuple[str, ...]
EACH = "[]"
"""The step of a path into the entries of a list."""
ANY = "*"
"""The step of a path into the values of a map."""
EVERYWHERE = frozenset({"apiVersion", "kind", "metadata"})
"""The same in every kind."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that the cluster would refuse: any value at the path, where no more is said."""

    path: Path
    message: str
    """Begins with a verb: the definition is its subject."""
    allowed: tuple[Any, ...] = ()
    """Only other values are refused."""
    absent: bool = False
    """Only objects without the field are refused."""

    def is_met_by(self, body: Any) -> bool:
        """Whether an object would be refused for it."""
        if self.absent:
            *above, name = self.path
            return any(isinstance(holder, dict) and name not in holder for holder in _at(body, tuple(above)))
        return any(value not in self.allowed for value in _at(body, self.path))


def published_schema(kube: Kube, kind: Kind) -> Schema | None:
    """The cluster's own description of a custom kind, or nothing where it publishes none."""
    api_version, name = kind
    answer = kube.get(f"/openapi/v3/apis/{api_version}")
    if answer.status != OK:
        return None
    group, _, version = api_version.rpartition("/")
    marker = {"group": group, "kind": name, "version": version}
    schemas: dict[str, Schema] = answer.body["components"]["schemas"]
    return next((each for each in schemas.values() if marker in each.get("x-kubernetes-group-version-kind", ())), None)


def differences(ours: Schema, theirs: Schema) -> Iterator[Difference]:
    """What our schema of a kind takes and the cluster's refuses."""
    for name, field in ours["properties"].items():
        if name not in EVERYWHERE:
            yield from _field((name,), field, theirs)
    yield from _required((), ours, theirs)


def _field(path: Path, field: Schema, holder: Schema) -> Iterator[Difference]:
    known = holder.get("properties", {}).get(path[-1])
    if known is not None:
        yield from _node(path, field, known)
    elif isinstance(holder.get("additionalProperties"), dict):
        yield from _node(path, field, holder["additionalProperties"])
    elif not _is_open(holder):
        yield Difference(path, f"knows no `{spell(path)}`")


def _node(path: Path, ours: Schema, theirs: Schema) -> Iterator[Difference]:
    yield from _values(path, ours, theirs)
    yield from _types(path, ours, theirs)
    for name, field in ours.get("properties", {}).items():
        yield from _field((*path, name), field, theirs)
    yield from _required(path, ours, theirs)
    for word, step in (("items", EACH), ("additionalProperties", ANY)):
        if isinstance(ours.get(word), dict) and isinstance(theirs.get(word), dict):
            yield from _node((*path, step), ours[word], theirs[word])


def _values(path: Path, ours: Schema, theirs: Schema) -> Iterator[Difference]:
    if "enum" not in theirs:
        return
    allowed = tuple(theirs["enum"])
    refused = [value for value in ours.get("enum", ()) if value is not None and value not in allowed]
    if refused:
        yield Difference(path, f"takes no {_listed(refused)} in `{spell(path)}`", allowed)
    elif "enum" not in ours:
        yield Difference(path, f"takes only {_listed(allowed)} in `{spell(path)}`", allowed)


def _types(path: Path, ours: Schema, theirs: Schema) -> Iterator[Difference]:
    mine, other = _names(ours), _names(theirs)
    if mine and other and not mine <= other:
        yield Difference(path, f"has `{spell(path)}` as {_or(other)}, not {_or(mine)}")


def _required(path: Path, ours: Schema, theirs: Schema) -> Iterator[Difference]:
    """Fields that only the cluster needs; what it fills in by itself is none of them."""
    properties = theirs.get("properties", {})
    for name in theirs.get("required", ()):
        filled_in = "default" in properties.get(name, {}) or (not path and name in EVERYWHERE)
        if name not in ours.get("required", ()) and not filled_in:
            yield Difference((*path, name), f"needs `{spell((*path, name))}`", absent=True)


def _is_open(node: Schema) -> bool:
    """Whether fields that the schema does not name are kept."""
    closed = "properties" in node or node.get("type") == "object"
    kept = node.get("x-kubernetes-preserve-unknown-fields") or node.get("additionalProperties") is True
    return bool(kept) or not closed


def _names(node: Schema) -> set[str]:
    """The types of a node; a number may be an integer, and a null is dropped by the server."""
    if node.get("x-kubernetes-int-or-string"):
        return {"integer", "string"}
    named = node.get("type", ())
    names = {named} if isinstance(named, str) else set(named)
    return (names | {"integer"} if "number" in names else names) - {"null"}


def _at(value: Any, path: Path) -> Iterator[Any]:
    """The values at a path, through every entry of its lists and maps."""
    if not path:
        yield value
        return
    step, *rest = path
    below: list[Any] = []
    if step == EACH and isinstance(value, list):
        below = value
    elif step == ANY and isinstance(value, dict):
        below = [*value.values()]
    elif isinstance(value, dict) and step in value:
        below = [value[step]]
    for each in below:
        yield from _at(each, tuple(rest))


def spell(path: Path) -> str:
    """`spec.rules[].matches`, as people write it."""
    return ".".join(path).replace(f".{EACH}", EACH)


def _listed(values: Any) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _or(names: set[str]) -> str:
    return " or ".join(sorted(names))
