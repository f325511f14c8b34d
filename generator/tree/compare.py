"""How does the rendered tree differ from what is on the disk, and whose work is each difference?

Bytes are compared first, so that a run over an unchanged tree hashes no file of the disk and parses no index. What
differs is then judged by the index and by the journal of an interrupted write: content with a known hash is ours
to replace, all other content is somebody's work. An empty file is nobody's work; a power cut may leave one.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from generator.tree.changes import Changes, ClusterChanges, FileChange, IndexChange, Obstacle, State, Tree
from generator.tree.disk import Disk, scan
from generator.tree.index import INDEX, JOURNAL, PATH, format_index, parse, union
from generator.tree.obstacles import Barriers, find_barriers

_CONFLICT = re.compile(rb"^<{7} .*^>{7} ", re.MULTILINE | re.DOTALL)

Differing = dict[str, tuple[bytes | None, bytes | None]]
"""By path, the bytes on the disk and the wanted ones, where they are not the same."""


def plan(root: Path, tree: Tree, clusters: Sequence[str]) -> Changes:
    """Compare without writing; a folder with an index whose cluster is not in `clusters` shall vanish."""
    wanted = _by_cluster(tree, clusters)
    for name in _indexed(root / "clusters"):
        wanted.setdefault(name, {})
    return Changes(tuple(_compare(scan(root, name), name, wanted[name]) for name in sorted(wanted)))


def _by_cluster(tree: Tree, clusters: Sequence[str]) -> dict[str, dict[str, str]]:
    result: dict[str, dict[str, str]] = {name: {} for name in clusters}
    for path, text in tree.items():
        top, _, rest = path.partition("/")
        name, _, inner = rest.partition("/")
        if top != "clusters" or name not in result or not PATH.fullmatch(inner):
            raise ValueError(f"a rendered path that is in no cluster folder: {path!r}")
        result[name][inner] = text
    return result


def _indexed(folder: Path) -> list[str]:
    """Name the cluster folders that we have written, never looking behind a link."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    return [path.name for path in folder.iterdir() if not path.is_symlink() and _has_index(path)]


def _has_index(folder: Path) -> bool:
    return any(os.path.lexists(folder / name) for name in (INDEX, JOURNAL))


def _compare(disk: Disk, cluster: str, wanted: Mapping[str, str]) -> ClusterChanges:
    hashes: dict[str, str] = {}
    differing: Differing = {}
    for path, text in wanted.items():
        after = text.encode()
        hashes[path] = _digest(after)
        before = disk.read(path, len(after))
        if before != after:
            differing[path] = (before, after)
    index = _compare_index(disk, hashes)
    unchanged = len(wanted) - len(differing)
    for path in index.known.keys() - wanted.keys():
        if (before := disk.read(path, 0)) is not None:
            differing[path] = (before, None)
    return _assemble(disk, cluster, index, differing, unchanged)


def _compare_index(disk: Disk, hashes: Mapping[str, str]) -> IndexChange:
    after = format_index(hashes) if hashes else None
    before = disk.read(INDEX, len(after or b""))
    journal = disk.read(JOURNAL, 0)
    if before == after and journal is None:
        return IndexChange(before, after, hashes, {path: (digest,) for path, digest in hashes.items()}, hashes.keys())
    index, begun = parse(before or b""), parse(journal or b"")
    return IndexChange(
        before,
        after,
        hashes,
        known=union(index.hashes, begun.hashes),
        listed=index.hashes.keys(),
        journal=journal is not None,
        conflicted=index.conflicted,
        damaged=index.damaged,
    )


def _assemble(disk: Disk, cluster: str, index: IndexChange, differing: Differing, unchanged: int) -> ClusterChanges:
    folder = f"clusters/{cluster}"
    foreign = disk.files - index.wanted.keys() - index.known.keys() - {INDEX, JOURNAL}
    barriers = find_barriers(disk, {*index.wanted, INDEX, JOURNAL}, index.known, foreign)
    blocked = {path for paths in barriers.values() for path in paths}
    return ClusterChanges(
        cluster,
        index,
        files=tuple(_judge(folder, path, differing[path], index) for path in sorted(differing) if path not in blocked),
        unchanged=unchanged,
        foreign=_full(folder, {*foreign, *disk.oddities} - barriers.keys()),
        obstacles=tuple(_describe(folder, place, barriers, disk) for place in sorted(barriers)),
        leftovers=_full(folder, disk.leftovers),
        empty=_full(folder, disk.empty),
    )


def _judge(folder: str, path: str, contents: tuple[bytes | None, bytes | None], index: IndexChange) -> FileChange:
    before, after = contents
    if before is None:
        state = State.MISSING if path in index.listed else State.ADDED
    elif not before or _digest(before) in index.known.get(path, ()):
        state = State.STALE if after is None else State.CHANGED
    elif path in index.known and _CONFLICT.search(before):
        state = State.CONFLICTED
    else:
        state = State.EDITED
    return FileChange(f"{folder}/{path}", state, before, after, owned=path in index.known)


def _describe(folder: str, place: str, barriers: Barriers, disk: Disk) -> Obstacle:
    what = disk.oddities.get(place)
    if what is None:
        what = "a folder with files that kaitops did not write" if place in disk.folders else "a file"
    return Obstacle(_join(folder, place), what, _full(folder, barriers[place]))


def _full(folder: str, paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(_join(folder, path) for path in paths))


def _join(folder: str, path: str) -> str:
    return f"{folder}/{path}" if path else folder


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()
