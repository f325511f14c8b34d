"""`kaitops validate`: the catalog, what is rendered from it, and the committed tree; on request a live cluster."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from generator.checks import CHECKS, ON_REQUEST, Outcome, run_checks
from generator.cli import FINDINGS
from generator.cli.completing import among
from generator.cli.live import target as live_target
from generator.cli.options import Decorated, cluster_option
from generator.cli.session import repository_of, say, worst_first
from generator.compile import compile_catalog, has_errors
from generator.finding import Severity
from generator.report import FORMATS, summary, write_findings
from generator.words import did_you_mean

EVERY = (*CHECKS, *ON_REQUEST)


def _known(_ctx: click.Context, _parameter: click.Parameter, names: tuple[str, ...]) -> frozenset[str]:
    for name in names:
        if name not in EVERY:
            raise click.BadParameter(
                f"no check `{name}`; {did_you_mean(name, EVERY) or 'there are: ' + ', '.join(EVERY)}"
            )
    return frozenset(names)


def _checks_option(flag: str, text: str) -> Callable[[Decorated], Decorated]:
    return click.option(flag, multiple=True, callback=_known, shell_complete=among(EVERY), metavar="CHECK", help=text)


@click.command("validate")
@_checks_option("--select", "Run only this check; may be repeated.")
@_checks_option("--skip", "Leave this check out; may be repeated.")
@click.option("--context", metavar="CTX", help="Ask the cluster of this kubeconfig context by server-side dry run.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), metavar="FILE", help="Where CTX is; else as kubectl.")
@cluster_option("Which cluster of the catalog CTX is, where its name does not say it.")
@click.option("--strict", is_flag=True, help="Warnings and skipped checks count as findings.")
@click.option("--notes", is_flag=True, help="Show notes as well, which ask for nothing; other forms always hold them.")
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), default="text", show_default=True, help="Form of the report."
)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    select: frozenset[str],
    skip: frozenset[str],
    context: str | None,
    kubeconfig: Path | None,
    cluster: str | None,
    strict: bool,
    notes: bool,
    output: str,
) -> None:
    """Check the catalog and what is rendered from it.

    Checks: catalog (shape, references, names, limits), drift (committed = rendered), fit (every model fits its GPUs or
    memory), budget (quota, node pools, money), schema (every object against its kind), webhook (KAITO's admission
    rules), policy (the policies of policies/), metrics (every alert and panel reads series that exist), build
    (kustomize builds every unit); with `--context` also server (the cluster itself takes every object, and knows our
    kinds as we do). No check changes a cluster.
    """
    if context is None and (kubeconfig or cluster or "server" in select):
        raise click.UsageError("a cluster is asked only where `--context` names one")
    repository = repository_of(ctx)
    started = time.monotonic()
    wanted = ((select or frozenset(CHECKS)) | ({"server"} if context else set())) - skip
    compiled = compile_catalog(repository)
    target = live_target(compiled.catalog, context, kubeconfig, cluster) if context and compiled.rendering else None
    outcome = run_checks(repository, compiled, wanted, say if sys.stderr.isatty() else None, target)
    findings = worst_first(outcome.findings)
    pressing = [finding for finding in findings if finding.severity is not Severity.NOTE]
    shown = pressing if output == "text" and not notes else findings
    report = write_findings(shown, output)
    if report:
        click.echo(report)
    _tell(outcome, time.monotonic() - started, hidden=len(shown) < len(findings))
    if has_errors(findings) or (strict and (pressing or outcome.skipped)):
        raise SystemExit(FINDINGS)


def _tell(outcome: Outcome, elapsed: float, *, hidden: bool) -> None:
    for name in outcome.skipped:
        say(f"skipped: {name}, {outcome.skipped[name]}")
    more = " (`--notes` shows them)" if hidden else ""
    ran = ", ".join(outcome.ran) or "nothing"
    say(f"checked {outcome.objects} objects in {elapsed:.2f} s ({ran}): {summary(outcome.findings)}" + more)
