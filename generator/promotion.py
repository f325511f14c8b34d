"""A canary becomes what serves, or gets another share of the requests, by an edit of the entry's text; pure.

People's comments, order and style stay: only the spans of the values that change are replaced, and the result is read
again to see that it says what was meant.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from generator.finding import CannotRunError
from generator.load import Entry, parse_entry
from generator.model import Model
from generator.model.model import Override
from generator.source import read_source

KEPT = ("sku", "context", "revision")
"""Fields that go from the canary to what serves; its share and its replicas were for the trial."""


@dataclass(frozen=True, slots=True)
class _Edit:
    start: int
    end: int
    text: str


def promote(entry: Entry[Model], cluster: str) -> str:
    """The entry's text with the canary of `cluster` as what serves."""
    override = _mapping(entry, "spec", "clusters", cluster)
    canary = _mapping(entry, "spec", "clusters", cluster, "canary")
    text = entry.file.text
    values = {key: text[value.start_mark.index : value.end_mark.index] for key, _, value in _pairs(canary)}
    moved = {key: values[key] for key in KEPT if key in values}
    edits = [
        _Edit(value.start_mark.index, value.end_mark.index, moved.pop(key))
        for key, _, value in _pairs(override)
        if key in moved
    ]
    edits.append(_instead_of_canary(text, override, [f"{key}: {value}" for key, value in moved.items()]))
    return _checked(entry, cluster, _applied(text, edits), _served(entry.value.spec.clusters[cluster]))


def weigh(entry: Entry[Model], cluster: str, weight: int) -> str:
    """The entry's text with another share of the requests for the canary of `cluster`."""
    canary = _mapping(entry, "spec", "clusters", cluster, "canary")
    node = next(value for key, _, value in _pairs(canary) if key == "weight")
    edited = _applied(entry.file.text, [_Edit(node.start_mark.index, node.end_mark.index, str(weight))])
    override = entry.value.spec.clusters[cluster]
    wanted = override.canary.model_copy(update={"weight": weight}) if override.canary else None
    return _checked(entry, cluster, edited, override.model_copy(update={"canary": wanted}))


def _served(override: Override) -> Override:
    canary = override.canary
    given = {key: getattr(canary, key) for key in KEPT if getattr(canary, key) is not None}
    return override.model_copy(update={**given, "canary": None})


def _mapping(entry: Entry[Model], *path: str) -> yaml.MappingNode:
    node = yaml.compose(entry.file.text, yaml.SafeLoader)
    for name in path:
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, _, value in _pairs(node) if key == name), None)
    if not isinstance(node, yaml.MappingNode):
        raise CannotRunError(f"`{entry.name}` has no `{'.'.join(path)}`", "`kaitops show` tells what it has")
    return node


def _pairs(node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """Key, its node, and its value's node."""
    yield from ((key.value, key, value) for key, value in node.value)


def _instead_of_canary(text: str, override: yaml.MappingNode, fields: list[str]) -> _Edit:
    names = [key for key, _, _ in _pairs(override)]
    index = names.index("canary")
    key, value = override.value[index]
    if not override.flow_style:
        start = text.rfind("\n", 0, key.start_mark.index) + 1
        end = text.find("\n", _end(value)) + 1 or len(text)
        indent = " " * key.start_mark.column
        return _Edit(start, end, "".join(f"{indent}{field}\n" for field in fields))
    if fields:
        return _Edit(key.start_mark.index, _end(value), ", ".join(fields))
    if index:
        return _Edit(_end(override.value[index - 1][1]), _end(value), "")
    return _Edit(key.start_mark.index, override.value[1][0].start_mark.index, "")


def _end(node: yaml.Node) -> int:
    """Where the last thing written of a value ends; a block's own mark is where the next one begins."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    end: int = node.end_mark.index
    return end


def _applied(text: str, edits: list[_Edit]) -> str:
    for edit in sorted(edits, key=lambda one: one.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _checked(entry: Entry[Model], cluster: str, edited: str, wanted: Override) -> str:
    """The edited text, if it says what was meant and nothing else."""
    file, findings = read_source(entry.file.name, edited.encode())
    value, more = parse_entry(file, "Model") if file.data is not None else (None, [])
    spec = entry.value.spec
    meant = spec.model_copy(update={"clusters": {**spec.clusters, cluster: wanted}})
    if findings or more or not isinstance(value, Model) or value.spec != meant:
        hint = "move the canary's fields up by hand, and remove `canary`"
        raise CannotRunError(f"`{entry.file.name}` is written in a way that cannot be edited safely", hint)
    return edited
