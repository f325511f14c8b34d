"""Do two entries of a list have one key, where Kubernetes reads the list as a map?

JSON Schema has no word for it. So each schema is searched once for such lists, and an object is then walked only where
they are; server-side apply refuses such an object, a client-side one keeps an entry at random.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]
Path = tuple[str | int, ...]
DEFAULTS = {"protocol": "TCP"}
"""What the API server fills in before it compares keys."""


@dataclass(slots=True)
class Lists:
    """The part of a schema that leads to lists with unique keys; empty where there are none."""

    keys: tuple[tuple[str, ...], ...] = ()
    """Each combination of fields that must be unique in the list here."""
    fields: dict[str, "Lists"] = field(default_factory=dict)
    items: "Lists | None" = None
    values: "Lists | None" = None

    def __bool__(self) -> bool:
        return bool(self.keys or self.fields or self.items or self.values)


NONE = Lists()


def lists_of(schema: Schema) -> Lists:
    """Where in a schema lists with unique keys are."""
    return _Search(schema.get("$defs", {})).below(schema)


def duplicates(lists: Lists, value: Any, path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each entry that repeats an earlier one's key: where it is, and the fields that make the key."""
    if isinstance(value, dict):
        for name, below in lists.fields.items():
            if name in value:
                yield from duplicates(below, value[name], (*path, name))
        if lists.values:
            for name, given in value.items():
                yield from duplicates(lists.values, given, (*path, name))
    elif isinstance(value, list):
        for keys in lists.keys:
            yield from _repeated(keys, value, path)
        if lists.items:
            for index, given in enumerate(value):
                yield from duplicates(lists.items, given, (*path, index))


def _repeated(keys: tuple[str, ...], entries: list[Any], path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    seen = set()
    for index, entry in enumerate(entries):
        names = {key: given for key in keys if (given := entry.get(key, DEFAULTS.get(key))) is not None}
        if names.keys() <= DEFAULTS.keys():  # nothing that the entry says itself
            continue
        if tuple(names.items()) in seen:
            yield (*path, index), names
        seen.add(tuple(names.items()))


@dataclass(slots=True)
class _Search:
    """Looks into each definition once, however many fields refer to it."""

    definitions: Schema
    found: dict[str, Lists] = field(default_factory=dict)

    def below(self, node: Any) -> Lists:
        if not isinstance(node, dict):
            return NONE
        reference = node.get("$ref", "").removeprefix("#/$defs/")
        if reference:
            return self._definition(reference)
        fields = {name: self.below(below) for name, below in node.get("properties", {}).items()}
        return Lists(
            keys=_keys(node),
            fields={name: below for name, below in fields.items() if below},
            items=self.below(node.get("items")) or None,
            values=self.below(node.get("additionalProperties")) or None,
        )

    def _definition(self, name: str) -> Lists:
        if name not in self.found:
            self.found[name] = NONE  # one that holds itself is not followed round
            self.found[name] = self.below(self.definitions[name])
        return self.found[name]


def _keys(node: Schema) -> tuple[tuple[str, ...], ...]:
    keys = tuple(node.get("x-kubernetes-list-map-keys", ()))
    if "protocol" in keys:  # ports: the key is number and protocol, and validation asks for unique names as well
        return keys, ("name",)
    return (keys,) if keys else ()
