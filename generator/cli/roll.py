"""`kaitops roll NAME`: a model with `roll: manual` moves on to the revision that waits."""

import click

from generator.cli.completing import MODELS
from generator.cli.rendering import compile_or_refuse, plan_tree, write
from generator.cli.session import repository_of, say
from generator.compile import Request
from generator.finding import CannotRunError
from generator.words import did_you_mean


@click.command("roll")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=MODELS)
@click.pass_context
def command(ctx: click.Context, *, names: tuple[str, ...]) -> None:
    """Move a held model on to its new revision.

    A model with `roll: manual` keeps its committed revision through new releases of kaitops, KAITO and images, and
    through edits of its own, until this renders it anew.
    """
    repository = repository_of(ctx)
    compiled = compile_or_refuse(repository, Request(rolled=frozenset(names)))
    models = compiled.catalog.models
    for name in names:
        if name not in models:
            raise CannotRunError(f"no model `{name}`", did_you_mean(name, models) or "`kaitops list` shows all")
        if models[name].value.spec.roll != "manual":
            raise CannotRunError(f"`{name}` is not held: it has no `roll: manual`", "`kaitops render` moves it")
    changes = plan_tree(repository, compiled)
    write(repository, compiled, changes)
    say(f"rolled {', '.join(names)}: {changes.summary}")
