"""Brings files in parts, several at once, and writes down what has arrived: a restart asks only for the rest."""

import logging
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import httpx

from inference.errors import CANNOT_HEAL, TRY_AGAIN, StartError
from inference.fetch.files import Authorize, RemoteFile
from inference.fetch.intact import check_safetensors
from inference.fetch.partial import Partial, disk_error
from inference.fetch.place import Place
from inference.fetch.progress import Progress
from inference.fetch.web import Again, Web

log = logging.getLogger(__name__)

PART_BYTES = 64 << 20
WORKERS = 8


@dataclass(frozen=True, slots=True)
class Pace:
    """How much at once: one connection rarely fills the network card of a GPU node."""

    part_bytes: int = PART_BYTES
    workers: int = WORKERS


def download(files: Sequence[RemoteFile], place: Place, web: Web, authorize: Authorize, pace: Pace) -> None:
    """Fetch every file into the place; the first failure ends all."""
    partials = [Partial(file, place, pace.part_bytes) for file in files]
    progress = Progress(sum(file.size for file in files), sum(partial.arrived_bytes for partial in partials))
    if progress.done:
        log.info("going on where an earlier start stopped", extra={"fields": {"bytes": progress.done}})
    fetch = Fetch(web, authorize, progress)
    with ThreadPoolExecutor(pace.workers) as pool:
        work = [pool.submit(fetch.verify, partial) for partial in partials if not partial.missing]
        work += [pool.submit(fetch.part, partial, number) for partial in partials for number in sorted(partial.missing)]
        try:
            for item in as_completed(work):
                item.result()
        except StartError:
            web.stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


@dataclass(frozen=True, slots=True)
class Fetch:
    """What the workers do."""

    web: Web
    authorize: Authorize
    progress: Progress

    def part(self, partial: Partial, number: int) -> None:
        """Bring one part; who brings a file's last one verifies the file."""
        self._bring(partial, number)
        if partial.arrived(number):
            self.verify(partial)

    def verify(self, partial: Partial) -> None:
        """Check a file that is there in full; the way or a crash may have spoilt it, so it gets a second try."""
        if partial.whole:
            return
        if not self._right(partial):
            log.warning("`%s` does not have its checksum; fetching it once more", partial.file.path)
            partial.begin()
            self.progress.add(-partial.file.size)
            for number in sorted(partial.missing):
                self._bring(partial, number)
                partial.arrived(number)
            if not self._right(partial):
                partial.begin()
                raise StartError(f"`{partial.file.path}` does not have its checksum",
                                 "upload it again: what the source holds is damaged", CANNOT_HEAL)  # fmt: skip
        check_safetensors(partial.path, partial.file.path)
        partial.finish()

    def _right(self, partial: Partial) -> bool:
        return partial.file.checksum is None or partial.file.checksum.matches(partial.path)

    def _bring(self, partial: Partial, number: int) -> None:
        start, end = partial.bounds(number)
        running = Running(self, partial, start, end)
        self.web.persistently(f"`{partial.file.path}`", running.attempt, lambda: running.at)


@dataclass(slots=True)
class Running:
    """One part on its way: `at` is how far it got, over all attempts."""

    fetch: Fetch
    partial: Partial
    at: int
    end: int

    def attempt(self) -> None:
        """Ask for the rest and write it at its place."""
        file = self.partial.file
        wanted = {"Range": f"bytes={self.at}-{self.end - 1}", "Accept-Encoding": "identity"}
        headers = {**self.fetch.authorize(), **file.headers, **wanted}
        with self.fetch.web.stream(file.url, headers) as response, self.partial.path.open("r+b") as disk:
            self._check_range(response)
            disk.seek(self.at)
            for block in response.iter_raw():
                self._write(disk.fileno(), block)
        if self.at < self.end:
            raise Again(f"the connection ended {self.end - self.at} bytes early")

    def _check_range(self, response: httpx.Response) -> None:
        size = self.partial.file.size
        if response.status_code == httpx.codes.OK and (self.at, self.end) == (0, size):
            return
        given = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("content-range", ""))
        if response.status_code != httpx.codes.PARTIAL_CONTENT or not given:
            raise StartError(f"{response.url.copy_with(query=None)} does not answer ranges",
                             "look for a proxy between that drops them", CANNOT_HEAL)  # fmt: skip
        if (int(given[1]), int(given[2]), int(given[3])) != (self.at, self.end - 1, size):
            raise StartError(f"`{self.partial.file.path}` is not the {size} bytes that were listed", "start again",
                             TRY_AGAIN)  # fmt: skip

    def _write(self, descriptor: int, block: bytes) -> None:
        if self.fetch.web.stopped.is_set():
            raise StartError("stopped", "", TRY_AGAIN)
        if self.at + len(block) > self.end:
            raise StartError(
                f"`{self.partial.file.path}` answers with more than was asked for", "start again", TRY_AGAIN
            )
        view = memoryview(block)
        try:
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError as error:
            raise disk_error(error) from error
        self.at += len(block)
        self.fetch.progress.add(len(block))
