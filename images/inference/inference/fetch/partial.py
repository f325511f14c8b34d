"""What has arrived of a file? Its bytes lie in their place, and a journal says which parts of which version they are.

The journal is written before the file and after each part, so that a process may die at any instruction: what the
journal does not name is fetched again.
"""

import os
import threading

from inference.errors import CANNOT_HEAL, StartError
from inference.fetch.files import RemoteFile
from inference.fetch.place import Place

WHOLE = "whole"
Bounds = tuple[int, int]


class Partial:
    """A file that is being put together."""

    def __init__(self, file: RemoteFile, place: Place, part_bytes: int) -> None:
        self.file, self.part_bytes = file, part_bytes
        self.path = place.model / file.path
        self._journal = place.journals / (file.path.replace("%", "%25").replace("/", "%2F"))
        self._lock = threading.Lock()
        self.whole = False
        self.missing: set[int] = set()
        self._open()

    def bounds(self, number: int) -> Bounds:
        return number * self.part_bytes, min((number + 1) * self.part_bytes, self.file.size)

    @property
    def arrived_bytes(self) -> int:
        return self.file.size - sum(end - start for start, end in map(self.bounds, self.missing))

    def arrived(self, number: int) -> bool:
        """Note a part; True for whoever brought the last one."""
        with self._lock:
            self._note(str(number))
            self.missing.discard(number)
            return not self.missing

    def finish(self) -> None:
        """What is on the disk is what the source has; the next start need not look again."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self._note(WHOLE)
        self.whole = True

    def begin(self) -> None:
        """Nothing has arrived."""
        self.whole = False
        self.missing = set(range(-(-self.file.size // self.part_bytes)))
        try:
            self._journal.write_text(self._head + "\n", encoding="utf-8")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("wb") as file:
                file.truncate(self.file.size)
        except OSError as error:
            raise disk_error(error) from error

    @property
    def _head(self) -> str:
        return f"{self.part_bytes} {self.file.version}"

    def _open(self) -> None:
        """Take up what an earlier start left of this version."""
        head, *notes = self._read() or [""]
        if head != self._head or not self._right_size():
            self.begin()
            return
        self.whole = WHOLE in notes
        held = {int(note) for note in notes if note.isdigit()}
        count = -(-self.file.size // self.part_bytes)
        self.missing = set() if self.whole else set(range(count)) - held

    def _right_size(self) -> bool:
        return self.path.is_file() and self.path.stat().st_size == self.file.size

    def _read(self) -> list[str]:
        try:
            text = self._journal.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return []
        # A line without its end was being written when the process died.
        return text.split("\n")[:-1]

    def _note(self, line: str) -> None:
        try:
            with self._journal.open("a", encoding="utf-8") as journal:
                journal.write(line + "\n")
        except OSError as error:
            raise disk_error(error) from error


def disk_error(error: OSError) -> StartError:
    return StartError(f"the disk does not take the weights: {error.strerror}", "give the volume more room", CANNOT_HEAL)
