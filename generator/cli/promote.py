"""`kaitops promote NAME`: a canary becomes what serves, or gets another share of the requests."""

import click

from generator.cli.completing import MODELS
from generator.cli.options import cluster_option
from generator.cli.rendering import compile_or_refuse, plan_tree, write
from generator.cli.session import repository_of, say
from generator.compile import Compiled
from generator.finding import CannotRunError
from generator.load import Entry
from generator.model import Model
from generator.promotion import promote, weigh
from generator.repository import Repository
from generator.words import did_you_mean


@click.command("promote")
@click.argument("name", metavar="NAME", shell_complete=MODELS)
@cluster_option("Where; needed where several clusters have a canary of it.", "CLUSTER")
@click.option("--weight", type=click.IntRange(0, 100), help="Only give the canary this percentage of the requests.")
@click.pass_context
def command(ctx: click.Context, *, name: str, cluster: str | None, weight: int | None) -> None:
    """Let a model's canary serve alone, or with another share.

    Edits the entry, keeping its comments, and renders. The canary's object keeps its name, so nothing restarts: it gets
    every request, and the old revision goes.
    """
    repository = repository_of(ctx)
    compiled = compile_or_refuse(repository)
    entry = _entry(compiled, name)
    where = _cluster(entry, cluster)
    text = promote(entry, where) if weight is None else weigh(entry, where, weight)
    changes = _edit_and_render(repository, entry, text)
    what = "serves alone" if weight is None else f"gets {weight} % of the requests"
    say(f"the canary of {name} on {where} {what}: {changes}")


def _entry(compiled: Compiled, name: str) -> Entry[Model]:
    models = compiled.catalog.models
    if name not in models:
        raise CannotRunError(f"no model `{name}`", did_you_mean(name, models) or "`kaitops list` shows all")
    return models[name]


def _cluster(entry: Entry[Model], asked: str | None) -> str:
    having = [name for name, override in entry.value.spec.clusters.items() if override.canary]
    if asked in having:
        return asked
    if not having or asked:
        message = f"`{entry.name}` has no canary" + (f" on `{asked}`" if asked else "")
        hint = f"it has one on {_list(having)}" if having else "add `canary` below one of its `clusters`"
        raise CannotRunError(message, hint)
    if len(having) > 1:
        raise CannotRunError(f"`{entry.name}` has a canary on {_list(having)}", "name one with `--cluster`")
    return having[0]


def _list(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _edit_and_render(repository: Repository, entry: Entry[Model], text: str) -> str:
    """Both or neither: an entry whose rendering is refused is put back as it was."""
    file = repository.root / entry.file.name
    before = file.read_bytes()
    file.write_text(text, "utf-8", newline="")
    try:
        compiled = compile_or_refuse(repository)
        changes = plan_tree(repository, compiled)
        write(repository, compiled, changes)
    except BaseException:
        file.write_bytes(before)
        raise
    return changes.summary
