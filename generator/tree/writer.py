"""How does the planned change get onto the disk so that a kill at any moment loses nothing?

In each cluster folder: first the journal, which lists by hash every content that may be found until the end; then
the stale files go, the others are replaced one by one, the index follows, and the journal goes last. Every file,
index and journal included, is written under a temporary name and renamed, so at any moment a path holds its old
bytes or its new bytes, and whatever is found there is in the index or in the journal: the next run completes the
work even if the catalog has changed in between, and never takes our own half of it for a hand edit.

That holds for a killed process, whose writes the kernel keeps. After a power cut the file system may have kept the
renames and lost the bytes; forcing each of thousands of files to the disk would cost seconds at every render, to
protect what Git and the catalog can both restore. The comparison catches it, and takes an empty file for ours.
"""

import errno
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path
from threading import get_native_id

from generator.finding import CannotRunError, Finding
from generator.tree.changes import Changes, ClusterChanges, FileChange
from generator.tree.guard import refusals
from generator.tree.index import INDEX, JOURNAL, TEMPORARY, format_journal, union

# O_EXCL, so that nothing which stands under the temporary name, a link say, is written through.
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_WORTH_A_THREAD = 500
"""With so many files a second thread pays: creating a file keeps the kernel busy, and Python idle, for long."""


class RefusedError(Exception):
    """Nothing was written, for these reasons."""

    def __init__(self, found: list[Finding]) -> None:
        super().__init__("; ".join(f"{finding.where}: {finding.message}" for finding in found))
        self.findings = found


def write(root: Path, changes: Changes, *, force: bool = False, allow_prune: bool = False) -> None:
    """Write what differs and nothing else, or raise `RefusedError` before the first write."""
    if found := refusals(changes, force=force, allow_prune=allow_prune):
        raise RefusedError(found)
    try:
        for cluster in changes.clusters:
            _write_cluster(root, cluster)
    except OSError as error:
        raise CannotRunError(
            f"cannot write `{error.filename2 or error.filename or root}`: {error.strerror}",
            "mend that and run `kaitops render` again, which completes the write",
        ) from error


def _write_cluster(root: Path, cluster: ClusterChanges) -> None:
    folder = root / cluster.folder
    for path in cluster.leftovers:
        (root / path).unlink(missing_ok=True)
    if cluster.files:
        folder.mkdir(parents=True, exist_ok=True)
        rendered = {path: (digest,) for path, digest in cluster.index.wanted.items()}
        _replace(str(folder), JOURNAL, format_journal(union(cluster.index.known, rendered)))
    _delete(root, cluster)
    _write_files(root, cluster)
    _write_index(folder, cluster)


def _delete(root: Path, cluster: ClusterChanges) -> None:
    """Delete before anything is written: a file may become a folder, and a folder a file."""
    stale = [change.path for change in cluster.vanishing]
    for path in stale:
        (root / path).unlink(missing_ok=True)
    limit = root / cluster.folder
    for path in {*cluster.empty, *(path.rpartition("/")[0] for path in (*cluster.leftovers, *stale))}:
        folder = root / path
        while folder != limit and _remove_if_empty(folder):
            folder = folder.parent


def _write_files(root: Path, cluster: ClusterChanges) -> None:
    wanted = [change for change in cluster.files if change.after is not None]
    if len(wanted) < _WORTH_A_THREAD:
        _write_part(root, wanted)
        return
    middle = len(wanted) // 2
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(partial(_write_part, root), (wanted[:middle], wanted[middle:])))


def _write_part(root: Path, wanted: Iterable[FileChange]) -> None:
    for parent, group in groupby(wanted, key=lambda change: change.path.rpartition("/")[0]):
        folder = root / parent
        folder.mkdir(parents=True, exist_ok=True)
        for change in group:
            _replace(str(folder), change.path.rpartition("/")[2], change.after or b"")


def _write_index(folder: Path, cluster: ClusterChanges) -> None:
    index = cluster.index
    if index.after is None:
        (folder / INDEX).unlink(missing_ok=True)
    elif index.before != index.after:
        _replace(str(folder), INDEX, index.after)
    if cluster.files or index.journal:
        (folder / JOURNAL).unlink(missing_ok=True)
    if index.after is None:
        _remove_if_empty(folder)


def _replace(folder: str, name: str, data: bytes) -> None:
    temporary = f"{folder}/{TEMPORARY}{get_native_id()}"
    descriptor = os.open(temporary, _CREATE, 0o666)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)
    # Once per file: with `Path` objects the first write of thousands of files takes a third longer.
    os.replace(temporary, f"{folder}/{name}")  # noqa: PTH105


def _remove_if_empty(folder: Path) -> bool:
    """Say whether the folder is gone; one that holds something stays, and whose that is does not matter here."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True
