"""Was exactly this repository found clean before, by exactly this generator?

`render --check` answers from its inputs alone: the catalog and the committed tree, the generator's own files, and the
packages and Python that run it. So "clean" holds for as long as none of them has changed by a byte. What is kept is
one hash over all of them, and nothing else: any difference, and anything odd such as a link, leads to the full
comparison, and only its "clean" is ever kept. An unchanged fleet is then told apart without reading YAML, types or
templates.

The one who can write the cache can make it lie. Hence it is never believed where `CI` is set.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from generator.repository import Repository

GENERATOR = Path(__file__).parent
INPUTS = ("catalog", "clusters")
COMPILED = "__pycache__"
"""Made from the sources beside it, and judged by them, by Python and by Jinja."""


class OddFileError(Exception):
    """A link or a device: what it stands for is not in its bytes."""


class Memory:
    """The state of one repository, and whether it was found clean."""

    def __init__(self, repository: Repository, generator: Path = GENERATOR) -> None:
        self._repository = repository
        self._generator = generator
        self._kept = repository.cache / "clean"
        self._state = self._fingerprint()

    def is_clean(self) -> bool:
        """Whether this very state was found clean before."""
        if self._state is None:
            return False
        try:
            return self._kept.read_text("ascii") == self._state
        except (OSError, UnicodeDecodeError):
            return False

    def keep_clean(self) -> None:
        """Keep that the state is clean, unless it has changed since it was looked at.

        A cache that cannot be written costs time, never a result.
        """
        if self._state is None or self._fingerprint() != self._state:
            return
        try:
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            partial = self._kept.with_suffix(f".{os.getpid()}.part")
            partial.write_text(self._state, "ascii")
            partial.replace(self._kept)
        except OSError:
            return

    def _fingerprint(self) -> str | None:
        """One hash over everything that the answer depends on; None where that cannot be said."""
        digest = sha256(f"{sys.version}\0{sys.flags}\0".encode())
        try:
            for name in _packages(sys.path):
                digest.update(f"{name}\0".encode())
            for part in _contents(self._generator, besides=COMPILED):
                digest.update(part)
            for name in INPUTS:
                for part in _contents(self._repository.root / name):
                    digest.update(part)
        except (OSError, OddFileError):
            return None
        return digest.hexdigest()


def memory_of(repository: Repository, environment: Mapping[str, str] = os.environ) -> Memory | None:
    """The memory of a repository, or None where a memory is not to be believed."""
    return None if environment.get("CI") else Memory(repository)


def _packages(search_path: list[str]) -> Iterator[str]:
    """What is installed, by name and version: the names of the folders that installers leave, without reading one."""
    for folder in map(Path, search_path):
        yield str(folder)
        if folder.is_dir():
            yield from sorted(path.name for path in folder.iterdir() if path.suffix in {".dist-info", ".pth"})


def _contents(folder: Path, besides: str = "") -> Iterator[bytes]:
    """Every folder and file below one, in a fixed order, each under its name and with its length before its bytes."""
    if folder.is_symlink():
        raise OddFileError(folder)
    yield b"\0top\0"
    yield from _inside(str(folder), "", besides)


def _inside(folder: str, prefix: str, besides: str) -> Iterator[bytes]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name == besides:
            continue
        name = f"{prefix}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield f"\0d{name}\0".encode(errors="surrogateescape")
            yield from _inside(entry.path, name, besides)
        elif entry.is_file(follow_symlinks=False):
            data = _read(entry.path)
            yield f"\0f{name}\0{len(data)}\0".encode(errors="surrogateescape")
            yield data
        else:
            raise OddFileError(entry.path)


def _read(path: str) -> bytes:
    """The whole file with the fewest calls to the kernel, since there are thousands."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size + 1
        parts = [os.read(descriptor, size)]
        while parts[-1]:
            parts.append(os.read(descriptor, size))
        return b"".join(parts)
    finally:
        os.close(descriptor)
