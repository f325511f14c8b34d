"""`kaitops add ORG/NAME`: a new entry for a model of the hub, on the cheapest VM size that fits."""

import re
from pathlib import Path

import click

from generator.cli.adding import Wanted, add_entry
from generator.cli.fitting import Bench
from generator.cli.options import clusters_option
from generator.cli.session import repository_of
from generator.model.base import COMMIT, HUB_REPOSITORY

FILE = click.Path(path_type=Path)


def _matching(pattern: str, what: str) -> object:
    def check(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(pattern, value):
            raise click.BadParameter(f"`{value}` is no {what}")
        return value

    return check


@click.command("add")
@click.argument("repository", metavar="ORG/NAME", callback=_matching(HUB_REPOSITORY, "repository of the hub"))
@clusters_option("Where it runs; default: every dev cluster.")
@click.option("--owner", metavar="TEAM", help="Who answers for it; may be left out where only one team could.")
@click.option("--name", metavar="ENTRY", help="Name of the entry; default: made from NAME.")
@click.option("--context", type=click.IntRange(min=128), metavar="N", help="Tokens; default: 8,192, or its limit.")
@click.option("--sku", metavar="SKU", help="This VM size in place of the cheapest that fits.")
@click.option(
    "--revision", metavar="COMMIT", callback=_matching(COMMIT, "commit: 40 hexadecimal digits"), help="Pin this one."
)
@click.option("--license", "license_", metavar="NAME", help="In place of the model card's.")
@click.option("--config", metavar="FILE", type=FILE, help="Its `config.json`, in place of asking the hub.")
@click.option("--index", metavar="FILE", type=FILE, help="Its `model.safetensors.index.json`, with `--config`.")
@click.option("--weights-gib", type=float, metavar="X", help="Or the size of its weight files, with `--config`.")
@click.option("--trust-remote-code", is_flag=True, help="Let the repository's own code run, at the pinned commit.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    repository: str,
    clusters: tuple[str, ...],
    owner: str | None,
    name: str | None,
    context: int | None,
    sku: str | None,
    revision: str | None,
    license_: str | None,
    config: Path | None,
    index: Path | None,
    weights_gib: float | None,
    trust_remote_code: bool,
) -> None:
    """Write a new entry for a model of the hub into catalog/models/.

    It gets the cheapest VM size of each cluster that fits, the commit of today and the licence of its card. The hub is
    that of `HF_ENDPOINT`; `HF_TOKEN` opens gated models. Nothing that exists is overwritten.
    """
    if config is None and (index is not None or weights_gib is not None):
        raise click.UsageError("`--index` and `--weights-gib` belong to `--config`", ctx)
    wanted = Wanted(
        repository=repository,
        clusters=clusters,
        owner=owner,
        name=name,
        context=context,
        sku=sku,
        revision=revision,
        license=license_,
        config=config,
        index=index,
        weights_gib=weights_gib,
        trust_remote_code=trust_remote_code,
    )
    click.echo(add_entry(Bench.of(repository_of(ctx)), wanted))
