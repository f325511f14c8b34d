"""When may a server read the folder? When it is there: it appears at once and whole, and says what it holds.

Files are put together in a hidden folder beside it and renamed at the end, so that a server never finds half a model.
A mark inside says where it came from; as long as it fits, the next start asks nobody.
"""

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from inference.errors import CANNOT_HEAL, StartError
from inference.fetch.files import RemoteFile

log = logging.getLogger(__name__)

MARK = ".fetched.json"
GIBIBYTE = 1 << 30


class Place:
    """The folder to fill, and what lies beside it until then."""

    def __init__(self, into: Path, asked: str) -> None:
        self.into, self.asked = into, asked
        self.staging = into.parent / f".{into.name}.partial"
        self.model = self.staging / "model"
        self.journals = self.staging / "journals"

    def complete(self) -> bool:
        """Whether the folder already holds what is asked for, every file in its size."""
        try:
            mark = json.loads((self.into / MARK).read_text(encoding="utf-8"))
            sizes = {str(path): int(size) for path, size in mark["files"].items()}
            return mark["source"] == self.asked and all(
                (self.into / path).stat().st_size == size for path, size in sizes.items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def check(self) -> None:
        """Refuse a folder that cannot be replaced, or that holds something which is not ours to remove."""
        if self.into.is_mount() or self.into == self.into.parent:
            raise StartError(f"`{self.into}` is a volume itself, and cannot appear at once",
                             "name a folder inside of it")  # fmt: skip
        if self.into.exists() and not self.into.is_dir():
            raise StartError(f"`{self.into}` is a file", "name a folder")
        if self.into.is_dir() and any(self.into.iterdir()) and not (self.into / MARK).is_file():
            raise StartError(f"`{self.into}` holds files that did not come from here", "name a folder of its own")

    @contextmanager
    def held(self) -> Iterator[None]:
        """One process fills the folder at a time; the kernel lets go when the holder dies."""
        with _explained(self.into.parent):
            self.into.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.into.parent / f".{self.into.name}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        try:
            _lock(handle, self.into)
            yield
        finally:
            os.close(handle)

    def prepare(self) -> None:
        """The hidden folders; what an earlier start left of another source goes."""
        note = self.staging / "source"
        with _explained(self.staging):
            if self.staging.is_dir() and not (note.is_file() and note.read_text(encoding="utf-8") == self.asked):
                shutil.rmtree(self.staging)
            self.model.mkdir(parents=True, exist_ok=True)
            self.journals.mkdir(exist_ok=True)
            note.write_text(self.asked, encoding="utf-8")

    def check_room(self, files: Sequence[RemoteFile]) -> None:
        """Say before the download that it cannot fit."""
        held = sum(path.stat().st_blocks * 512 for path in self.model.rglob("*") if path.is_file())
        needed, free = sum(file.size for file in files) - held, shutil.disk_usage(self.staging).free
        if needed > free:
            raise StartError(f"the model needs {needed / GIBIBYTE:.2f} GiB more and `{self.into.parent}` has "
                             f"{free / GIBIBYTE:.2f} GiB", "give the volume or the node's disk more room",
                             CANNOT_HEAL)  # fmt: skip

    def publish(self, files: Sequence[RemoteFile]) -> None:
        """Make the filled folder the one that the server reads."""
        keep = {self.model / file.path for file in files}
        mark = {"source": self.asked, "files": {file.path: file.size for file in files}}
        old = self.staging / "old"
        with _explained(self.into):
            for path in [path for path in self.model.rglob("*") if path.is_file() and path not in keep]:
                path.unlink()
            (self.model / MARK).write_text(json.dumps(mark, indent=1), encoding="utf-8")
            shutil.rmtree(old, ignore_errors=True)
            if self.into.exists():
                self.into.rename(old)
            self.model.rename(self.into)
            shutil.rmtree(self.staging)


def _lock(handle: int, into: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.info("another process fills `%s`; waiting for it", into)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        log.warning("the volume of `%s` knows no locks (%s)", into, error.strerror)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartError(f"`{error.filename or path}` cannot be written: {error.strerror}",
                         "mount a volume there that the pod may write", CANNOT_HEAL) from error  # fmt: skip
