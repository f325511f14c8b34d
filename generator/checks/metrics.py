"""Does every rule and panel read series that exist, with labels that they have, and does each alert have its runbook?

First the hand-written files, at their lines: a name that no exporter serves anywhere is a slip of the pen, and what
reads it would quietly be left out of every cluster. Then what was rendered for each cluster, by that cluster's list.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from generator.checks.subject import Subject
from generator.finding import Finding, Place, Severity
from generator.monitoring.azure import GROUPS_IN_A_WORKSPACE
from generator.monitoring.dashboards import GRAFANA_DURATION
from generator.monitoring.library import Library
from generator.monitoring.metrics import MetricFacts, Series
from generator.monitoring.promql import Reading, Selector, read
from generator.monitoring.select import recorded_by, select_groups
from generator.words import did_you_mean

RUNBOOK = Path("docs/runbook.md")
SECTION = re.compile(r"^## (\w+)\s*$", re.MULTILINE)


def check(subject: Subject) -> Iterator[Finding]:
    library = subject.compiled.library
    if library is None:
        return
    yield from _written(library)
    yield from _runbook(library, subject.repository.root / RUNBOOK)
    for name, entry in sorted(subject.compiled.catalog.clusters.items()):
        series = library.metrics.on(entry.value.spec)
        yield from _left_out(library, series, name, entry.place("monitoring"))
        yield from _rendered(subject, library, series, name)


def _written(library: Library) -> Iterator[Finding]:
    """What is wrong with an expression wherever it is rendered."""
    facts = library.metrics
    recorded = frozenset(rule.record for group in library.groups for rule in group.rules if rule.record)
    labels = frozenset(label for labels in facts.labels.values() for label in labels)
    for reading, where in _expressions(library):
        for selector in reading.selectors:
            yield from _judge_selector(selector, facts, recorded, where)
        for label in sorted(reading.grouping - labels):
            yield _unknown_label(label, "any series", labels, where)


def _expressions(library: Library) -> Iterator[tuple[Reading, Place]]:
    for group in library.groups:
        for rule in group.rules:
            yield rule.reading, rule.place
    for name, dashboard in library.dashboards.items():
        for number, row in enumerate(dashboard.rows):
            for index, panel in enumerate(row.panels):
                where = library.files[name].place(("rows", number, "panels", index, "queries"))
                yield from ((read(query.plain), where) for query in panel.queries)


def _judge_selector(
    selector: Selector, facts: MetricFacts, recorded: frozenset[str], where: Place
) -> Iterator[Finding]:
    labels = facts.labels.get(selector.metric)
    if labels is None:
        if selector.metric not in recorded:
            hint = did_you_mean(selector.metric, (*facts.labels, *recorded))
            message = f"no exporter serves `{selector.metric}`, and no rule records it"
            yield Finding(where, "metrics/unknown", message, hint or "add it to `catalog/facts/metrics.yaml`")
        return
    for label in sorted({name for name, _, _ in selector.matchers} - labels):
        yield _unknown_label(label, f"`{selector.metric}`", labels, where)


def _unknown_label(label: str, what: str, known: Iterable[str], where: Place) -> Finding:
    hint = did_you_mean(label, known) or "labels: " + ", ".join(f"`{name}`" for name in sorted(known))
    return Finding(where, "metrics/label", f"`{label}` is no label of {what}", hint)


def _runbook(library: Library, page: Path) -> Iterator[Finding]:
    """Whoever is woken up finds out what to do."""
    if not page.is_file():
        return
    sections = set(SECTION.findall(page.read_text("utf-8")))
    for group in library.groups:
        for rule in group.rules:
            if rule.alert and rule.alert not in sections:
                message = f"alert `{rule.alert}` has no section in `{RUNBOOK.as_posix()}`"
                yield Finding(rule.place, "metrics/runbook", message, f"add `## {rule.alert}`")


def _left_out(library: Library, series: Series, cluster: str, where: Place) -> Iterator[Finding]:
    """Said once for each cluster: an alert that is missing looks like one at rest."""
    kept = {rule.alert for group in select_groups(library.groups, series) for rule in group.rules}
    missing = sorted({rule.alert for group in library.groups for rule in group.rules} - kept)
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        message = f"alerts without the metrics that they need on cluster `{cluster}`: {names}"
        hint = "see `operators.dcgmExporter`, `images.stateMetrics` and `kaito` of the cluster"
        yield Finding(where, "metrics/left-out", message, hint, Severity.NOTE)


def _rendered(subject: Subject, library: Library, series: Series, cluster: str) -> Iterator[Finding]:
    """Each expression of a cluster's files, by the list of that cluster."""
    recorded = recorded_by(library.groups, series)
    for path, body, source in _files(subject, cluster):
        for expression in _queries(body):
            reading = read(GRAFANA_DURATION.sub("5m", expression))
            if not series.has(reading.selectors, recorded):
                names = ", ".join(f"`{one.metric}`" for one in reading.selectors)
                message = f"{path}: an expression reads what cluster `{cluster}` does not have, one of {names}"
                yield Finding(source, "metrics/absent", message)
        groups = sum(one.get("type", "").endswith("prometheusRuleGroups") for one in body.get("resources", {}).values())
        if groups > GROUPS_IN_A_WORKSPACE:
            message = f"{path}: {groups} rule groups, of {GROUPS_IN_A_WORKSPACE} that Azure takes"
            yield Finding(source, "metrics/groups", message, "fewer `slo` objectives, or a workspace of its own")


def _files(subject: Subject, cluster: str) -> Iterator[tuple[str, dict[str, Any], Place]]:
    rendering = subject.compiled.rendering
    here = f"clusters/{cluster}/"
    for one in (*subject.documents, *(rendering.attachments if rendering else ())):
        if one.path.startswith(here) and (one.body.get("kind") == "PrometheusRule" or one.path.endswith(".json")):
            yield one.path, one.body, one.source
        elif one.path.startswith(here) and "grafana_dashboard" in one.body.get("metadata", {}).get("labels", {}):
            for text in one.body["data"].values():
                yield one.path, json.loads(text), one.source


def _queries(node: Any) -> Iterator[str]:
    """Every expression below a rule, an ARM template or a dashboard."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name in ("expr", "expression") and isinstance(value, str):
                yield value
            else:
                yield from _queries(value)
    elif isinstance(node, list):
        for item in node:
            yield from _queries(item)
