"""`kaitops show NAME`: one entry as it is resolved on each cluster, and the files that it makes."""

import json
from dataclasses import asdict

import click

from generator import yamlout
from generator.cli.completing import EVERY
from generator.cli.list import line_of
from generator.cli.rendering import compile_or_refuse
from generator.cli.session import repository_of
from generator.compile import Compiled
from generator.finding import CannotRunError
from generator.placement import Placement
from generator.words import did_you_mean


@click.command("show")
@click.argument("name", shell_complete=EVERY)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def command(ctx: click.Context, *, name: str, output: str) -> None:
    """Show one entry, resolved, and the files it makes."""
    compiled = compile_or_refuse(repository_of(ctx))
    shown = {_title(one): describe(compiled, one) for one in placements_of(compiled, name)}
    click.echo(json.dumps(shown, indent=2) if output == "json" else yamlout.dump(shown), nl=output == "json")


def _title(placement: Placement) -> str:
    return f"{placement.cluster} (canary)" if placement.canary else placement.cluster


def placements_of(compiled: Compiled, name: str) -> list[Placement]:
    """The entry on each of its clusters.

    Raises:
        CannotRunError: there is no such entry, or it runs nowhere.
    """
    resolution = compiled.rendering.resolution if compiled.rendering else compiled.resolution
    everything: list[Placement] = [*resolution.models, *resolution.tunings, *resolution.rag_engines]
    found = [placement for placement in everything if placement.name == name]
    if found:
        return found
    catalog = compiled.catalog
    names = {*catalog.models, *catalog.tunings, *catalog.rag_engines}
    if name in names:
        raise CannotRunError(f"`{name}` is retired: it runs nowhere")
    raise CannotRunError(f"no entry `{name}`", did_you_mean(name, names) or "`kaitops list` shows all")


def describe(compiled: Compiled, placement: Placement) -> dict[str, object]:
    """What a person wants to know of a placement; empty parts are left out."""
    documents = compiled.rendering.documents if compiled.rendering else []
    folder = f"clusters/{placement.cluster}/{placement.unit}/"
    line = line_of(compiled, placement)
    resolved = {key: value for key, value in asdict(placement).items() if value not in ("", (), {}, None, [])}
    resolved.pop("config", None)
    return {
        "object": f"{placement.namespace}/{placement.object_name}",
        "endpoint": line.endpoint,
        "gpus": line.gpus,
        "config": placement.config.text if placement.config else "",
        "resolved": json.loads(json.dumps(resolved)),
        "files": [document.path for document in documents if document.path.startswith(folder)],
    }
