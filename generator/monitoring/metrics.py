"""Which series exist, and on which cluster? `catalog/facts/metrics.yaml`, read and asked.

An exporter is there where the cluster's entry says so; a metric, where its exporter is there and serves it in the
cluster's KAITO release. A release that nobody has looked at is not guessed: what is known to differ between releases
does not count there.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from generator.facts import read_facts
from generator.model.cluster import ClusterSpec
from generator.monitoring.promql import Selector

SUFFIXES = {"histogram": ("_bucket", "_count", "_sum")}
OWN_LABELS = {"_bucket": frozenset({"le"})}
IN_CLUSTER = "https://kubernetes.default.svc"


@dataclass(frozen=True, slots=True)
class Metric:
    """One series as PromQL names it, a histogram's parts apart."""

    name: str
    labels: frozenset[str]
    releases: frozenset[str]
    """KAITO releases that serve it; empty where releases do not matter."""

    def is_in(self, release: str) -> bool:
        return not self.releases or release in self.releases


@dataclass(frozen=True, slots=True)
class Exporter:
    name: str
    component: str
    """The value of our label `component` on what it serves; empty where it carries none."""
    rule_groups: tuple[str, ...]
    """Azure rule groups of Microsoft's own that record its series."""
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class MetricFacts:
    exporters: Mapping[str, Exporter]
    target_labels: frozenset[str]

    @cached_property
    def labels(self) -> Mapping[str, frozenset[str]]:
        """Metric → every label that any exporter gives it."""
        found: dict[str, frozenset[str]] = {}
        for exporter in self.exporters.values():
            for metric in exporter.metrics:
                found[metric.name] = found.get(metric.name, self.target_labels) | metric.labels
        return found

    def on(self, spec: ClusterSpec) -> "Series":
        """What a cluster has."""
        there = [exporter for name, exporter in self.exporters.items() if _is_there(name, spec)]
        names = {one.name for exporter in there for one in exporter.metrics if one.is_in(spec.kaito.version)}
        return Series(
            frozenset(names),
            frozenset(exporter.component for exporter in there if exporter.component),
            tuple(group for exporter in there for group in exporter.rule_groups),
        )

    def serves(self, exporter: str, metric: str, release: str) -> bool:
        """Whether one exporter has a metric in a KAITO release."""
        return any(one.name == metric and one.is_in(release) for one in self.exporters[exporter].metrics)


@dataclass(frozen=True, slots=True)
class Series:
    """What exists on one cluster."""

    metrics: frozenset[str]
    components: frozenset[str]
    rule_groups: tuple[str, ...]

    def has(self, selectors: Iterable[Selector], recorded: frozenset[str] = frozenset()) -> bool:
        """Whether every selector can find something here, given what rules record."""
        return all(
            (one.metric in self.metrics or one.metric in recorded)
            and (not one.component or one.component in self.components)
            for one in selectors
        )


def _is_there(exporter: str, spec: ClusterSpec) -> bool:
    """Whether a cluster runs an exporter; what is not named here comes with every cluster."""
    switches = {
        "kaito-controller": spec.kaito.install == "chart",
        "kaito-state": spec.images.state_metrics is not None,
        "reconciler": spec.kaito.provisioner == "kaitops",
        "dcgm": spec.operators.dcgm_exporter == "present",
        "argocd": spec.gitops.engine == "argocd" and spec.gitops.server == IN_CLUSTER,
    }
    return switches.get(exporter, True)


def load_metrics(path: Path) -> MetricFacts:
    """Read `catalog/facts/metrics.yaml`.

    Raises:
        CannotRunError: the file cannot be read.
    """
    data = read_facts(path)
    exporters = {name: _exporter(name, row) for name, row in data["exporters"].items()}
    return MetricFacts(exporters, frozenset(data["targetLabels"]))


def _exporter(name: str, row: Mapping[str, Any]) -> Exporter:
    shared = frozenset(row["labels"])
    metrics = [one for metric, facts in row["metrics"].items() for one in _metrics(metric, facts, shared)]
    return Exporter(name, row.get("component", ""), tuple(row.get("ruleGroups", ())), tuple(metrics))


def _metrics(name: str, facts: Mapping[str, Any], shared: frozenset[str]) -> Iterator[Metric]:
    for suffix in SUFFIXES.get(facts["type"], ("",)):
        labels = shared | frozenset(facts.get("labels", ())) | OWN_LABELS.get(suffix, frozenset())
        yield Metric(name + suffix, labels, frozenset(facts.get("releases", ())))
