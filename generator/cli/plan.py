"""`kaitops plan`: what a change will do to each cluster, before it is merged."""

from typing import TYPE_CHECKING

import click

from generator.cli import FINDINGS
from generator.cli.session import refuse, repository_of, say, worst_first
from generator.compile import has_errors
from generator.report import summary

if TYPE_CHECKING:
    from generator.plan import Plan

OUTPUTS = ("text", "markdown", "json", "sarif")


@click.command("plan")
@click.option("--base", required=True, metavar="REV", help="The commit that runs now, such as `origin/main`.")
@click.option("--head", metavar="REV", help="The commit to compare; left out: the work tree.")
@click.option("--fail-on-danger", is_flag=True, help="Exit 1 when the plan holds a danger.")
@click.option("-o", "--output", type=click.Choice(OUTPUTS), default="text", show_default=True, help="Form of the plan.")
@click.pass_context
def command(ctx: click.Context, *, base: str, head: str | None, fail_on_danger: bool, output: str) -> None:
    """Show what a change will do to each cluster.

    Per object: create, live (edited in place), restart, blue-green, recreate, refused or delete, with the line of the
    catalog that causes it, what people will notice, GPUs, node pools and USD per hour before and after, and what the
    checks find that they did not find before. Dangers come first.

    The head is rendered from its catalog; the base is what was committed.
    """
    from generator.history import open_history  # noqa: PLC0415 - Git is asked by this command alone
    from generator.plan import make_plan  # noqa: PLC0415 - as above
    from generator.plan.make import BrokenHeadError  # noqa: PLC0415 - as above

    repository = repository_of(ctx)
    try:
        with open_history(repository.root) as history:
            plan = make_plan(repository, history, base, head)
    except BrokenHeadError as error:
        refuse(worst_first(error.findings), f"the catalog of {error.label} cannot be rendered, so there is no plan")
    click.echo(_written(plan, output))
    dangers = {0: "no danger", 1: "1 danger"}.get(len(plan.dangers), f"{len(plan.dangers)} dangers")
    say(f"{dangers}; new: {summary(plan.findings)}")
    if has_errors([*plan.dangers, *plan.findings]) or (fail_on_danger and plan.dangers):
        raise SystemExit(FINDINGS)


def _written(plan: "Plan", output: str) -> str:
    from generator.plan.machine import write_json, write_sarif  # noqa: PLC0415 - as above
    from generator.plan.markdown import write_markdown  # noqa: PLC0415 - as above
    from generator.plan.text import write_text  # noqa: PLC0415 - as above

    writers = {"text": write_text, "markdown": write_markdown, "json": write_json, "sarif": write_sarif}
    return writers[output](plan)
