"""A dashboard as Grafana's JSON: laid out on its grid of 24 columns, with the data source as a choice of the reader's.

Nothing in it depends on one Grafana: no number of a data source, no id of its database, no version that counts up.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from generator import jsonout
from generator.monitoring.dashboards import Dashboard, Panel, Query, Row, Variable

SCHEMA = 39
"""Grafana 10.4's; newer ones migrate it when they load it."""
COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
INFO = "kaitops:model_info"
GREEN, ORANGE, RED = "green", "orange", "red"
HIDDEN = ("Time", "__name__", "cluster", "container", "endpoint", "instance", "job", "pod", "scraped")

Json = dict[str, Any]


@cache
def draw(name: str, dashboard: Dashboard) -> str:
    """The dashboard as text; `name` tells it from others of the same Grafana."""
    page = {
        "annotations": {"list": []},
        "description": dashboard.description,
        "editable": True,
        "graphTooltip": 1,
        "links": [_link(link.title, link.dashboard) for link in dashboard.links],
        "panels": list(_panels(dashboard.rows)),
        "refresh": "1m",
        "schemaVersion": SCHEMA,
        "tags": ["kaitops"],
        "templating": {"list": [_datasource(), *map(_variable, dashboard.variables)]},
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "title": dashboard.title,
        "uid": uid(name),
    }
    return jsonout.dump(page)


def uid(name: str) -> str:
    """What other dashboards and bookmarks call it."""
    return f"kaitops-{name}"


def _link(title: str, name: str) -> Json:
    """To another dashboard, with the same choices and the same time."""
    kept = {"includeVars": True, "keepTime": True}
    return {"title": title, "type": "link", "url": f"/d/{uid(name)}", "icon": "dashboard", **kept}


def _datasource() -> Json:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variable(variable: Variable) -> Json:
    narrowed = ", ".join(f'{label}=~"${label}"' for label in variable.within)
    body: Json = {
        "name": variable.label,
        "label": variable.label.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "query": f"label_values({INFO}{{{narrowed}}}, {variable.label})",
        "refresh": 2,
        "sort": 1,
    }
    if not variable.several:
        return body
    # `.*` also finds series without the label: a Prometheus of one cluster has no label `cluster`.
    everything = {"text": ["All"], "value": ["$__all"]}
    return body | {"multi": True, "includeAll": True, "allValue": ".*", "current": everything}


def _panels(rows: Sequence[Row]) -> Iterator[Json]:
    """Panels from left to right; one that does not fit begins a new line."""
    top = number = 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": top},
            "panels": [],
        }
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            number += 1
            yield _panel(number, panel, {"h": panel.height, "w": panel.width, "x": left, "y": top})
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest


def _panel(number: int, panel: Panel, place: Mapping[str, int]) -> Json:
    body: Json = {
        "id": number,
        "type": panel.type,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": dict(place),
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
        "targets": [_target(chr(ord("A") + at), query, panel) for at, query in enumerate(panel.queries)],
    }
    return body | ({"transformations": _table(panel)} if panel.type == "table" else {})


def _defaults(panel: Panel) -> Json:
    bounds: Json = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": _steps(panel)}, "min": 0}
    if panel.maximum is not None:
        bounds["max"] = panel.maximum
    if panel.decimals is not None:
        bounds["decimals"] = panel.decimals
    if panel.type == "timeseries":
        bounds["custom"] = {"fillOpacity": 10, "lineWidth": 1, "showPoints": "never", "spanNulls": False}
    return bounds


def _steps(panel: Panel) -> list[Json]:
    first = RED if panel.bad_below is not None else GREEN
    steps: list[Json] = [{"color": first, "value": None}]
    for colour, value in ((GREEN, panel.bad_below), (ORANGE, panel.warn_above), (RED, panel.bad_above)):
        if value is not None:
            steps.append({"color": colour, "value": value})
    return steps


def _options(panel: Panel) -> Json:
    if panel.type == "timeseries":
        legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    if panel.type == "table":
        return {"showHeader": True, "cellHeight": "sm"}
    return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}


def _target(letter: str, query: Query, panel: Panel) -> Json:
    body: Json = {"refId": letter, "datasource": SOURCE, "expr": query.expr, "legendFormat": query.legend}
    if panel.type == "timeseries":
        return body | {"range": True, "instant": False}
    return body | {"range": False, "instant": True} | ({"format": "table"} if panel.type == "table" else {})


def _table(panel: Panel) -> list[Json]:
    """One line for each set of labels, one column for each query."""
    letters = [chr(ord("A") + at) for at in range(len(panel.queries))]
    values = ["Value"] if len(letters) == 1 else [f"Value #{letter}" for letter in letters]
    names = dict(zip(values, (query.legend for query in panel.queries), strict=True))
    hidden = dict.fromkeys(HIDDEN, True)
    return [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": hidden, "indexByName": {}, "renameByName": names}},
    ]
