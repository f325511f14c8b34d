"""Is what lies on the disk what we wrote there?"""

from functools import cache
from hashlib import sha256
from pathlib import Path

from generator.tree.index import INDEX, JOURNAL, Hashes, parse, union


class Ours:
    """What the indexes and journals below `root` say that we wrote; each is read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known = cache(self._read)

    def wrote(self, path: str, content: bytes) -> bool:
        """Whether `content` at `path`, such as `clusters/dev/a/b.yaml`, is ours; an edit by hand is somebody's."""
        _, cluster, inner = path.split("/", 2)
        return sha256(content).hexdigest() in self._known(cluster).get(inner, ())

    def _read(self, cluster: str) -> Hashes:
        folder = self._root / "clusters" / cluster
        files = (folder / name for name in (INDEX, JOURNAL))
        return union(*(parse(file.read_bytes()).hashes for file in files if file.is_file() and not file.is_symlink()))
