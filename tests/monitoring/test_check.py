"""Is a slip in a rule or a dashboard found at its line, and does each cluster get exactly what can work there?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from generator.checks import run_checks
from generator.compile import Compiled, compile_catalog
from generator.finding import Finding, Severity
from generator.monitoring.promql import PromqlError, read
from generator.repository import Repository
from tests.monitoring.promtool import rendered_groups

RULES = "clusters/base/monitoring/rules/gitops.yaml"
MODELS = "clusters/base/monitoring/rules/models.yaml"
LONGEST_RULE = 25
"""A finding about an expression stands at its rule or panel."""
FLEET = "clusters/base/monitoring/dashboards/fleet.yaml"


def edit(repository: Repository, path: str, old: str, new: str) -> int:
    """Change the first place of `old`; the line that it stands on."""
    file = repository.root / path
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")
    return text[: text.index(old)].count("\n") + 1


def judge(repository: Repository) -> list[Finding]:
    """What the catalog's own checks and the check of metrics say, warnings about the sample left out."""
    outcome = run_checks(repository, compile_catalog(repository), {"catalog", "metrics"})
    return [one for one in outcome.findings if one.rule.startswith(("metrics/", "rules/", "dashboards/"))]


def test_what_is_written_reads_only_what_exists(workshop: Repository) -> None:
    assert judge(workshop) == []


@dataclass(frozen=True)
class Slip:
    path: str
    old: str
    new: str
    rule: str
    message: str
    hint: str = ""


SUM = "sum by (cluster, namespace, model) (rate(vllm:request"
REQUESTS = "sum(kaito:requests:rate5m{"
SLIPS = {
    "unknown metric": Slip(
        *(RULES, "argocd_app_info{", "argocd_app_inof{", "metrics/unknown"),
        *("no exporter serves `argocd_app_inof`, and no rule records it", "did you mean `argocd_app_info`?"),
    ),
    "unknown label": Slip(
        *(RULES, "sync_status!=", "sync_state!=", "metrics/label"),
        *("`sync_state` is no label of `argocd_app_info`", "did you mean `sync_status`?"),
    ),
    "unknown grouping": Slip(
        *(MODELS, SUM, SUM.replace("namespace", "nmaespace"), "metrics/label"),
        *("`nmaespace` is no label of any series", "did you mean `namespace`"),
    ),
    "unknown record in a panel": Slip(
        *(FLEET, REQUESTS, REQUESTS.replace("requests", "request"), "metrics/unknown"),
        *("no exporter serves `kaito:request:rate5m`, and no rule records it", "did you mean `kaito:requests:rate5m`"),
    ),
    "half an expression": Slip(RULES, "== 1\n", "== \n", "rules/shape", "not PromQL: "),
    "unknown severity": Slip(
        *(RULES, "severity: ticket", "severity: critical", "rules/shape"),
        *("alert `ApplicationOutOfSync` has no known severity", "severities: `page`"),
    ),
    "no summary": Slip(
        RULES, "          summary:", "          sumary:", "rules/shape", "alert `ApplicationOutOfSync` has no summary"
    ),
    "seconds": Slip(RULES, "for: 1h", "for: 30s", "rules/shape", "`30s` is no whole number of minutes"),
    "a field that Azure lacks": Slip(
        RULES, "for: 1h", "keep_firing_for: 1h", "rules/shape", "`keep_firing_for` is no field", "fields: `alert`"
    ),
    "two of a name": Slip(
        RULES, "alert: ApplicationDegraded", "alert: ApplicationOutOfSync", "rules/repeated", "two alerts", "rename"
    ),
    "unknown field of a panel": Slip(
        FLEET, "unit: reqps", "units: reqps", "dashboards/shape", "unknown field `units`", "did you mean `unit`?"
    ),
    "half a query": Slip(FLEET, REQUESTS, f"({REQUESTS}", "dashboards/promql", "not PromQL: "),
}


@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_a_slip_is_found_where_it_stands(workshop: Repository, slip: Slip) -> None:
    line = edit(workshop, slip.path, slip.old, slip.new)
    said = judge(workshop)
    found = [one for one in said if one.rule == slip.rule and one.message.startswith(slip.message)]
    assert found, said
    assert found[0].where.file == slip.path
    assert abs(found[0].where.line - line) <= LONGEST_RULE
    assert found[0].severity is Severity.ERROR
    assert found[0].hint.startswith(slip.hint)


def test_a_rule_that_is_no_rule_stops_the_rendering(workshop: Repository) -> None:
    """An alert that is quietly left out is worse than none."""
    edit(workshop, RULES, "== 1\n", "== \n")
    assert compile_catalog(workshop).rendering is None


def test_an_alert_without_a_section_in_the_runbook_is_said(workshop: Repository) -> None:
    (workshop.root / "docs").mkdir()
    (workshop.root / "docs" / "runbook.md").write_text("# Runbook\n\n## ApplicationDegraded\n", "utf-8")
    missing = {one.message for one in judge(workshop) if one.rule == "metrics/runbook"}
    assert "alert `ApplicationOutOfSync` has no section in `docs/runbook.md`" in missing
    assert not any("ApplicationDegraded" in message for message in missing)


