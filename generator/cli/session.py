"""What the commands share: the repository, findings on the terminal, and the exit code."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from generator.cli import FINDINGS
from generator.finding import Finding, Severity
from generator.report import summary, write_findings
from generator.repository import Repository, find_repository
from generator.words import did_you_mean


def repository_of(ctx: click.Context) -> Repository:
    start: Path = ctx.obj
    return find_repository(start)


def check_clusters(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a cluster that the catalog does not have.

    Raises:
        click.BadParameter: naming it, and the nearest one.
    """
    there = sorted(known)
    for name in names:
        if name not in there:
            hint = did_you_mean(name, there) or "there are: " + ", ".join(f"`{cluster}`" for cluster in there)
            raise click.BadParameter(f"no cluster `{name}`; {hint}", param_hint="--cluster")


def say(text: str) -> None:
    """Words for the person at the terminal; data alone goes to standard output."""
    click.echo(text, err=True)


def refuse(findings: Sequence[Finding], done: str) -> None:
    """Print the errors and end with exit 1; warnings would only hide them."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    click.echo(write_findings(errors, "text"), err=True)
    say(f"{summary(errors)}; {done}")
    raise SystemExit(FINDINGS)


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    order = list(Severity)
    return sorted(findings, key=lambda finding: (order.index(finding.severity), finding))
