"""What lies in a cluster folder, without ever following a symbolic link out of it?

This runs over every file of the repository at every `render --check`, hence `os.scandir` and plain descriptors
instead of `pathlib`.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from generator.tree.index import TEMPORARY

_LINK = "a symbolic link"
# Without O_NONBLOCK a pipe that takes a file's place between scan and read would hang us.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(slots=True)
class Disk:
    """The content of one cluster folder; every path is relative to it, and "" is the folder itself."""

    base: str
    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    empty: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    """Temporary files that a killed write left behind."""
    oddities: dict[str, str] = field(default_factory=dict)
    """What is neither a readable file nor a readable folder, and what it is instead."""

    def read(self, path: str, expected: int) -> bytes | None:
        """Give a file's bytes, or None where there is no file that can be read."""
        if path not in self.files:
            return None
        try:
            return _read(f"{self.base}/{path}", expected)
        except OSError as error:
            self.files.discard(path)
            self.oddities[path] = f"a file that cannot be read ({error.strerror})"
            return None


def scan(root: Path, cluster: str) -> Disk:
    folder = root / "clusters" / cluster
    disk = Disk(str(folder))
    if barrier := _barrier(folder):
        disk.oddities[""] = barrier
    elif folder.exists():
        _scan_folder("", disk)
    return disk


def _barrier(folder: Path) -> str:
    """Say what keeps us out of the cluster folder: it is only ours if no link leads to it."""
    if folder.parent.is_symlink():
        return f"behind `{folder.parent.name}`, which is a symbolic link"
    if folder.is_symlink():
        return _LINK
    return "not a folder" if folder.exists() and not folder.is_dir() else ""


def _scan_folder(path: str, disk: Disk) -> None:
    try:
        with os.scandir(f"{disk.base}/{path}") as entries:
            inside = list(entries)
    except OSError as error:
        disk.oddities[path] = f"a folder that cannot be read ({error.strerror})"
        return
    if not inside:
        disk.empty.append(path)
    prefix = f"{path}/" if path else ""
    for entry in inside:
        _note(entry, prefix + entry.name, disk)


def _note(entry: os.DirEntry[str], path: str, disk: Disk) -> None:
    if entry.is_dir(follow_symlinks=False):
        disk.folders.add(path)
        _scan_folder(path, disk)
    elif not entry.is_file(follow_symlinks=False):
        disk.oddities[path] = _LINK if entry.is_symlink() else "neither a file nor a folder"
    elif entry.name.startswith(TEMPORARY):
        disk.leftovers.append(path)
    else:
        disk.files.add(path)


def _read(path: str, expected: int) -> bytes:
    """Read a whole file, in one system call where it has the expected number of bytes."""
    descriptor = os.open(path, _READ)
    try:
        data = os.read(descriptor, expected + 1)
        if len(data) == expected:
            return data
        parts = [data]
        while data := os.read(descriptor, 1 << 16):
            parts.append(data)
        return b"".join(parts)
    finally:
        os.close(descriptor)
