"""Everything about monitoring that people wrote, and what is known of metrics: one value that rendering starts from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from generator.finding import Finding
from generator.monitoring.dashboards import Dashboard, load_dashboards
from generator.monitoring.metrics import MetricFacts
from generator.monitoring.rules import Group, load_rules
from generator.source import SourceFile


@dataclass(frozen=True, slots=True)
class Library:
    metrics: MetricFacts
    groups: tuple[Group, ...]
    dashboards: Mapping[str, Dashboard]
    files: Mapping[str, SourceFile]
    """The dashboards' files, for the place of what is wrong in one."""


def load_library(root: Path, metrics: MetricFacts) -> tuple[Library, list[Finding]]:
    """Read `clusters/base/monitoring/` below `root`; a folder that is not there holds nothing."""
    folder = root / "clusters" / "base" / "monitoring"
    groups, findings = load_rules(root, folder / "rules")
    dashboards, files, more = load_dashboards(root, folder / "dashboards")
    return Library(metrics, groups, dashboards, files), findings + more
