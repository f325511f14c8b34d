"""Do the rules, as they are written and as each cluster gets them, say what they should, at the right moment?

The tests of the alerts lie beside them, in promtool's own format: `clusters/base/monitoring/tests/`.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from generator.compile import Compiled
from tests.monitoring.promtool import BASE, Group, promtool, rendered_groups, write_rules

CLUSTERS = ("dev", "prod")
FILES = sorted((BASE / "rules").glob("*.yaml"))
Test = dict[str, Any]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def alerts_of(path: Path) -> set[str]:
    return {rule["alert"] for group in load(path)["groups"] for rule in group["rules"] if "alert" in rule}


def written_tests(path: Path) -> list[Test]:
    tests: list[Test] = load(BASE / "tests" / path.name)["tests"]
    return tests


def cases(tests: list[Test], *, firing: bool) -> set[str]:
    """The alerts that some series must fire, or must not."""
    found = (case for test in tests for case in test.get("alert_rule_test", []))
    return {case["alertname"] for case in found if bool(case["exp_alerts"]) is firing}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_alert_has_series_that_fire_it_and_series_that_must_not(path: Path) -> None:
    tests = written_tests(path)
    assert cases(tests, firing=True) == alerts_of(path)
    assert cases(tests, firing=False) == alerts_of(path)


def test_no_test_is_about_a_file_that_is_gone() -> None:
    assert {path.name for path in (BASE / "tests").glob("*.yaml")} == {path.name for path in FILES}


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_promtool_accepts_each_file_and_its_tests_pass(path: Path) -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", path)
    promtool("test", "rules", BASE / "tests" / path.name)


@pytest.mark.slow
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_promtool_accepts_what_each_cluster_gets(fleet: Compiled, cluster: str, tmp_path: Path) -> None:
    rules = write_rules(tmp_path / "rules.yaml", rendered_groups(fleet, cluster))
    count = sum(len(group["rules"]) for group in rendered_groups(fleet, cluster))
    assert f"{count} rules found" in promtool("check", "rules", "--lint=all", "--lint-fatal", rules)


@pytest.mark.slow
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_the_alerts_of_each_cluster_pass_the_same_tests(fleet: Compiled, cluster: str, tmp_path: Path) -> None:
    """Rendering adds the link to the runbook and, for Azure, another spelling: nothing that changes when they fire."""
    groups = {
        group["name"].removeprefix(f"kaitops-kaitops-{cluster}-"): group for group in rendered_groups(fleet, cluster)
    }
    for path in FILES:
        mine = [groups[group["name"]] for group in load(path)["groups"] if group["name"] in groups]
        assert mine or path.stem == "older-engines"
        if mine:
            rules = write_rules(tmp_path / "rules.yaml", mine)
            file = tmp_path / path.name
            file.write_text(yaml.safe_dump(_with_links(path, rules, mine), sort_keys=False), "utf-8")
            promtool("test", "rules", file)


def _with_links(path: Path, rules: Path, groups: list[Group]) -> dict[str, Any]:
    """The tests of a file over other rules, whose alerts link to the runbook."""
    linked = {
        rule["alert"]: rule["annotations"]["runbook_url"]
        for group in groups
        for rule in group["rules"]
        if "alert" in rule
    }
    body: dict[str, Any] = load(path.parents[1] / "tests" / path.name) | {"rule_files": [str(rules)]}
    for case in (case for test in body["tests"] for case in test.get("alert_rule_test", [])):
        for alert in case["exp_alerts"]:
            alert["exp_annotations"]["runbook_url"] = linked[case["alertname"]]
    return body
