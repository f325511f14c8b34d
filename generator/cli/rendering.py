"""What the commands that render share: compile the catalog, compare it with the disk, write it."""

import time

import click

from generator import tree
from generator.cli import FINDINGS
from generator.cli.session import check_clusters, refuse, say, worst_first
from generator.compile import Compiled, Request, compile_catalog
from generator.finding import Severity
from generator.immutable import refused_edits
from generator.removal import removed_while_running
from generator.report import summary, write_findings
from generator.repository import Repository


def run(
    repository: Repository, clusters: tuple[str, ...], *, check: bool, diff: bool, force: bool, allow_prune: bool
) -> None:
    """Render; ends with exit 1 when something forbids it, or when `check` finds a difference."""
    started = time.monotonic()
    compiled = compile_or_refuse(repository)
    changes = plan_tree(repository, compiled, clusters)
    if diff:
        for line in tree.diff(changes):
            click.echo(line, nl=not line.endswith("\n"))
    if check:
        _check(changes)
    if not diff and not check:
        write(repository, compiled, changes, force=force, allow_prune=allow_prune)
        _tell(compiled, changes, time.monotonic() - started)


def compile_or_refuse(repository: Repository, request: Request | None = None) -> Compiled:
    """The compiled catalog; ends with exit 1 when an entry has a mistake."""
    compiled = compile_catalog(repository, request)
    if compiled.rendering is None:
        refuse(worst_first(compiled.findings), "nothing was written")
    return compiled


def plan_tree(repository: Repository, compiled: Compiled, only: tuple[str, ...] = ()) -> tree.Changes:
    """What the rendering changes on disk, for all clusters or some."""
    known = sorted(compiled.catalog.clusters)
    check_clusters(only, known)
    rendered = compiled.rendering.tree if compiled.rendering else {}
    wanted = sorted(only) or known
    inside = tuple(f"clusters/{name}/" for name in wanted)
    changes = tree.plan(
        repository.root, {path: text for path, text in rendered.items() if path.startswith(inside)}, wanted
    )
    return changes.only(wanted) if only else changes


def write(
    repository: Repository, compiled: Compiled, changes: tree.Changes, *, force: bool = False, allow_prune: bool = False
) -> None:
    """Write the changes; ends with exit 1 when a guard objects."""
    removed = [] if allow_prune else list(removed_while_running(compiled.catalog, changes))
    forbidden = [*removed, *refused_edits(changes)]
    if forbidden:
        refuse(forbidden, "nothing was written")
    try:
        tree.write(repository.root, changes, force=force, allow_prune=allow_prune)
    except tree.RefusedError as error:
        refuse(error.findings, "nothing was written")


def _check(changes: tree.Changes) -> None:
    findings = tree.findings(changes)
    if findings:
        click.echo(write_findings(findings, "text"))
        say(f"{summary(findings)}; the committed tree is not what the catalog renders")
        raise SystemExit(FINDINGS)


def _tell(compiled: Compiled, changes: tree.Changes, elapsed: float) -> None:
    notes = [finding for finding in compiled.findings if finding.severity is Severity.NOTE]
    if notes:
        click.echo(write_findings(notes, "text"), err=True)
    files = compiled.rendering.tree if compiled.rendering else {}
    clusters = len(compiled.catalog.clusters)
    say(f"rendered {len(files)} files for {clusters} clusters in {elapsed:.2f} s: {changes.summary}")
