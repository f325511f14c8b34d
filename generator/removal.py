"""Is something taken down that nobody retired?

Removing an entry that runs takes two commits, so that one slip of the hand deletes no GPUs: `retired: true` first,
which stops it, then the file.
"""

from collections.abc import Iterator

from generator.finding import Finding, Place
from generator.load import Catalog
from generator.tree import Changes

RUNNING = frozenset({"workspace.yaml", "inferenceset.yaml", "ragengine.yaml"})


def removed_while_running(catalog: Catalog, changes: Changes) -> Iterator[Finding]:
    """A finding for each object that would be deleted because its entry, or the cluster's file, is gone."""
    known = {*catalog.models, *catalog.tunings, *catalog.rag_engines}
    for change in changes.files:
        _, cluster, unit, *rest = change.path.split("/")
        if change.after is not None or not rest or rest[-1] not in RUNNING:
            continue
        if unit not in known or cluster not in catalog.clusters:
            gone = f"entry `{unit}`" if unit not in known else f"cluster `{cluster}`"
            message = f"{gone} is gone from the catalog while `{unit}` runs on cluster `{cluster}`"
            hint = "put it back with `retired: true`, merge that, then remove the file; or `--allow-prune`"
            yield Finding(Place(change.path), "catalog/removed", message, hint)
