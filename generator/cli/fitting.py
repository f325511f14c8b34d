"""The questions that `kaitops fit` puts: one subject, some VM sizes, a verdict on each."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import click

from generator.assess import Assessor
from generator.cli.fit_answer import Answer, Asked, Described, Row
from generator.cli.session import check_clusters, refuse, worst_first
from generator.compile import load_facts
from generator.figures import load_fit_facts
from generator.finding import CannotRunError, Finding
from generator.fit.config import shape_of
from generator.fit.host import judge_host
from generator.fit.kaito import GIB, estimate_nodes
from generator.fit.shape import Shape, UnknownShapeError
from generator.fit.verdict import Demand, Fit
from generator.load import Catalog, load_catalog
from generator.model.base import HUB_REPOSITORY
from generator.model.cluster import ClusterSpec
from generator.model.model import ModelSpec
from generator.modelfiles import MOST_WEIGHTS, index_gib, read_json
from generator.repository import Repository
from generator.skus import Sku
from generator.words import did_you_mean


@dataclass(frozen=True, slots=True)
class Bench:
    """The facts, and the catalog where one is asked for."""

    repository: Repository
    assessor: Assessor

    @classmethod
    def of(cls, repository: Repository) -> "Bench":
        facts = load_facts(repository)
        fit_facts = load_fit_facts(repository.facts, facts.kaito)
        return cls(repository, Assessor(facts.kaito, facts.skus, fit_facts))

    def catalog(self) -> tuple[Catalog, list[Finding]]:
        return load_catalog(self.repository.root)

    def sizes(self, names: Iterable[str], *, gpu: bool | None = None) -> list[Sku]:
        """The VM sizes of these names, those with or without GPUs where `gpu` says so; all where there are no names."""
        known = self.assessor.skus.sizes
        chosen = [self._size(name) for name in names] or [*known.values()]
        return [sku for sku in chosen if gpu is None or bool(sku.gpus) == gpu]

    def _size(self, name: str) -> Sku:
        skus = self.assessor.skus
        if name in skus.retired:
            retired = skus.retired[name]
            raise click.BadParameter(f"`{name}` is retired: {retired.why}; use `{retired.replacement}`")
        if name not in skus.sizes:
            hint = did_you_mean(name, skus.sizes) or "add it to `catalog/facts/skus.yaml` with its source"
            raise click.BadParameter(f"`{name}` is no VM size that we know; {hint}", param_hint="--sku")
        return skus.sizes[name]


def ask_entry(bench: Bench, name: str, asked: Asked) -> list[Answer]:
    """A model or a tuning of the catalog, on each of its clusters.

    Raises:
        CannotRunError: there is none of this name.
    """
    catalog, findings = bench.catalog()
    own = {f"catalog/models/{name}.yaml", f"catalog/tuning/{name}.yaml"}
    mistakes = [finding for finding in findings if finding.where.file in own]
    if mistakes:
        refuse(worst_first(mistakes), "nobody can tell whether it fits")
    entry = catalog.models.get(name) or catalog.tunings.get(name)
    if entry is None:
        known = {*catalog.models, *catalog.tunings}
        hint = did_you_mean(name, known) or "`kaitops list` shows all; `--preset` asks about a preset of KAITO"
        raise CannotRunError(f"no model and no tuning `{name}` in the catalog", hint)
    clusters = entry.value.spec.clusters
    check_clusters(filter(None, (asked.cluster,)), clusters)
    names = [one for one in sorted(clusters) if asked.cluster in {None, one}]
    there = [one for one in names if one in catalog.clusters]
    if not there:
        raise CannotRunError(f"the clusters of `{name}` cannot be read", "`kaitops validate` says why")
    if name in catalog.tunings:
        return [_ask_tuning(bench, catalog, name, cluster, asked) for cluster in there]
    return [_ask_model(bench, catalog, name, cluster, asked) for cluster in there]


def _ask_model(bench: Bench, catalog: Catalog, name: str, cluster: str, asked: Asked) -> Answer:
    spec = _with(catalog.models[name].value.spec, cluster, asked)
    place = catalog.clusters[cluster].value.spec
    override = spec.clusters[cluster]
    gpu = spec.serving.device == "gpu"
    floor = bench.assessor.kaito.estimator.default_context

    def verdict(sku: Sku) -> Fit:
        return bench.assessor.model(spec, place, cluster, sku, sequences=asked.concurrency or 1)

    return Answer(
        subject=name,
        cluster=cluster,
        region=place.azure.region,
        context=override.context or spec.serving.context or floor,
        concurrency=asked.concurrency or 1,
        rows=_rows(bench, bench.sizes(asked.skus or place.skus, gpu=gpu), verdict, _kaito_of(bench, spec)),
        own=override.sku or "",
        single=bool(asked.skus),
    )


def _with(spec: ModelSpec, cluster: str, asked: Asked) -> ModelSpec:
    """The entry's spec with what the options ask in its place."""
    override = spec.clusters[cluster]
    if asked.context:
        override = override.model_copy(update={"context": asked.context})
    serving = spec.serving
    if asked.quantization:
        serving = serving.model_copy(update={"quantization": asked.quantization})
    return spec.model_copy(update={"clusters": {**spec.clusters, cluster: override}, "serving": serving})


def _ask_tuning(bench: Bench, catalog: Catalog, name: str, cluster: str, asked: Asked) -> Answer:
    spec = catalog.tunings[name].value.spec
    place = catalog.clusters[cluster].value.spec
    rows = _rows(
        bench, bench.sizes(asked.skus or place.skus, gpu=True), lambda sku: bench.assessor.tuning(spec, place, sku)
    )
    return Answer(
        subject=f"{name} ({spec.method} of {spec.preset})",
        cluster=cluster,
        region=place.azure.region,
        context=0,
        concurrency=1,
        rows=rows,
        own=spec.clusters[cluster].sku,
        single=bool(asked.skus),
        training=True,
    )


