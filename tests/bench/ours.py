"""The generator's own figures, each over whole `kaitops` processes."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import git

from .fleet import write_fleet
from .measure import Cost, medians, run, say

KAITOPS = Path(sys.executable).parent / "kaitops"


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure."""

    models: int
    many_models: int
    runs: int


FULL = Size(models=200, many_models=5000, runs=5)
QUICK = Size(models=20, many_models=60, runs=1)


@dataclass(frozen=True, slots=True)
class Ours:
    render: Cost
    again: Cost
    check: Cost
    remembered: Cost
    validate: Cost
    plan: Cost
    help: Cost
    version: Cost
    one: Cost
    many: Cost


def measure_ours(folder: Path, size: Size, env: Mapping[str, str]) -> tuple[Path, Ours]:
    """The figures, and the repository that was rendered first.

    A render into an empty tree gets a new folder each time, and nothing is deleted in between: some file systems
    create files slowly for minutes after many were deleted.
    """
    say(f"kaitops: {size.models} models on two clusters, {size.runs} runs of each command after a warm-up")
    new = _new_folders(folder)
    render = medians(lambda: _render(write_fleet(next(new), size.models).root, env), size.runs)
    root = folder / "fleet-0"

    def ran(*words: str | Path) -> Cost:
        return medians(lambda: run((KAITOPS, *words), env), size.runs)

    one = medians(lambda: _render(write_fleet(next(new), 1).root, env), size.runs)
    say(f"kaitops: {size.many_models} models on two clusters, one run")
    many = _render(write_fleet(folder / "many", size.many_models).root, env)
    return root, Ours(
        render=render,
        again=ran("-C", root, "render"),
        check=ran("-C", root, "render", "--check", "--no-cache"),
        remembered=ran("-C", root, "render", "--check"),
        validate=ran("-C", root, "validate", "--skip", "build"),
        plan=_plan(root, size, env),
        help=ran("--help"),
        version=ran("--version"),
        one=one,
        many=many,
    )


def _plan(root: Path, size: Size, env: Mapping[str, str]) -> Cost:
    """The plan of one entry's edit against the commit before it."""
    repo = git.Repo.init(root)
    repo.git.add("-A")
    author = git.Actor("bench", "bench@example.com")
    repo.index.commit("The fleet", author=author, committer=author)
    entry = min((root / "catalog" / "models").glob("*.yaml"))
    entry.write_text(entry.read_text("utf-8").replace("maxConcurrency: 64", "maxConcurrency: 32"), "utf-8")
    return medians(lambda: run((KAITOPS, "-C", root, "plan", "--base", "HEAD"), env), size.runs)


def _new_folders(folder: Path) -> Iterator[Path]:
    return (folder / f"fleet-{number}" for number in count())


def _render(root: Path, env: Mapping[str, str]) -> Cost:
    return run((KAITOPS, "-C", root, "render"), env)
