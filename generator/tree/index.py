"""Which files of a cluster folder did we write, and with what content?

One line per file, `<sha256>  <path in the cluster folder>`, sorted by path: `sha256sum -c` reads it, and two
branches that touch different models change different lines. While a write is under way the same format, in a
journal beside the index, says what that write may leave behind. There a path may stand on several lines: after
two killed writes in a row either content is ours.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

INDEX = ".kaitops-index"
JOURNAL = ".kaitops-index.next"
TEMPORARY = ".kaitops-tmp-"
"""How the name of every temporary file begins, so that the leftovers of a killed write are known as such."""

Hashes = Mapping[str, Collection[str]]
"""By path in the cluster folder, the hashes of every content of that file which we wrote or meant to write."""

_INDEX_HEADER = "# Written by `kaitops render`: the files of this folder that it owns. Do not edit."
_JOURNAL_HEADER = "# A `kaitops render` of this folder is under way, or was interrupted: run it again."

# A path that cannot leave the folder, cannot break a line and is none of our own files.
_SEGMENT = r"(?!\.{1,2}(?:/|\Z)|\.kaitops-)[^/\\\x00-\x1f\x7f\ud800-\udfff]+"
PATH = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_LINE = re.compile(rf"([0-9a-f]{{64}})  ({PATH.pattern})")
_MARKER = re.compile(r"(?:<{7}|\|{7}|={7}|>{7})(?: .*)?")


@dataclass(frozen=True, slots=True)
class Index:
    """What an index file says, with what a merge or a hand did to it."""

    hashes: Hashes
    conflicted: bool = False
    damaged: tuple[int, ...] = ()
    """The numbers of the lines that cannot be understood."""


def format_index(hashes: Mapping[str, str]) -> bytes:
    return _format(_INDEX_HEADER, ((path, hashes[path]) for path in sorted(hashes)))


def format_journal(hashes: Hashes) -> bytes:
    return _format(_JOURNAL_HEADER, ((path, digest) for path in sorted(hashes) for digest in sorted(hashes[path])))


def _format(header: str, entries: Iterable[tuple[str, str]]) -> bytes:
    return "\n".join([header, *(f"{digest}  {path}" for path, digest in entries), ""]).encode()


def parse(data: bytes) -> Index:
    """Read an index, taking both sides of a merge conflict: each side was written by us."""
    hashes: dict[str, set[str]] = {}
    damaged: list[int] = []
    conflicted = False
    for number, ending in enumerate(data.decode(errors="surrogateescape").split("\n"), start=1):
        line = ending.removesuffix("\r")
        if entry := _LINE.fullmatch(line):
            hashes.setdefault(entry[2], set()).add(entry[1])
        elif _MARKER.fullmatch(line):
            conflicted = True
        elif line and not line.startswith("#"):
            damaged.append(number)
    return Index(hashes, conflicted, tuple(damaged))


def union(*parts: Hashes) -> dict[str, set[str]]:
    result: dict[str, set[str]] = {}
    for part in parts:
        for path, digests in part.items():
            result.setdefault(path, set()).update(digests)
    return result
