"""A plan for programs: JSON with everything, SARIF with what belongs at lines of the catalog."""

import json
from dataclasses import asdict
from typing import Any

from generator.finding import Finding, Severity
from generator.plan import words
from generator.plan.change import ClusterPlan, Plan, UnitChange
from generator.report import write_findings


def write_json(plan: Plan) -> str:
    record = {
        "base": plan.base,
        "head": plan.head,
        "empty": plan.empty,
        "danger": bool(plan.dangers),
        "notes": list(plan.notes),
        "dangers": json.loads(write_findings(plan.dangers, "json")),
        "findings": json.loads(write_findings(plan.findings, "json")),
        "clusters": [_cluster(cluster) for cluster in plan.clusters],
    }
    return json.dumps(record, indent=2, ensure_ascii=False)


def _cluster(cluster: ClusterPlan) -> dict[str, Any]:
    return {
        "name": cluster.name,
        "units": [_unit(unit) for unit in cluster.units],
        "amounts": [asdict(amount) for amount in cluster.amounts],
    }


def _unit(unit: UnitChange) -> dict[str, Any]:
    record = asdict(unit)
    record.pop("cluster")
    record["notice"] = words.notice(unit)
    record["surge"] = asdict(unit.surge)
    record["causes"] = [
        {"file": cause.where.file, "line": cause.where.line, "column": cause.where.column, "text": cause.text}
        for cause in unit.causes
    ]
    return record


def write_sarif(plan: Plan) -> str:
    """Dangers and new findings, and a note at every line that makes a unit change."""
    notes = [
        Finding(cause.where, f"plan/{unit.verb.value}", _sentence(unit), severity=Severity.NOTE)
        for cluster in plan.clusters
        for unit in cluster.units
        for cause in unit.causes
    ]
    return write_findings([*plan.dangers, *plan.findings, *sorted(set(notes))], "sarif")


def _sentence(unit: UnitChange) -> str:
    return f"{unit.verb.value} of `{unit.name}` on `{unit.cluster}`: {words.notice(unit)}"
