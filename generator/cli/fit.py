"""`kaitops fit`: on which VM sizes a model fits, with what headroom, how long a context, and at what price."""

from pathlib import Path

import click

from generator.cli import CANNOT_RUN, FINDINGS
from generator.cli.completing import entries
from generator.cli.fit_answer import Asked, Described
from generator.cli.fit_report import as_json, as_text
from generator.cli.fitting import Bench, ask_described, ask_entry
from generator.cli.options import cluster_option
from generator.cli.session import repository_of

FILE = click.Path(path_type=Path)


@click.command("fit")
@click.argument("model", required=False, shell_complete=entries("models", "tuning"))
@click.option("--preset", metavar="NAME", help="A preset of KAITO, in place of a model of the catalog.")
@click.option("--config", metavar="FILE", type=FILE, help="Any model, by its `config.json`.")
@click.option("--weights-gib", type=float, metavar="X", help="Size of the weight files of `--config`.")
@click.option("--index", metavar="FILE", type=FILE, help="Or their `model.safetensors.index.json`.")
@click.option("--sku", "skus", multiple=True, metavar="SKU", help="Only this VM size; may be repeated.")
@click.option("--context", type=click.IntRange(min=1), metavar="N", help="Tokens of prompt and answer together.")
@click.option("--concurrency", type=click.IntRange(1, 100_000), metavar="N", help="Sequences of that length at once.")
@click.option("--quantization", type=click.Choice(["4bit", "8bit"]), help="bitsandbytes while loading.")
@cluster_option("Its VM sizes and region; of a model, only this cluster.")
@click.option("--region", metavar="NAME", help="Azure region of the prices.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    model: str | None,
    preset: str | None,
    config: Path | None,
    weights_gib: float | None,
    index: Path | None,
    skus: tuple[str, ...],
    context: int | None,
    concurrency: int | None,
    quantization: str | None,
    cluster: str | None,
    region: str | None,
    output: str,
) -> None:
    """Show on which VM sizes a model fits, and at what price.

    MODEL is a model or a tuning of the catalog; `--preset` and `--config` ask about any other. Headroom is what is left
    on one GPU, or in the pod on a CPU size.

    Exit codes: 0 it fits (a model of the catalog: on the sizes it asks for), 1 it does not, 2 nobody can tell.
    """
    if sum(one is not None for one in (model, preset, config)) != 1:
        raise click.UsageError("name one model: MODEL of the catalog, `--preset NAME`, or `--config FILE`", ctx)
    if config is None and (weights_gib is not None or index is not None):
        raise click.UsageError("`--weights-gib` and `--index` belong to `--config`", ctx)
    if model and region:
        raise click.UsageError("a model's clusters have a region; `--region` belongs to `--preset` and `--config`", ctx)
    bench = Bench.of(repository_of(ctx))
    asked = Asked(skus, context, concurrency, quantization or "", cluster, region)
    if model:
        answers = ask_entry(bench, model, asked)
    else:
        answers = [ask_described(bench, Described(preset, config, weights_gib, index), asked)]
    priced = bench.assessor.skus.priced
    click.echo(as_json(answers, priced) if output == "json" else as_text(answers, priced))
    if any(answer.unknown for answer in answers):
        raise SystemExit(CANNOT_RUN)
    if not all(answer.fits for answer in answers):
        raise SystemExit(FINDINGS)
