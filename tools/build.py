"""Which Go tools does a group name, and are they built?

A group is a folder with a `go.mod` whose `tool` directives say what to build and whose `go.sum` pins every source, so
that a tool needs neither a download page nor a digest of ours. A tool is built once for each content of those two
files: the second run reads a stamp and says nothing. `kube:etcd,kube-apiserver` asks for some tools of a group.
"""

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from generator.finding import CannotRunError
from tools.toolchain import (
    ENVIRONMENT,
    CommandFailedError,
    Site,
    Version,
    environment,
    find_go,
    go_version,
    local_site,
    parse_version,
    progress,
    say,
)

STRIPPED = "-s -w"

NAMES = {"go.etcd.io/etcd/server/v3": "etcd", "github.com/argoproj/argo-cd/v3/cmd": "argocd"}
"""Programs that people do not call by the name of their package."""

KUBERNETES = "k8s.io/kubernetes/"
KUBERNETES_VERSION = "k8s.io/component-base/version"
"""The package whose variables the linker sets; without them Kubernetes calls itself v0.0.0, and clients believe it."""


@dataclass(frozen=True, slots=True)
class Tool:
    package: str
    version: str

    @property
    def name(self) -> str:
        """The binary's name, by Go's own rule: a final `/v5` is part of the module's path."""
        path = PurePosixPath(self.package)
        own = path.parent.name if re.fullmatch(r"v[0-9]+", path.name) else path.name
        return NAMES.get(self.package, own)

    @property
    def build_flags(self) -> tuple[str, ...]:
        if not self.package.startswith(KUBERNETES):
            return ("-ldflags", STRIPPED)
        major, minor, _ = self.version.removeprefix("v").split(".", 2)
        variables = {"gitVersion": self.version, "gitMajor": major, "gitMinor": minor}
        settings = [f"-X {KUBERNETES_VERSION}.{name}={value}" for name, value in variables.items()]
        return ("-ldflags", " ".join((STRIPPED, *settings)))


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


def build_key(go_mod: bytes, go_sum: bytes, go_version: str, flags: Sequence[str]) -> str:
    """Changes with everything that a binary depends on."""
    digest = hashlib.sha256()
    for part in (go_mod, go_sum, go_version.encode(), repr((tuple(flags), ENVIRONMENT)).encode()):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def build_group(site: Site, group: str, names: Sequence[str] = ()) -> None:
    """Build a group's tools, or those of the names given, each unless it is there already.

    Raises:
        CannotRunError: no such group or tool, no Go that is new enough, or a tool that does not build.
    """
    folder = _folder(site.root, group)
    go_mod, go_sum = ((folder / name).read_bytes() for name in ("go.mod", "go.sum"))
    wanted = parse_go_mod(go_mod.decode())
    tools = _chosen(wanted.tools, names, group)
    go = find_go(site, wanted.go, group)
    version = go_version(site, go)
    for tool in tools:
        key = build_key(go_mod, go_sum, version, tool.build_flags)
        stamp = site.binaries.with_name(f"{tool.name}.stamp")
        if not _is_built(site, tool, stamp, key):
            # Without a stamp a killed build cannot pass for the one before it.
            stamp.unlink(missing_ok=True)
            _build_tool(site, go, folder, tool)
            stamp.write_text(key)


def _folder(root: Path, group: str) -> Path:
    files = sorted((root / "tools").glob("*/go.mod"))
    groups = [file.parent.name for file in files if parse_go_mod(file.read_text()).tools]
    if group not in groups:
        raise CannotRunError(f"no tool group `{group}` in `tools/`", f"groups: {', '.join(groups)}")
    return root / "tools" / group


def _chosen(tools: Sequence[Tool], names: Sequence[str], group: str) -> Sequence[Tool]:
    known = {tool.name: tool for tool in tools}
    for name in names:
        if name not in known:
            raise CannotRunError(f"no tool `{name}` in `tools/{group}/go.mod`", f"tools: {', '.join(known)}")
    return [known[name] for name in names] or tools


def _is_built(site: Site, tool: Tool, stamp: Path, key: str) -> bool:
    return (site.binaries / tool.name).is_file() and stamp.is_file() and stamp.read_text() == key


def _build_tool(site: Site, go: str, folder: Path, tool: Tool) -> None:
    site.binaries.mkdir(parents=True, exist_ok=True)
    partial = site.binaries / f".{tool.name}.{os.getpid()}.part"
    command = [go, "build", *tool.build_flags, "-o", str(partial), tool.package]
    try:
        with progress(site, f"building {tool.name} {tool.version}"):
            site.run(command, folder, environment())
        partial.replace(site.binaries / tool.name)
    except CommandFailedError as error:
        place = f"{folder.relative_to(site.root).as_posix()}/go.mod"
        raise CannotRunError(
            f"cannot build `{tool.name}` {tool.version} from `{place}`: {error}",
            "if its sources cannot be reached, set `GOPROXY` to a mirror that you can reach, then run `make tools`",
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the groups that are named; 2 says that one could not be built."""
    parser = argparse.ArgumentParser(
        "python -m tools.build", description="Build groups of Go tools into .cache/tools/bin."
    )
    parser.add_argument(
        "group", nargs="+", help="a folder of tools/ with a go.mod; `GROUP:NAME,NAME` builds some of its tools"
    )
    site = local_site()
    try:
        for wanted in parser.parse_args(arguments).group:
            group, _, names = wanted.partition(":")
            build_group(site, group, [name for name in names.split(",") if name])
    except CannotRunError as error:
        say(f"error: {error}\n" + (f"  hint: {error.hint}\n" if error.hint else ""))
        return 2
    except OSError as error:
        say(f"error: `{error.filename}`: {error.strerror}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
