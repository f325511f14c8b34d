"""`kaitops list`: the fleet as a table."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import click

from generator.cli.options import cluster_option
from generator.cli.rendering import compile_or_refuse
from generator.cli.session import check_clusters, repository_of
from generator.compile import Compiled
from generator.endpoint import endpoint_of
from generator.placement import ModelPlacement, Placement, RagPlacement
from generator.resolve import Resolution


@dataclass(frozen=True, slots=True)
class Line:
    """One entry on one cluster."""

    name: str
    cluster: str
    kind: str
    source: str
    sku: str
    gpus: int
    replicas: str
    endpoint: str


@click.command("list")
@cluster_option("Only this cluster.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def command(ctx: click.Context, *, cluster: str | None, output: str) -> None:
    """Show the fleet as a table: model, cluster, source, VM size, GPUs, endpoint."""
    compiled = compile_or_refuse(repository_of(ctx))
    check_clusters(filter(None, (cluster,)), compiled.catalog.clusters)
    lines = [line for line in fleet(compiled) if cluster in {None, line.cluster}]
    if output == "json":
        click.echo(json.dumps([asdict(line) for line in lines], indent=2))
    else:
        click.echo(table(lines))


def fleet(compiled: Compiled) -> list[Line]:
    """All placements by name and cluster."""
    resolution = compiled.rendering.resolution if compiled.rendering else Resolution()
    placements: list[Placement] = [*resolution.models, *resolution.tunings, *resolution.rag_engines]
    return [line_of(compiled, placement) for placement in sorted(placements, key=lambda one: (one.name, one.cluster))]


def line_of(compiled: Compiled, placement: Placement) -> Line:
    """One placement as a line of the table."""
    sku = compiled.facts.skus.sizes.get(placement.instance_type)
    gpus = sku.gpus if sku else 0
    if isinstance(placement, ModelPlacement):
        entry = compiled.catalog.models[placement.name].value.spec
        source, kind = f"{entry.source.kind}: {_source(placement, entry.source)}", placement.kind
        gpus, replicas = placement.gpus, str(placement.replicas or "auto")
        endpoint = endpoint_of(compiled.catalog.clusters[placement.cluster].value.spec, placement)
    elif isinstance(placement, RagPlacement):
        source, kind, replicas, endpoint = "rag", "RAGEngine", "1", f"http://{placement.name}.{placement.namespace}"
    else:
        source, kind, replicas, endpoint = "tuning", "Workspace", "1", "-"
    if not placement.running:
        gpus, replicas, endpoint = 0, "0", "suspended"
    if placement.canary:
        endpoint = f"{endpoint} (canary)"
    return Line(
        placement.name, placement.cluster, kind, source, placement.instance_type or "-", gpus, replicas, endpoint
    )


def _source(placement: ModelPlacement, source: object) -> str:
    if placement.preset:
        return placement.preset
    hub = getattr(source, "hugging_face", None)
    return hub.repo if hub else placement.pod.args[-1] if placement.pod and placement.pod.args else "-"


def table(lines: Sequence[Line]) -> str:
    """Columns as wide as their widest cell, two spaces apart."""
    head = ("MODEL", "CLUSTER", "KIND", "SOURCE", "SKU", "GPUS", "REPLICAS", "ENDPOINT")
    rows = [head, *((*map(str, asdict(line).values()),) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
