"""What does the rendered tree change on the disk? The answer as plain data, for the check, the diff and the write."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from generator.tree.index import Hashes

Tree = Mapping[str, str]
"""Path relative to the repository (`clusters/dev/gateway/gateway.yaml`) to the exact text."""


class State(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    MISSING = "missing"
    """Written once, then deleted by a hand."""
    STALE = "stale"
    """Ours, untouched, and no longer rendered."""
    EDITED = "edited"
    """Neither what we wrote nor what we would write: somebody's work."""
    CONFLICTED = "conflicted"
    """Ours, left by a merge with conflict markers: both sides are in Git, so writing over it loses nothing."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that is not as rendered; its content before and after, None where there is or shall be no file."""

    path: str
    state: State
    before: bytes | None
    after: bytes | None
    owned: bool = True
    """Whether the index knows the path; if not, an edited file is one that somebody else put there."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something that we will neither write through nor replace, and the files whose place it takes."""

    path: str
    what: str
    blocks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IndexChange:
    """The committed index, the one that belongs to the rendered tree, and what is known of the files by now."""

    before: bytes | None
    after: bytes | None
    wanted: Mapping[str, str]
    """By path in the cluster folder, the hash of the rendered text."""
    known: Hashes
    """What the index and the journal call ours."""
    listed: Collection[str]
    """The paths in the committed index alone."""
    journal: bool = False
    """Whether an interrupted write left its journal."""
    conflicted: bool = False
    damaged: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterChanges:
    """Everything that one cluster folder needs; paths are relative to the repository and sorted."""

    cluster: str
    index: IndexChange
    files: tuple[FileChange, ...] = ()
    unchanged: int = 0
    foreign: tuple[str, ...] = ()
    """Neither ours nor wanted: reported, never touched."""
    obstacles: tuple[Obstacle, ...] = ()
    leftovers: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    """Folders that hold nothing; Git cannot store them, so they are tidied up but are no drift."""

    @property
    def folder(self) -> str:
        return f"clusters/{self.cluster}"

    @property
    def clean(self) -> bool:
        index = self.index.before == self.index.after and not self.index.journal
        return index and not (self.files or self.obstacles or self.leftovers)

    @property
    def vanishing(self) -> list[FileChange]:
        return [change for change in self.files if change.after is None]


@dataclass(frozen=True, slots=True)
class Changes:
    clusters: tuple[ClusterChanges, ...]

    @property
    def clean(self) -> bool:
        """Whether the folders hold exactly the rendered tree; foreign files do not count against it."""
        return all(cluster.clean for cluster in self.clusters)

    @property
    def files(self) -> Iterator[FileChange]:
        return (change for cluster in self.clusters for change in cluster.files)

    @property
    def unchanged(self) -> int:
        return sum(cluster.unchanged for cluster in self.clusters)

    @property
    def foreign(self) -> list[str]:
        return [path for cluster in self.clusters for path in cluster.foreign]

    def of(self, *states: State) -> list[FileChange]:
        return [change for change in self.files if change.state in states]

    def only(self, clusters: Collection[str]) -> "Changes":
        """The changes of some clusters."""
        return Changes(tuple(cluster for cluster in self.clusters if cluster.cluster in clusters))

    @property
    def summary(self) -> str:
        """Counts in words: `3 added, 1 changed, 2 removed, 140 unchanged`."""
        counts = {
            "added": sum(change.before is None for change in self.files),
            "changed": sum(change.before is not None and change.after is not None for change in self.files),
            "removed": sum(change.after is None for change in self.files),
            "unchanged": self.unchanged,
        }
        return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing to do"
