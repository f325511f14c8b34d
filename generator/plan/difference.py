"""Where do two pieces of plain data differ?

Lists of named things are matched by name, so that their order is no change; other lists as a text is, item by item.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

Path = tuple[str | int, ...]
SHOWN = 60
"""Characters of a value that a line shows."""
FEW = 4
"""Keys of a map that a line names."""


class _Absent:
    """Stands for a field that is not there, which is something else than one that is null."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class Difference:
    path: Path
    before: Any
    after: Any

    @property
    def dotted(self) -> str:
        return ".".join(str(part) for part in self.path)


def differences(before: Any, after: Any, path: Path = ()) -> Iterator[Difference]:
    """Each smallest part that differs; the indexes of lists are those of `after` where it has the item."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before | after:
            yield from differences(before.get(key, ABSENT), after.get(key, ABSENT), (*path, key))
    elif isinstance(before, list) and isinstance(after, list):
        for index, old, new in _paired(before, after):
            yield from differences(old, new, (*path, index))
    elif before != after or type(before) is not type(after):  # `true` equals 1 in Python, and nowhere else
        yield Difference(path, before, after)


def _paired(before: list[Any], after: list[Any]) -> Iterator[tuple[int, Any, Any]]:
    if _named(before) and _named(after):
        yield from _by_name(before, after)
        return
    old_texts, new_texts = ([json.dumps(item, sort_keys=True) for item in side] for side in (before, after))
    for kind, start, end, first, last in SequenceMatcher(None, old_texts, new_texts, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        for step in range(max(end - start, last - first)):
            old = before[start + step] if start + step < end else ABSENT
            new = after[first + step] if first + step < last else ABSENT
            yield (first if new is not ABSENT else start) + step, old, new


def _by_name(before: list[Any], after: list[Any]) -> Iterator[tuple[int, Any, Any]]:
    old, new = ({item["name"]: (index, item) for index, item in enumerate(items)} for items in (before, after))
    nothing = (0, ABSENT)
    for name in old | new:
        yield new.get(name, old.get(name, nothing))[0], old.get(name, nothing)[1], new.get(name, nothing)[1]


def _named(items: list[Any]) -> bool:
    names = [item.get("name") if isinstance(item, dict) else None for item in items]
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def short(value: Any) -> str:
    """A value on one line for a person; empty where there is none."""
    if value is ABSENT:
        return ""
    if isinstance(value, dict):
        more = ", ..." if len(value) > FEW else ""
        return "{" + ", ".join(str(key) for key in list(value)[:FEW]) + more + "}"
    if isinstance(value, list):
        return f"[{short(value[0])}]" if len(value) == 1 else f"[{len(value)} items]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = " ".join(str(value).split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