def ask_described(bench: Bench, described: Described, asked: Asked) -> Answer:
    """A model that is not in the catalog, served by KAITO as a preset (on a CPU size by our own server)."""
    cluster = _cluster(bench, asked.cluster)
    sizes = bench.sizes(asked.skus or (cluster.skus if cluster else ()), gpu=None if asked.skus else True)
    region = asked.region or (cluster.azure.region if cluster else "") or _only_region(sizes)
    context = asked.context or bench.assessor.kaito.estimator.default_context
    demand = Demand(context=context, sequences=asked.concurrency or 1, quantization=asked.quantization)
    kaito: Callable[[Sku], int | None] = lambda _: None  # noqa: E731 - a default in the form of the other
    why, shape = "", None
    try:
        shape = _shape(bench, described)
    except UnknownShapeError as error:
        why, kaito = str(error), _kaito_of_preset(bench, described.preset, context)

    def verdict(sku: Sku) -> Fit:
        if shape is None:
            raise UnknownShapeError(why)
        return _placed(bench, shape, sku, demand, region)

    return Answer(
        subject=described.preset or str(described.config),
        cluster=asked.cluster or "",
        region=region,
        context=context,
        concurrency=asked.concurrency or 1,
        rows=_rows(bench, sizes, verdict, kaito),
        single=bool(asked.skus),
    )


def _placed(bench: Bench, shape: Shape, sku: Sku, demand: Demand, region: str) -> Fit:
    if sku.gpus:
        return bench.assessor.placed(shape, sku, demand, region)
    own = replace(demand, server="transformers", dtype_bytes=4, kv_bytes=4.0, quantization="")
    return judge_host(shape, sku, own, bench.assessor.fit.figures.engine, pod_gib=None, region=region)


def _cluster(bench: Bench, name: str | None) -> ClusterSpec | None:
    if name is None:
        return None
    catalog, _ = bench.catalog()
    check_clusters((name,), catalog.clusters)
    return catalog.clusters[name].value.spec


def _only_region(sizes: list[Sku]) -> str:
    """The region that the facts have most prices of, where nobody names one."""
    regions = [region for sku in sizes for region in sku.usd_per_hour]
    return max(sorted(set(regions)), key=regions.count, default="")


def _shape(bench: Bench, described: Described) -> Shape:
    if described.preset is not None:
        replacement = bench.assessor.kaito.replacement(described.preset)
        if replacement:
            raise CannotRunError(f"KAITO has no preset `{described.preset}` any more", f"use `{replacement}`")
        _check_preset(bench, described.preset)
        return bench.assessor.fit.shapes.of_preset(described.preset)
    config = read_json(described.config or Path())
    return shape_of(config, weights_of(described, config))


def _check_preset(bench: Bench, name: str) -> None:
    """A short name is one of KAITO's own, or a mistake; any `organisation/name` may be a model of the hub."""
    kaito = bench.assessor.kaito
    if kaito.preset(name) is None and not re.fullmatch(HUB_REPOSITORY, name):
        hint = did_you_mean(name, [*kaito.presets, *kaito.aliases]) or "use a hub id, `organisation/name`"
        raise CannotRunError(f"`{name}` is no preset of KAITO", hint)


def weights_of(described: Described, config: dict[str, object]) -> float:
    """GiB of the weight files, as given or as the index sums them up."""
    if (described.weights_gib is None) == (described.index is None):
        raise click.UsageError("`--config` needs one of `--weights-gib X` and `--index FILE`")
    if described.index:
        return index_gib(read_json(described.index), config, f"`{described.index}`")
    weights = described.weights_gib or 0.0
    if not 0 < weights * GIB < MOST_WEIGHTS:
        raise click.BadParameter(f"must be more than 0 and less than a petabyte, but is {weights:g}")
    return weights


def _rows(
    bench: Bench,
    sizes: list[Sku],
    verdict: Callable[[Sku], Fit],
    kaito: Callable[[Sku], int | None] = lambda _: None,
) -> tuple[Row, ...]:
    if not sizes:
        raise CannotRunError("none of the VM sizes is one that this model runs on", "name one with `--sku`")
    rows = []
    for sku in sizes:
        try:
            fit = verdict(sku)
            rows.append(Row(sku, fit, kaito_nodes=fit.kaito_nodes))
        except UnknownShapeError as error:
            rows.append(Row(sku, why=str(error), kaito_nodes=kaito(sku)))
    return tuple(sorted(rows, key=lambda row: [*bench.assessor.skus.sizes].index(row.sku.name)))


def _kaito_of(bench: Bench, spec: ModelSpec) -> Callable[[Sku], int | None]:
    preset = spec.source.preset
    context = spec.serving.context or bench.assessor.kaito.estimator.default_context
    return _kaito_of_preset(bench, preset.name if preset else None, context)


def _kaito_of_preset(bench: Bench, name: str | None, context: int) -> Callable[[Sku], int | None]:
    """KAITO's number for a preset whose layers nobody has read: its formula needs two figures alone."""
    known = bench.assessor.kaito.preset(name) if name else None

    def nodes(sku: Sku) -> int | None:
        if known is None or not sku.gpus:
            return None
        total = sku.gpus * sku.gpu_memory_gib
        estimator = bench.assessor.kaito.estimator
        return estimate_nodes(known.weights_gib, known.bytes_per_token, context, sku.gpus, total, estimator=estimator)

    return nodes
