"""The two sides of a plan: each a catalog that is loaded and resolved, in a folder that other code can read.

The base is never rendered again: what runs is what was committed then. Its catalog is resolved for the figures and
the causes alone, so a base that today's release cannot read costs those, and not the plan.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from generator import tree
from generator.compile import Compiled, compile_catalog, has_errors, load_facts
from generator.figures import load_fit_facts
from generator.finding import CannotRunError, Severity
from generator.history import History, Snapshot
from generator.load import load_catalog
from generator.monitoring.library import load_library
from generator.plan.compare import changed_files
from generator.repository import Repository
from generator.resolve import resolve
from generator.resolve.context import Facts

READ = ("catalog", "clusters/base", "clusters/components", "policies")
WORK_TREE = "the work tree"


@dataclass(frozen=True, slots=True)
class Before:
    snapshot: Snapshot
    repository: Repository
    compiled: Compiled | None
    """None where the catalog does not load."""
    why: str = ""
    """Why it does not."""


@dataclass(frozen=True, slots=True)
class After:
    label: str
    revision: str
    """What Git calls it; the work tree stands on `HEAD`."""
    repository: Repository
    compiled: Compiled
    stale: int = 0
    """Committed files that are not as the head's catalog renders them: what Argo CD would sync is not this plan."""


@contextmanager
def both_sides(repository: Repository, history: History, base: str, head: str | None) -> Iterator[tuple[Before, After]]:
    """Both sides, those from history in folders of their own, which go when the plan is made.

    Raises:
        CannotRunError: a revision is not there, or the head has no catalog.
    """
    snapshot = history.snapshot(base)
    new = history.snapshot(head) if head else None
    with TemporaryDirectory(prefix="kaitops-plan-") as folder:
        after = _after(repository, new, Path(folder) / "head")
        yield _before(snapshot, Path(folder) / "base", after), after


def _before(snapshot: Snapshot, folder: Path, head: After) -> Before:
    repository = _exported(snapshot, folder)
    facts = _facts(repository, head.repository)
    try:
        catalog, findings = load_catalog(repository.root, head.compiled.catalog)
        library, more = load_library(repository.root, facts.metrics)
    except CannotRunError:
        return Before(snapshot, repository, None, "it has no catalog")
    resolution = resolve(catalog, facts)
    found = sorted({*findings, *more, *resolution.findings})
    if has_errors(found):
        first = next(finding for finding in found if finding.severity is Severity.ERROR)
        return Before(snapshot, repository, None, f"{first.where}: {first.message}")
    return Before(snapshot, repository, Compiled(catalog, facts, resolution, found, library=library))


def _facts(repository: Repository, head: Repository) -> Facts:
    """The base's facts; what it lacks is the head's, and all of them are where this release cannot read them."""
    repository.facts.mkdir(parents=True, exist_ok=True)
    for file in head.facts.glob("*.yaml"):
        if not (repository.facts / file.name).exists():
            shutil.copy(file, repository.facts)
    try:
        facts = load_facts(repository)
        load_fit_facts(repository.facts, facts.kaito)
    except (CannotRunError, LookupError, TypeError, ValueError, AttributeError):
        shutil.copytree(head.facts, repository.facts, dirs_exist_ok=True)
        facts = load_facts(repository)
    return facts


def _after(repository: Repository, snapshot: Snapshot | None, folder: Path) -> After:
    if snapshot is None:
        compiled = compile_catalog(repository)
        return After(WORK_TREE, "HEAD", repository, compiled, _stale(repository, compiled))
    exported = _exported(snapshot, folder)
    if not exported.facts.is_dir():
        raise CannotRunError(f"no catalog in `{snapshot.name}`", "name a commit of this repository with `catalog/`")
    held = [path for path in snapshot.below("clusters") if path.endswith(("workspace.yaml", "inferenceset.yaml"))]
    snapshot.export(exported.root, held)
    compiled = compile_catalog(exported)
    stale = len(changed_files(snapshot, compiled.rendering.tree)) if compiled.rendering else 0
    return After(snapshot.name, snapshot.label, exported, compiled, stale)


def _stale(repository: Repository, compiled: Compiled) -> int:
    if compiled.rendering is None:
        return 0
    return len([*tree.plan(repository.root, compiled.rendering.tree, sorted(compiled.catalog.clusters)).files])


def _exported(snapshot: Snapshot, folder: Path) -> Repository:
    folder.mkdir()
    snapshot.export(folder, snapshot.below(*READ))
    return Repository(folder)
