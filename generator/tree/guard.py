"""What must a write not do without being told to?

Decided over the whole plan before anything is written, so that a refused `render` leaves the disk as it was. Work
of a person is overwritten only by force. A catalog that lost its entries, by a bad merge or a bug, must not delete
the models of a cluster: a GitOps engine would prune them minutes later.
"""

from collections.abc import Iterator

from generator.finding import Finding, Place
from generator.tree.changes import Changes, ClusterChanges, State
from generator.tree.report import describe_damage, describe_edit, describe_obstacle

PRUNE_FLOOR = 4
"""So many files may go at any time: about one model of a small cluster."""
PRUNE_DIVISOR = 4
"""Beyond the floor, at most every fourth file that the index owns."""
_NAMED = 5


def refusals(changes: Changes, *, force: bool = False, allow_prune: bool = False) -> list[Finding]:
    """Say why these changes must not be written; nothing means that they may."""
    return [
        finding for cluster in changes.clusters for finding in _refusals(cluster, force=force, allow_prune=allow_prune)
    ]


def _refusals(cluster: ClusterChanges, *, force: bool, allow_prune: bool) -> Iterator[Finding]:
    yield from map(describe_obstacle, cluster.obstacles)
    if not force:
        yield from describe_damage(cluster)
        yield from (describe_edit(change) for change in cluster.files if change.state is State.EDITED)
    if not allow_prune and _prunes_too_much(cluster):
        yield _describe_prune(cluster)


def _prunes_too_much(cluster: ClusterChanges) -> bool:
    vanishing = len(cluster.vanishing)
    if not cluster.index.wanted:
        return vanishing > 0
    return vanishing > PRUNE_FLOOR and vanishing * PRUNE_DIVISOR > len(cluster.index.known)


def _describe_prune(cluster: ClusterChanges) -> Finding:
    vanishing = cluster.vanishing
    folders = sorted({change.path.rpartition("/")[0] for change in vanishing})
    names = ", ".join(f"`{folder}`" for folder in folders[:_NAMED])
    more = f" and {len(folders) - _NAMED} more" if len(folders) > _NAMED else ""
    return Finding(
        Place(cluster.folder),
        "drift/prune",
        f"{len(vanishing)} of {len(cluster.index.known)} files would be deleted, in {names}{more}",
        "`kaitops render --diff` shows them all; if that is meant, run `kaitops render --allow-prune`",
    )
