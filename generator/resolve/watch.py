"""What watches one cluster: the rules and dashboards that make sense there, and what has to be scraped for them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from generator.model.cluster import ClusterSpec
from generator.monitoring.azure import Target
from generator.monitoring.dashboards import Dashboard
from generator.monitoring.grafana import draw
from generator.monitoring.library import Library
from generator.monitoring.metrics import Series
from generator.monitoring.rules import Group, Rule
from generator.monitoring.select import recorded_by, select_groups, select_panels
from generator.resolve.reconciler import NAME as RECONCILER
from generator.resolve.reconciler import NAMESPACE as RECONCILER_NAMESPACE
from generator.resolve.routing import GATEWAY

RUNBOOK = "docs/runbook.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """Pods of one part of the platform whose metrics are read."""

    component: str
    namespaces: tuple[str, ...]
    """Empty for all."""
    labels: dict[str, str]
    port: int
    path: str
    honor_labels: bool = False
    """Whether the target's own `namespace` and the like win, because it speaks of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleObject:
    """One PrometheusRule: the groups of one hand-written file."""

    name: str
    groups: tuple[Group, ...]

    @property
    def bodies(self) -> list[dict[str, object]]:
        return [group.body for group in self.groups]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchView:
    namespace: str
    own_namespace: bool
    """Whether the namespace is ours to make: a Prometheus Operator brings its own."""
    cluster_label: str
    """The value of the label `cluster` in a store of several clusters; empty in a store of one."""
    rules: tuple[RuleObject, ...]
    dashboards: dict[str, str]
    """File name → Grafana's JSON."""
    selected_by: dict[str, str]
    """Labels by which Prometheus finds what is meant for it."""
    scrapes: tuple[Scrape, ...]
    state_image: str
    state_digest: str
    default_groups: tuple[str, ...]
    target: Target

    @property
    def groups(self) -> tuple[Group, ...]:
        return tuple(group for one in self.rules for group in one.groups)


def build_watch(spec: ClusterSpec, library: Library) -> WatchView:
    series = library.metrics.on(spec)
    azure = spec.monitoring.flavor == "azure-managed"
    image, _, digest = (spec.images.state_metrics or "").partition("@")
    return WatchView(
        namespace=spec.monitoring.namespace,
        own_namespace=azure,
        cluster_label=spec.azure.cluster if azure else "",
        rules=tuple(_rule_objects(select_groups(library.groups, series), runbook_page(spec))),
        dashboards={name: draw(name, one) for name, one in _dashboards(library, series).items()},
        selected_by=spec.monitoring.selected_by,
        scrapes=tuple(_scrapes(spec, series)),
        state_image=image,
        state_digest=digest,
        default_groups=series.rule_groups,
        target=Target(cluster=spec.azure.cluster, resource=cluster_resource(spec), region=spec.azure.region),
    )


def _dashboards(library: Library, series: Series) -> dict[str, Dashboard]:
    recorded = recorded_by(library.groups, series)
    selected = {name: select_panels(one, series, recorded) for name, one in sorted(library.dashboards.items())}
    return {name: one for name, one in selected.items() if one.rows}


def _rule_objects(groups: tuple[Group, ...], page: str) -> Iterator[RuleObject]:
    for file in dict.fromkeys(group.file for group in groups):
        mine = tuple(_with_runbook(group, page) for group in groups if group.file == file)
        yield RuleObject(name=file, groups=mine)


def _with_runbook(group: Group, page: str) -> Group:
    return replace(group, rules=tuple(_linked(rule, page) if rule.alert else rule for rule in group.rules))


def _linked(rule: Rule, page: str) -> Rule:
    link = {"runbook_url": f"{page}#{rule.alert.lower()}"}
    return replace(rule, annotations={**rule.annotations, **link})


def runbook_page(spec: ClusterSpec) -> str:
    """Where the runbook is read: as the entry says, else at the forge that holds the repository."""
    if spec.monitoring.runbooks:
        return spec.monitoring.runbooks
    repo = spec.gitops.repo.removesuffix(".git")
    scp = re.fullmatch(r"git@([^:/]+):(.+)", repo)
    if scp:
        repo = f"https://{scp[1]}/{scp[2]}"
    page = re.sub(r"^ssh://(?:[^@/]+@)?([^:/]+)(?::[0-9]+)?/", r"https://\1/", repo)
    return f"{page}/blob/{spec.gitops.revision}/{RUNBOOK}"


def cluster_resource(spec: ClusterSpec) -> str:
    """ARM id of the AKS cluster."""
    azure = spec.azure
    group = f"/subscriptions/{azure.subscription}/resourceGroups/{azure.resource_group}"
    return f"{group}/providers/Microsoft.ContainerService/managedClusters/{azure.cluster}"


def _scrapes(spec: ClusterSpec, series: Series) -> Iterator[Scrape]:
    """The parts of the platform that nobody scrapes by default."""
    everything = (
        Scrape(
            component="gateway",
            namespaces=(spec.gateway.namespace,),
            labels={"gateway.networking.k8s.io/gateway-name": GATEWAY},
            port=15090,
            path="/stats/prometheus",
        ),
        Scrape(
            component="kaito", namespaces=(), labels={"app.kubernetes.io/name": "workspace"}, port=8080, path="/metrics"
        ),
        Scrape(
            component="kaito-state",
            namespaces=(spec.monitoring.namespace,),
            labels={"app.kubernetes.io/name": "kaito-state-metrics"},
            port=8080,
            path="/metrics",
            honor_labels=True,
        ),
        Scrape(
            component="reconciler",
            namespaces=(RECONCILER_NAMESPACE,),
            labels={"app.kubernetes.io/name": RECONCILER},
            port=8080,
            path="/metrics",
        ),
        Scrape(
            component="argocd",
            namespaces=(spec.gitops.namespace,),
            labels={"app.kubernetes.io/name": "argocd-application-controller"},
            port=8082,
            path="/metrics",
        ),
    )
    yield from (one for one in everything if one.component in series.components)
