"""The hand-written dashboards: `clusters/base/monitoring/dashboards/*.yaml`, read into types.

They say what a person wants to see: titles, units, queries. Grafana's own JSON, ten times as long and full of defaults,
is drawn from them in `grafana`.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from generator.explain import explain, is_noise
from generator.finding import Finding
from generator.model.base import DnsLabel, OneLine, Strict
from generator.monitoring.promql import PromqlError, read
from generator.source import SourceFile, read_source

GRAFANA_DURATION = re.compile(r"\$__(rate_interval|range|interval)\b")


class Query(Strict):
    expr: str = Field(description="PromQL; `$namespace`, `$model` and Grafana's own variables may stand in it")
    legend: OneLine = Field(description="Name of the series, or of the column")

    @property
    def plain(self) -> str:
        """The expression as PromQL without Grafana's variables."""
        return GRAFANA_DURATION.sub("5m", self.expr)


class Panel(Strict):
    title: OneLine
    description: OneLine
    type: Literal["timeseries", "stat", "gauge", "table"] = "timeseries"
    unit: OneLine = Field(description="Grafana's name of the unit, such as `s`, `percentunit`, `reqps`")
    width: Annotated[int, Field(strict=True, ge=3, le=24)] = 8
    height: Annotated[int, Field(strict=True, ge=3, le=20)] = 8
    maximum: float | None = None
    decimals: Annotated[int, Field(strict=True, ge=0, le=6)] | None = None
    warn_above: float | None = Field(None, description="Orange from here on")
    bad_above: float | None = Field(None, description="Red from here on")
    bad_below: float | None = Field(None, description="Red below it")
    queries: Annotated[tuple[Query, ...], Field(min_length=1, max_length=26)]


class Row(Strict):
    title: OneLine
    panels: Annotated[tuple[Panel, ...], Field(min_length=1)]


class Variable(Strict):
    """A choice at the top of the page: the values of one label of `kaitops:model_info`."""

    label: DnsLabel
    within: tuple[DnsLabel, ...] = Field((), description="Labels whose choice narrows this one")
    several: bool = Field(default=True, description="Whether several values, or all, may be chosen")


class Link(Strict):
    title: OneLine
    dashboard: DnsLabel = Field(description="The other dashboard's file name")


class Dashboard(Strict):
    title: OneLine
    description: OneLine
    variables: tuple[Variable, ...]
    links: tuple[Link, ...] = ()
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]


def load_dashboards(root: Path, folder: Path) -> tuple[dict[str, Dashboard], dict[str, SourceFile], list[Finding]]:
    """Every dashboard of `folder` by its file's name, and the files."""
    dashboards, files = {}, {}
    findings: list[Finding] = []
    for path in sorted(folder.glob("*.yaml")):
        file, problems = read_source(path.relative_to(root).as_posix(), path.read_bytes())
        dashboard, more = _typed(file) if not problems else (None, [])
        findings += problems + more
        if dashboard:
            dashboards[path.stem], files[path.stem] = dashboard, file
    return dashboards, files, findings


def _typed(file: SourceFile) -> tuple[Dashboard | None, list[Finding]]:
    try:
        dashboard = Dashboard.model_validate(file.data)
    except ValidationError as error:
        findings = []
        for record in error.errors(include_url=False):
            if not is_noise(dict(record)):
                where, message, hint = explain(dict(record), Dashboard)
                findings.append(Finding(file.place(where), "dashboards/shape", message, hint))
        return None, findings
    return dashboard, list(_wrong_queries(dashboard, file))


def _wrong_queries(dashboard: Dashboard, file: SourceFile) -> list[Finding]:
    findings = []
    for number, row in enumerate(dashboard.rows):
        for index, panel in enumerate(row.panels):
            for at, query in enumerate(panel.queries):
                try:
                    read(query.plain)
                except PromqlError as error:
                    where = file.place(("rows", number, "panels", index, "queries", at, "expr"))
                    findings.append(Finding(where, "dashboards/promql", f"not PromQL: {error}"))
    return findings
