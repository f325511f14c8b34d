"""What of the rules and dashboards makes sense on one cluster: everything whose series exist there, nothing else.

An alert over a metric that nobody serves never fires, and `absent()` over one fires for ever.
"""

from collections.abc import Iterable
from dataclasses import replace

from generator.monitoring.dashboards import Dashboard, Panel
from generator.monitoring.metrics import Series
from generator.monitoring.promql import read
from generator.monitoring.rules import Group


def select_groups(groups: Iterable[Group], series: Series) -> tuple[Group, ...]:
    """The rules that can find something, in their groups; a group without any is gone."""
    groups = tuple(groups)
    recorded = recorded_by(groups, series)
    kept = (
        replace(group, rules=tuple(rule for rule in group.rules if series.has(rule.reading.selectors, recorded)))
        for group in groups
    )
    return tuple(group for group in kept if group.rules)


def recorded_by(groups: Iterable[Group], series: Series) -> frozenset[str]:
    """What the groups record on a cluster; a record may read another, so it is asked until nothing is added."""
    records = [rule for group in groups for rule in group.rules if rule.record]
    found: frozenset[str] = frozenset()
    while True:
        more = frozenset(rule.record for rule in records if series.has(rule.reading.selectors, found))
        if more == found:
            return found
        found = more


def select_panels(dashboard: Dashboard, series: Series, recorded: frozenset[str]) -> Dashboard:
    """The dashboard without the queries, panels and rows that would stay empty."""
    rows = []
    for row in dashboard.rows:
        panels = [_with_queries(panel, series, recorded) for panel in row.panels]
        rows.append(row.model_copy(update={"panels": tuple(panel for panel in panels if panel.queries)}))
    return dashboard.model_copy(update={"rows": tuple(row for row in rows if row.panels)})


def _with_queries(panel: Panel, series: Series, recorded: frozenset[str]) -> Panel:
    kept = (query for query in panel.queries if series.has(read(query.plain).selectors, recorded))
    return panel.model_copy(update={"queries": tuple(kept)})
