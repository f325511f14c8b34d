"""What stands in the way of our files that we may neither write through nor replace?

A link, a pipe or an unreadable folder where one of our paths leads, a foreign file where a folder of ours belongs,
a folder with foreign files where a file of ours belongs. Paths are relative to the cluster folder, "" being the
folder itself.
"""

from collections.abc import Collection, Iterable, Iterator

from generator.tree.disk import Disk

Barriers = dict[str, list[str]]
"""By path of a barrier, the files of ours that it blocks."""


def find_barriers(disk: Disk, wanted: Iterable[str], known: Iterable[str], foreign: Collection[str]) -> Barriers:
    """Find what blocks a wanted file, and what hides a file that we wrote once and might have to delete."""
    survivors = {*foreign, *disk.oddities}
    barriers: Barriers = {}
    for path in sorted({*wanted, *known} - disk.files):
        for place in _lineage(path):
            if place in disk.oddities:
                barriers.setdefault(place, []).append(path)
    for path in sorted(set(wanted) - disk.files):
        for place in _lineage(path):
            if place in foreign:
                barriers.setdefault(place, []).append(path)
        if path in disk.folders and any(place.startswith(f"{path}/") for place in survivors):
            barriers.setdefault(path, []).append(path)
    return barriers


def _lineage(path: str) -> Iterator[str]:
    """Give the path and every folder above it, up to the cluster folder itself."""
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield ""
