"""How `kaitops add` makes an entry: ask the hub or the files, choose sizes, try the entry in the catalog, write it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator.assess import is_little
from generator.cli.fit_answer import Described
from generator.cli.fitting import Bench, weights_of
from generator.cli.session import check_clusters, refuse, say
from generator.compile import load_facts
from generator.finding import CannotRunError, Finding, Severity
from generator.fit.config import shape_of
from generator.fit.kaito import GIB
from generator.fit.shape import Shape, UnknownShapeError
from generator.fit.verdict import Demand, Fit
from generator.hub import INDEX, Hub
from generator.load import Catalog, Entry, load_catalog, parse_entry
from generator.model import Cluster, Model
from generator.modelfiles import MOST_BYTES, index_gib, parse_json, read_json
from generator.newentry import NewEntry, Placed, entry_name, write_entry
from generator.resolve import resolve
from generator.resolve.naming import longest_name
from generator.skus import Sku
from generator.source import read_source

CONTEXT = 8192
"""Tokens where nobody asks for more: enough for a chat, and cheap to raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The options of the command."""

    repository: str
    clusters: tuple[str, ...] = ()
    owner: str | None = None
    name: str | None = None
    context: int | None = None
    sku: str | None = None
    revision: str | None = None
    license: str | None = None
    config: Path | None = None
    index: Path | None = None
    weights_gib: float | None = None
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of the model."""

    commit: str
    license: str
    needs_token: bool
    config: Mapping[str, Any]
    weights_gib: float


def add_entry(bench: Bench, wanted: Wanted) -> str:
    """Write the entry; the path of its file, relative to the repository.

    Raises:
        CannotRunError: the name is taken, the hub does not answer, or nobody can tell what the model needs.
    """
    catalog, _ = load_catalog(bench.repository.root)
    clusters = _clusters(catalog, wanted)
    name = _free_name(bench, catalog, wanted)
    owner, namespace = _owner(clusters, wanted.owner)
    found = _from_files(bench, wanted) if wanted.config else _from_hub(wanted)
    shape = _shape(bench, wanted, found)
    context = wanted.context or min(CONTEXT, shape.token_limit if shape else CONTEXT)
    placed = {}
    for cluster in clusters:
        sku, fit = _size(bench, wanted, cluster, shape, context)
        placed[cluster.name] = Placed(sku=sku, fit=fit, host=_host(cluster, name), asked=wanted.sku is not None)
    entry = NewEntry(
        name=name,
        owner=owner,
        namespace="" if namespace == owner else namespace,
        repository=wanted.repository,
        commit=found.commit,
        license=wanted.license or found.license,
        secret=f"{name}-token" if found.needs_token else "",
        vault_key=f"hub-token-{name}" if _have_vault(clusters) else "",
        context=context,
        shape=None if _is_known(bench, wanted.repository) else shape,
        remote_code=wanted.trust_remote_code,
        clusters=placed,
        priced=bench.assessor.skus.priced.isoformat(),
    )
    file = f"catalog/models/{name}.yaml"
    text = write_entry(entry)
    _try(bench, catalog, file, text)
    _write_new(bench.repository.root / file, text)
    _tell(placed)
    return file


def _clusters(catalog: Catalog, wanted: Wanted) -> list[Entry[Cluster]]:
    check_clusters(wanted.clusters, catalog.clusters)
    chosen = [catalog.clusters[name] for name in sorted(set(wanted.clusters))]
    chosen = chosen or [one for _, one in sorted(catalog.clusters.items()) if one.value.spec.environment == "dev"]
    if not chosen:
        raise CannotRunError("the catalog has no dev cluster", "name one with `--cluster`")
    return chosen


def _free_name(bench: Bench, catalog: Catalog, wanted: Wanted) -> str:
    name = wanted.name or entry_name(wanted.repository)[: longest_name("InferenceSet")].rstrip("-")
    taken = {*catalog.models, *catalog.tunings, *catalog.rag_engines} | {stem for _, stem in catalog.broken}
    if name in taken or (bench.repository.root / "catalog" / "models" / f"{name}.yaml").exists():
        raise CannotRunError(f"`{name}` is in the catalog already", "choose another name with `--name`")
    return name


def _owner(clusters: list[Entry[Cluster]], asked: str | None) -> tuple[str, str]:
    """The team, and a namespace of its own on all clusters; the one that has its name where there is one."""
    homes = [
        {(owner, name) for name, place in one.value.spec.namespaces.items() for owner in place.owners}
        for one in clusters
    ]
    shared = sorted(set.intersection(*homes))
    owners = sorted({owner for owner, _ in shared})
    names = ", ".join(f"`{cluster.name}`" for cluster in clusters)
    listed = ", ".join(f"`{owner}`" for owner in owners) or "none"
    if asked is None and len(owners) != 1:
        raise CannotRunError("who answers for the model is not clear", f"name a team with `--owner`: {listed}")
    owner = asked or owners[0]
    spaces = [namespace for one, namespace in shared if one == owner]
    if not spaces:
        raise CannotRunError(f"`{owner}` owns no namespace that all of {names} have", f"teams that do: {listed}")
    return owner, owner if owner in spaces else spaces[0]


def _from_files(bench: Bench, wanted: Wanted) -> Found:
    config = read_json(wanted.config or Path())
    weights = weights_of(Described(None, wanted.config, wanted.weights_gib, wanted.index), config)
    preset = bench.assessor.kaito.preset(wanted.repository)
    return Found(wanted.revision or "", wanted.license or "", bool(preset and preset.gated), config, weights)


