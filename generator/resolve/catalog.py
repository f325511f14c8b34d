"""The whole catalog becomes placements, in a fixed order, with the checks that look at several entries."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from generator.finding import Finding, Place
from generator.load import Catalog, Entry
from generator.model import EntryBase
from generator.placement import ModelPlacement, Placement, RagPlacement, TuningPlacement
from generator.resolve.canary import resolve_canary
from generator.resolve.cluster import check_cluster
from generator.resolve.context import Context, Facts, Findings
from generator.resolve.limits import policy_limits
from generator.resolve.model import TUNED, resolve_model
from generator.resolve.rag import resolve_rag
from generator.resolve.reconciler import known_prices
from generator.resolve.routing import route_clashes
from generator.resolve.tuning import resolve_tuning
from generator.words import did_you_mean

EntryType = TypeVar("EntryType", bound=EntryBase)


@dataclass(slots=True)
class Resolution:
    """Everything to render, and everything wrong with it."""

    models: list[ModelPlacement] = field(default_factory=list)
    tunings: list[TuningPlacement] = field(default_factory=list)
    rag_engines: list[RagPlacement] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    limits: dict[str, dict[str, str]] = field(default_factory=dict)
    """Name of a cluster → what its policies are measured with."""
    prices: dict[str, dict[str, float]] = field(default_factory=dict)
    """Name of a cluster → USD per hour of its sizes."""


def resolve(catalog: Catalog, facts: Facts) -> Resolution:
    """Resolve each entry on each of its clusters; findings are about entries that stay in the result."""
    found = Findings()
    result = Resolution()
    for cluster in _sorted(catalog.clusters):
        check_cluster(Context(cluster, cluster, catalog, facts, found))
        result.limits[cluster.name] = policy_limits(cluster.value.spec, facts.skus)
        result.prices[cluster.name] = known_prices(cluster.value.spec, facts.skus)
    for tuning in _contexts(catalog, facts, found, catalog.tunings):
        if not tuning.entry.value.spec.retired:
            result.tunings.append(resolve_tuning(tuning))
    tuned: TUNED = {(placement.cluster, placement.name): placement for placement in result.tunings}
    places = []
    for model in _contexts(catalog, facts, found, catalog.models):
        if not model.entry.value.spec.retired:
            placement = resolve_model(model, tuned)
            result.models.append(placement)
            places.append((placement, model.entry.place("clusters", model.cluster.name)))
            if placement.canary_weight is not None:
                result.models.append(resolve_canary(model, placement, tuned))
    for engine in _contexts(catalog, facts, found, catalog.rag_engines):
        if not engine.entry.value.spec.retired:
            result.rag_engines.append(resolve_rag(engine))
    result.findings = _unique([*found.found, *route_clashes(places), *_same_names(catalog), *_shared_objects(result)])
    return result


def _sorted(entries: Mapping[str, Entry[EntryType]]) -> list[Entry[EntryType]]:
    return [entries[name] for name in sorted(entries)]


def _contexts(
    catalog: Catalog, facts: Facts, found: Findings, entries: Mapping[str, Entry[EntryType]]
) -> Iterator[Context[EntryType]]:
    """Each entry on each cluster that it names and that exists."""
    for entry in _sorted(entries):
        for name in sorted(entry.value.spec.clusters):
            cluster = catalog.clusters.get(name)
            if cluster is None and ("Cluster", name) in catalog.broken:
                continue
            if cluster is None:
                hint = did_you_mean(name, catalog.clusters) or "add `catalog/clusters/" + name + ".yaml`"
                where = entry.place("clusters", name)
                found.found.append(Finding(where, "catalog/cluster", f"there is no cluster `{name}`", hint))
            else:
                yield Context(entry, cluster, catalog, facts, found)


def _same_names(catalog: Catalog) -> Iterator[Finding]:
    """Models, tunings and RAG engines share one folder per cluster, so they share one set of names."""
    owners: dict[str, Entry[EntryBase]] = {}
    for entries in (catalog.models, catalog.tunings, catalog.rag_engines):
        for name, entry in entries.items():
            first = owners.setdefault(name, entry)
            if first is not entry:
                message = f"`{name}` is also the name of the {first.value.kind} in `{first.file.name}`"
                yield Finding(entry.file.place(("metadata", "name")), "catalog/name", message, "rename one of them")


def _shared_objects(resolution: Resolution) -> Iterator[Finding]:
    """An object belongs to one unit: two that render the same one would fight over it."""
    owners: dict[tuple[str, str, str, str], str] = {}
    for placement in (*resolution.tunings, *resolution.models, *resolution.rag_engines):
        for kind, name in _named_objects(placement):
            key = (placement.cluster, placement.namespace, kind, name)
            first = owners.setdefault(key, placement.name)
            if first != placement.name:
                message = f"{kind} `{name}` in namespace `{placement.namespace}` is rendered by `{first}` already"
                where = Place(placement.source)
                yield Finding(where, "catalog/shared-object", message, "give it another name, or let it exist outside")


def _named_objects(placement: Placement) -> Iterator[tuple[str, str]]:
    """The objects whose names people choose."""
    if isinstance(placement, ModelPlacement):
        yield "Service", placement.service
    yield from (("ExternalSecret", secret.name) for secret in placement.external_secrets)
    yield from (("PersistentVolumeClaim", claim.name) for claim in placement.claims)
    if isinstance(placement, ModelPlacement) and placement.service_account:
        yield "ServiceAccount", placement.service_account.name


def _unique(findings: list[Finding]) -> list[Finding]:
    """One mistake in an entry shows on each of its clusters; it is said once."""
    return sorted(set(findings))
