"""What does `render --check` say about a tree that is not as rendered, and what is the way out?

One finding per file, at that file. Where one rule has very many in one cluster, as after a change of a template,
those of one folder share a finding that still names each file: one line per model instead of one per manifest.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from generator.finding import Finding, Place, Severity
from generator.tree.changes import Changes, ClusterChanges, FileChange, Obstacle, State
from generator.tree.index import INDEX, JOURNAL

MANY = 20
"""Findings of one rule in one cluster; with more, they are told by folder."""
_NAMED = 5

_RENDER = "run `kaitops render` and commit the result"
_FORCE = "put the change into the catalog, or drop it with `kaitops render --force`"

_PLAIN = {
    State.ADDED: ("drift/missing", "is not written yet", _RENDER),
    State.MISSING: ("drift/missing", "was written before and is gone", _RENDER),
    State.CHANGED: ("drift/changed", "differs from what the catalog renders", _RENDER),
    State.STALE: ("drift/stale", "is no longer rendered from the catalog", _RENDER),
    State.CONFLICTED: (
        "drift/conflict",
        "holds merge conflict markers",
        "merge the catalog, then run `kaitops render`, which writes this file anew",
    ),
}


def findings(changes: Changes) -> list[Finding]:
    return [finding for cluster in changes.clusters for finding in sorted(_condense(_describe(cluster)))]


def _describe(cluster: ClusterChanges) -> Iterator[Finding]:
    yield from map(describe_obstacle, cluster.obstacles)
    yield from map(_describe_file, cluster.files)
    yield from describe_damage(cluster)
    yield from _describe_conflict(cluster)
    yield from _describe_unfinished(cluster)
    yield from map(_describe_foreign, cluster.foreign)


def _describe_file(change: FileChange) -> Finding:
    if change.state is State.EDITED:
        return describe_edit(change)
    rule, message, hint = _PLAIN[change.state]
    return Finding(_place(change.path), rule, message, hint)


def describe_edit(change: FileChange) -> Finding:
    message, hint = "was edited by hand", _FORCE
    if change.after is None:
        message = "was edited by hand, and is no longer rendered from the catalog"
    elif not change.owned:
        message = "was not written by kaitops, and stands where a rendered file belongs"
        hint = "move it away, or overwrite it with `kaitops render --force`"
    elif change.before is not None and change.before.replace(b"\r\n", b"\n") == change.after:
        message = "has CRLF line endings"
        hint = "let `.gitattributes` set `eol=lf`, then run `kaitops render --force`"
    return Finding(_place(change.path), "drift/edited", message, hint)


def describe_obstacle(obstacle: Obstacle) -> Finding:
    blocked = [f"`{path}`" for path in obstacle.blocks if path != obstacle.path]
    names = ", ".join(blocked[:_NAMED]) or "a rendered file"
    more = f" and {len(blocked) - _NAMED} more" if len(blocked) > _NAMED else ""
    return Finding(
        _place(obstacle.path),
        "drift/blocked",
        f"is {obstacle.what}, where {names}{more} should be",
        "remove it or move it away, then run `kaitops render`",
    )


def describe_damage(cluster: ClusterChanges) -> Iterator[Finding]:
    index = f"{cluster.folder}/{INDEX}"
    for line in cluster.index.damaged:
        yield Finding(
            Place(index, line),
            "drift/conflict",
            "this line of the index cannot be understood, so its file has no owner",
            f"restore it with `git checkout -- {index}`, or write it anew with `kaitops render --force`",
        )


def _describe_conflict(cluster: ClusterChanges) -> Iterator[Finding]:
    if cluster.index.conflicted:
        yield Finding(
            Place(f"{cluster.folder}/{INDEX}"),
            "drift/conflict",
            "the index holds merge conflict markers",
            "merge the catalog, then run `kaitops render`, which knows the files of both sides",
        )


def _describe_unfinished(cluster: ClusterChanges) -> Iterator[Finding]:
    index = cluster.index
    hint = "run `kaitops render`, which completes the write"
    if index.journal:
        message = "a `kaitops render` of this folder was interrupted"
        yield Finding(Place(f"{cluster.folder}/{JOURNAL}"), "drift/unfinished", message, hint)
    elif index.before != index.after and not (cluster.files or cluster.obstacles or index.conflicted):
        message = "the index is missing" if index.before is None else "the index does not match the files"
        yield Finding(Place(f"{cluster.folder}/{INDEX}"), "drift/unfinished", message, hint)
    for path in cluster.leftovers:
        yield Finding(_place(path), "drift/unfinished", "was left by an interrupted `kaitops render`", hint)


def _describe_foreign(path: str) -> Finding:
    return Finding(
        _place(path),
        "drift/foreign",
        "was not written by kaitops, which owns this folder",
        "move it out of the cluster folder, for instance into `clusters/components/`",
        Severity.WARNING,
    )


def _condense(found: Iterable[Finding]) -> Iterator[Finding]:
    single = list(found)
    counts = Counter(finding.rule for finding in single)
    yield from (finding for finding in single if counts[finding.rule] <= MANY)
    crowded = sorted(
        (finding for finding in single if counts[finding.rule] > MANY),
        key=lambda finding: (_alike(finding), finding.where),
    )
    for _, group in groupby(crowded, key=_alike):
        yield _merge(list(group))


def _alike(finding: Finding) -> tuple[str, str, str, str]:
    return finding.where.file.rpartition("/")[0], finding.rule, finding.message, finding.hint


def _merge(group: list[Finding]) -> Finding:
    first = group[0]
    if len(group) == 1:
        return first
    others = ", ".join(f"`{finding.where.file.rpartition('/')[2]}`" for finding in group[1:])
    return Finding(first.where, first.rule, f"{first.message}; likewise {others}", first.hint, first.severity)


def _place(path: str) -> Place:
    return Place(_printable(path))


def _printable(path: str) -> str:
    """Make a file name that is not UTF-8 fit for a message."""
    return path.encode("utf-8", "backslashreplace").decode()