def names(compiled: Compiled, cluster: str) -> set[str]:
    return {
        rule.get("record") or rule["alert"] for group in rendered_groups(compiled, cluster) for rule in group["rules"]
    }


def change(repository: Repository, cluster: str, how: Callable[[dict[str, Any]], object]) -> Compiled:
    path = repository.root / "catalog" / "clusters" / f"{cluster}.yaml"
    body = yaml.safe_load(path.read_text("utf-8"))
    how(body["spec"])
    path.write_text(yaml.safe_dump(body), "utf-8")
    compiled = compile_catalog(repository)
    assert compiled.rendering is not None, compiled.findings
    return compiled


def test_without_the_exporter_no_alert_waits_for_it(workshop: Repository) -> None:
    """`absent()` over it would fire for ever, the others never; what is missing is said."""
    before = names(compile_catalog(workshop), "dev")
    compiled = change(workshop, "dev", lambda spec: spec["operators"].pop("dcgmExporter"))
    gone = before - names(compiled, "dev")
    assert {"GPUXid", "GPUHot", "GPUIdle", "kaito:gpu_utilisation:ratio", "kaito:tokens_per_joule:rate5m"} <= gone
    assert not {name for name in gone if not name.startswith(("GPU", "kaito:gpu", "kaito:tokens_per_joule"))}
    assert "GPUNodeNotReady" in names(compiled, "dev")
    (note,) = [one for one in judge(workshop) if one.rule == "metrics/left-out"]
    assert note.severity is Severity.NOTE
    assert "cluster `dev`: `GPUHot`, `GPUIdle`, `GPURowRemapFailed`, `GPUXid`" in note.message


def test_without_our_reconciler_nobody_is_told_that_it_is_down(workshop: Repository) -> None:
    def to_another(spec: dict[str, Any]) -> None:
        spec["kaito"]["provisioner"] = "gpu-provisioner"
        del spec["reconciler"]

    compiled = change(workshop, "dev", to_another)
    kept = names(compiled, "dev")
    assert not {name for name in kept if name.startswith(("Reconciler", "Orphan", "Azure", "NodePool"))}
    assert {"NodeClaimNotReady", "ModelDown"} <= kept


def test_without_the_image_of_state_metrics_neither_it_nor_its_alerts_are_rendered(workshop: Repository) -> None:
    compiled = change(workshop, "dev", lambda spec: spec["images"].pop("stateMetrics"))
    assert not {"WorkspaceNotReady", "StateMetricsDown", "NodeClaimNotReady"} & names(compiled, "dev")
    assert compiled.rendering is not None
    unit = compiled.rendering.tree["clusters/dev/monitoring/kustomization.yaml"]
    assert "state" not in unit
    assert "kaito-state-metrics" not in compiled.rendering.tree["clusters/dev/gitops/appproject-kaitops-dev.yaml"]


def test_the_add_on_gets_the_names_that_its_engine_still_has(workshop: Repository) -> None:
    """KAITO 0.6.0: old names are read there, new ones of presets are not, and neither in a release nobody looked at."""

    def to_addon(spec: dict[str, Any]) -> None:
        spec["kaito"] = {"install": "addon", "version": "0.6.0", "provisioner": "gpu-provisioner"}
        spec["operators"] |= {"ragengine": "absent", "keda": "absent"}
        del spec["reconciler"]

    for path in (workshop.root / "catalog" / "models").glob("*.yaml"):
        if path.stem != "phi-3-adapter":
            path.unlink()
    for folder in ("rag", "tuning"):
        for path in (workshop.root / "catalog" / folder).glob("*.yaml"):
            path.unlink()
    compiled = change(workshop, "dev", to_addon)
    expressions = {rule["expr"] for group in rendered_groups(compiled, "dev") for rule in group["rules"]}
    assert any("vllm:gpu_cache_usage_perc" in one for one in expressions)
    assert any("vllm:time_per_output_token_seconds" in one for one in expressions)
    assert not any("vllm:prefix_cache_hits_total" in one for one in expressions)
    assert not {"KaitoDown", "RequestsRefused", "AnswersCorrupted"} & names(compiled, "dev")
    assert "vllm:gpu_cache_usage_perc" not in str(rendered_groups(compiled, "prod"))


def test_reading_finds_metrics_labels_and_nothing_in_quotes() -> None:
    reading = read(
        'sum by (a) (rate(one_total{b="not_a_metric"}[5m])) / on (c) group_left (d) max_over_time(two[1d:5m])'
        ' and label_replace(three, "e", "$1", "f", "(.*)") > 4 unless absent(up{component="x"} == 1)'
    )
    assert [one.metric for one in reading.selectors] == ["one_total", "two", "three", "up"]
    assert reading.selectors[0].matchers == (("b", "Equal", "not_a_metric"),)
    assert reading.selectors[3].component == "x"
    assert {"a", "c"} <= reading.grouping
    with pytest.raises(PromqlError):
        read("sum(")