def _from_hub(wanted: Wanted) -> Found:
    hub = Hub.from_environment()
    say(f"asking {hub.endpoint} about {wanted.repository} ...")
    about = hub.describe(wanted.repository, wanted.revision or "main")
    if wanted.revision and about.commit != wanted.revision:
        raise CannotRunError(f"the hub answers with commit {about.commit}, not {wanted.revision}")
    if not about.weights_bytes and INDEX not in about.sizes:
        message = f"`{wanted.repository}` has no safetensors"
        raise CannotRunError(message, "other formats can run code while they load: convert it, or take another model")
    config = parse_json(hub.file(wanted.repository, about.commit, "config.json", MOST_BYTES), "its config.json")
    weights = about.weights_bytes / GIB
    if INDEX in about.sizes:
        raw = hub.file(wanted.repository, about.commit, INDEX, MOST_BYTES)
        weights = index_gib(parse_json(raw, f"its {INDEX}"), config, f"its {INDEX}")
    return Found(about.commit, about.license, about.gated or about.private, config, weights)


def _shape(bench: Bench, wanted: Wanted, found: Found) -> Shape | None:
    """What the model is; None where nobody can tell and a VM size was named all the same."""
    try:
        shape = shape_of(found.config, found.weights_gib)
    except UnknownShapeError as why:
        if "auto_map" in found.config and not wanted.trust_remote_code:
            message = f"`{wanted.repository}` needs code of its repository to run: {why}"
            hint = "read that code, then say `--trust-remote-code`, and name a size with `--sku`"
            raise CannotRunError(message, hint) from why
        if wanted.sku is None:
            hint = "name a size with `--sku`; the entry will say that nobody can tell"
            raise CannotRunError(f"cannot tell what `{wanted.repository}` needs: {why}", hint) from why
        return None
    return bench.assessor.fit.shapes.of_preset(wanted.repository) if _is_known(bench, wanted.repository) else shape


def _is_known(bench: Bench, repository: str) -> bool:
    """Whether the facts hold the shape of a preset of this id."""
    try:
        bench.assessor.fit.shapes.of_preset(repository)
    except UnknownShapeError:
        return False
    return True


def _size(
    bench: Bench, wanted: Wanted, cluster: Entry[Cluster], shape: Shape | None, context: int
) -> tuple[str, Fit | None]:
    if shape is None:
        return wanted.sku or "", None
    names = [wanted.sku] if wanted.sku else cluster.value.spec.skus
    fit = _cheapest(bench, cluster, shape, context, bench.sizes(names, gpu=True))
    return fit.sku, fit


def _host(cluster: Entry[Cluster], name: str) -> str:
    """A host of its own where the gateway has a wildcard; elsewhere a path tells the models apart."""
    gateway = cluster.value.spec.gateway.host or ""
    return name + gateway.removeprefix("*") if gateway.startswith("*.") else ""


def _cheapest(bench: Bench, cluster: Entry[Cluster], shape: Shape, context: int, sizes: list[Sku]) -> Fit:
    """The cheapest size that fits with some headroom, else with little; unknown prices come last.

    Raises:
        CannotRunError: none fits.
    """
    region = cluster.value.spec.azure.region
    fits = [bench.assessor.placed(shape, sku, Demand(context=context), region) for sku in sizes]
    fitting = sorted(
        (fit for fit in fits if fit.fits),
        key=lambda fit: (is_little(fit), fit.usd_per_hour is None, fit.usd_per_hour or 0.0, fit.gpus, fit.sku),
    )
    if not fitting:
        tried = "; ".join(f"`{fit.sku}`: {fit.reasons[0]}" for fit in fits) or "it allows no GPU size"
        message = f"no size that cluster `{cluster.name}` allows holds it at {context:,} tokens: {tried}"
        raise CannotRunError(message, "ask for less with `--context`, allow a larger size, or take a smaller model")
    return fitting[0]


def _have_vault(clusters: list[Entry[Cluster]]) -> bool:
    return any(cluster.value.spec.secrets.external for cluster in clusters)


def _try(bench: Bench, catalog: Catalog, file: str, text: str) -> None:
    """Judge the entry as `render` will, before anything is written."""
    source, findings = read_source(file, text.encode())
    value, more = parse_entry(source, "Model") if source else (None, [])
    findings = [*findings, *more]
    if source and isinstance(value, Model) and not findings:
        catalog.models[value.metadata.name] = Entry(value, source)
        resolved = resolve(catalog, load_facts(bench.repository)).findings
        findings = [finding for finding in resolved if _is_about(finding, file)]
    if any(finding.severity is Severity.ERROR for finding in findings):
        refuse(findings, "nothing was written")


def _is_about(finding: Finding, file: str) -> bool:
    return finding.where.file == file


def _write_new(path: Path, text: str) -> None:
    """Write a file that must not exist, whole or not at all: a link is made in one step, and never over anything."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.write_text(text, "utf-8")
        os.link(partial, path)
    except FileExistsError:
        raise CannotRunError(f"`{path.name}` is there already", "choose another name with `--name`") from None
    finally:
        partial.unlink(missing_ok=True)


def _tell(placed: Mapping[str, Placed]) -> None:
    for cluster, one in sorted(placed.items()):
        if one.fit:
            price = one.fit.usd_per_hour
            cost = "price unknown" if price is None else f"{price:.2f} USD per hour"
            say(f"{cluster}: {one.sku}, {cost}, {one.fit.headroom_gib:.1f} GiB left on a GPU")
        else:
            say(f"{cluster}: {one.sku}, nobody can tell whether it fits")
    say("read it, then run `kaitops render`")
