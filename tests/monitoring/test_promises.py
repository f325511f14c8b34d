"""Does what an entry promises become alerts that fire on the engine's and the gateway's own series?"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from generator.compile import Compiled, compile_catalog
from generator.repository import Repository
from tests.monitoring.promtool import promtool, rendered_groups, write_rules

MODEL = "phi-4-mini"
WHERE = f'namespace="chat", model="{MODEL}"'
GATEWAY = f'reporter="source", destination_service_namespace="chat", destination_service_name="{MODEL}"'


def promise(compiled: Compiled, model: str, cluster: str) -> dict[str, Any]:
    assert compiled.rendering is not None, compiled.findings
    (rule,) = [
        one.body
        for one in compiled.rendering.documents
        if one.path == f"clusters/{cluster}/{model}/prometheusrule.yaml"
    ]
    found: dict[str, Any] = rule["spec"]["groups"][0]
    return found


def change(repository: Repository, model: str, **spec: Any) -> Compiled:
    path = repository.root / "catalog" / "models" / f"{model}.yaml"
    body = yaml.safe_load(path.read_text("utf-8"))
    body["spec"] |= spec
    path.write_text(yaml.safe_dump(body), "utf-8")
    return compile_catalog(repository)


def test_a_running_model_says_that_it_runs_whose_it_is_and_what_it_costs(fleet: Compiled) -> None:
    rules = promise(fleet, MODEL, "dev")["rules"]
    by_name = {rule["record"]: rule for rule in rules if "slo" not in rule["labels"]}
    assert by_name["kaitops:model_info"]["labels"] == {
        "namespace": "chat",
        "model": MODEL,
        "owner": "chat",
        "sku": "Standard_NV36ads_A10_v5",
        "scraped": "true",
    }
    assert by_name["kaitops:replica_usd_per_hour"]["expr"] == "vector(3.2)"
    assert [rule["labels"]["slo"] for rule in rules if rule["record"] == "kaitops:slo_objective"] == [
        "ttft",
        "itl",
        "availability",
    ]


def test_a_store_of_several_clusters_tells_them_apart(fleet: Compiled) -> None:
    """Recorded series carry the label that Azure gives to every scraped one; else no rule could join them."""
    records = [
        rule for group in rendered_groups(fleet, "prod") if "promises" in group["name"] for rule in group["rules"]
    ]
    assert records
    assert {rule["labels"].get("cluster") for rule in records} == {"kaitops-prod"}
    assert "cluster" not in str(promise(fleet, MODEL, "dev"))


def test_a_suspended_model_promises_nothing(workshop: Repository) -> None:
    compiled = change(workshop, MODEL, suspended=True)
    assert compiled.rendering is not None
    assert f"clusters/dev/{MODEL}/prometheusrule.yaml" not in compiled.rendering.tree
    assert f"model: {MODEL}" not in compiled.rendering.tree["clusters/prod/azure/prometheus-rules.json"]
    assert f'"{MODEL}"' not in compiled.rendering.tree["clusters/prod/azure/prometheus-rules.json"]


def test_a_preset_whose_metrics_are_json_is_not_expected_to_be_scraped(fleet: Compiled) -> None:
    (info, *_) = promise(fleet, "phi-3-adapter", "dev")["rules"]
    assert info["labels"]["scraped"] == "false"


def test_an_objective_that_nothing_measures_is_refused(workshop: Repository) -> None:
    compiled = change(workshop, "phi-3-adapter", slo={"ttft": {"thresholdSeconds": 2.5}})
    (found,) = [one for one in compiled.findings if one.rule == "catalog/slo-unmeasured"]
    assert found.message.startswith("`slo.ttft` cannot be measured on cluster `dev`")
    assert found.where.line > 1


def test_availability_is_measured_where_clients_are(workshop: Repository) -> None:
    compiled = change(workshop, MODEL, slo={"availability": 0.99})
    assert "istio_requests_total" in str(promise(compiled, MODEL, "dev"))
    clusters = {"dev": {"sku": "Standard_NV36ads_A10_v5", "context": 8192}, "prod": {"sku": "Standard_NC24ads_A100_v4"}}
    inside = change(workshop, MODEL, slo={"availability": 0.99}, route={"exposure": "cluster"}, clusters=clusters)
    assert "http_requests_total" in str(promise(inside, MODEL, "dev"))
    assert "istio_requests_total" not in str(promise(inside, MODEL, "dev"))


def series(name: str, labels: str, values: str) -> dict[str, str]:
    return {"series": f"{name}{{{labels}}}", "values": values}


def latency(metric: str, bound: str, good: int, total: int) -> list[dict[str, str]]:
    return [
        series(f"vllm:{metric}_bucket", f'{WHERE}, le="{bound}"', f"0+{good}x120"),
        series(f"vllm:{metric}_bucket", f'{WHERE}, le="+Inf"', f"0+{total}x120"),
        series(f"vllm:{metric}_count", WHERE, f"0+{total}x120"),
    ]


def answers(code: str, number: int) -> dict[str, str]:
    return series("istio_requests_total", f'{GATEWAY}, response_code="{code}"', f"0+{number}x120")


WELL = [
    *latency("time_to_first_token_seconds", "2.5", 600, 600),
    *latency("inter_token_latency_seconds", "0.05", 60_000, 60_000),
    answers("200", 600),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("input_series", "broken"),
    [
        (WELL, ""),
        ([*latency("time_to_first_token_seconds", "2.5", 400, 600), *WELL[3:]], "ttft"),
        ([*WELL[:3], *latency("inter_token_latency_seconds", "0.05", 40_000, 60_000), answers("200", 600)], "itl"),
        ([*WELL[:6], answers("200", 540), answers("503", 60)], "availability"),
        ([*WELL, answers("429", 600)], ""),
    ],
    ids=["well", "late first tokens", "slow tokens", "errors", "a full queue"],
)
def test_the_engines_own_series_fire_the_alert_of_the_broken_promise(
    fleet: Compiled, tmp_path: Path, input_series: list[dict[str, str]], broken: str
) -> None:
    groups = [promise(fleet, MODEL, "dev"), *(one for one in rendered_groups(fleet, "dev") if one["name"] == "slo")]
    rules = write_rules(tmp_path / "rules.yaml", groups)
    (alert,) = [rule for rule in groups[1]["rules"] if rule.get("alert") == "ErrorBudgetBurnsFast"]
    alert["annotations"].clear()
    write_rules(rules, groups)
    labels = {"severity": "page", "namespace": "chat", "model": MODEL, "owner": "chat", "slo": broken}
    case = {
        "eval_time": "90m",
        "alertname": "ErrorBudgetBurnsFast",
        "exp_alerts": [{"exp_labels": labels}] if broken else [],
    }
    test = {"interval": "1m", "input_series": input_series, "alert_rule_test": [case]}
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [rules.name], "evaluation_interval": "1m", "tests": [test]}), "utf-8")
    promtool("test", "rules", file)
