"""Would Azure take the ARM template? Its own SDK's models read it, and its limits are counted."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from azure.mgmt.prometheusrulegroups.models import PrometheusRuleGroupResource

from generator.compile import Compiled
from generator.monitoring.azure import RULES_IN_A_GROUP, Target, duration, template
from generator.monitoring.rules import Group, Rule
from tests.monitoring.promtool import rendered_groups

LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
TARGET = Target(cluster="aks", resource="/subscriptions/s/managedClusters/aks", region="eastus")


@pytest.fixture
def arm(fleet: Compiled) -> dict[str, Any]:
    assert fleet.rendering is not None
    (text,) = [one.text for one in fleet.rendering.attachments if one.path.endswith("/prometheus-rules.json")]
    body: dict[str, Any] = json.loads(text)
    return body


def ours(arm: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in arm["resources"].values() if not one.get("existing")]


def group(name: str, count: int) -> Group:
    return Group(name, tuple(Rule(record=f"{name}:{number}", expr="vector(1)") for number in range(count)))


def names(arm: dict[str, Any]) -> dict[str, list[str]]:
    return {one["name"]: [rule["record"] for rule in one["properties"]["rules"]] for one in ours(arm)}


def test_azures_own_models_read_every_group(arm: dict[str, Any]) -> None:
    groups = ours(arm)
    assert groups
    for body in groups:
        resource = PrometheusRuleGroupResource({**body, "properties": _without_expressions(body["properties"])})
        properties = resource.properties
        assert properties.interval == timedelta(minutes=1)
        assert properties.cluster_name == "kaitops-prod"
        for rule in properties.rules:
            assert bool(rule.record) != bool(rule.alert)
            assert rule.expression
            assert rule.severity in ({0, 2, 3} if rule.alert else {None})
            assert rule.for_property is None or rule.for_property >= timedelta(minutes=1)


def _without_expressions(properties: dict[str, Any]) -> dict[str, Any]:
    """The same as ARM would send it, with one action group named at the deployment."""
    rules = [
        rule | ({"actions": [{"actionGroupId": "g"}]} if "actions" in rule else {}) for rule in properties["rules"]
    ]
    return properties | {"rules": rules}


def test_no_field_is_one_that_azures_models_do_not_know(arm: dict[str, Any]) -> None:
    """The SDK's models keep what they do not know; the service refuses it."""
    group_fields = {"description", "enabled", "clusterName", "scopes", "interval", "rules"}
    record_fields = {"record", "enabled", "expression", "labels"}
    alert_fields = {"alert", "for", "annotations", "severity", "resolveConfiguration", "actions"}
    for body in ours(arm):
        assert set(body["properties"]) == group_fields
        for rule in body["properties"]["rules"]:
            assert set(rule) <= record_fields | ({*alert_fields} - {"record"} if "alert" in rule else set())
            assert all(LABEL.fullmatch(label) for label in rule.get("labels", {}))


def test_groups_keep_azures_limits_and_have_names_of_their_own(arm: dict[str, Any]) -> None:
    groups = ours(arm)
    assert all(0 < len(body["properties"]["rules"]) <= RULES_IN_A_GROUP for body in groups)
    assert len({body["name"] for body in groups}) == len(groups)


def test_microsofts_groups_are_referred_to_and_not_made_again(arm: dict[str, Any]) -> None:
    existing = {symbol: one["name"] for symbol, one in arm["resources"].items() if one.get("existing")}
    assert existing == {
        "nodeRecordingRulesRuleGroup": "NodeRecordingRulesRuleGroup-kaitops-prod",
        "kubernetesRecordingRulesRuleGroup": "KubernetesRecordingRulesRuleGroup-kaitops-prod",
    }
    assert arm["languageVersion"] == "2.0"
    for symbol in existing:
        assert arm["outputs"][symbol]["value"] == f"[reference('{symbol}').enabled]"


def test_nothing_azure_specific_is_written_into_the_template_but_the_cluster(arm: dict[str, Any]) -> None:
    """The workspace and who is notified are known where it is deployed."""
    assert set(arm["parameters"]) == {"workspace", "location", "actionGroups"}
    assert "defaultValue" not in arm["parameters"]["workspace"]
    for body in ours(arm):
        workspace, cluster = body["properties"]["scopes"]
        assert workspace == "[parameters('workspace')]"
        assert cluster.endswith("/providers/Microsoft.ContainerService/managedClusters/kaitops-prod")


def test_azure_gets_the_rules_that_the_operator_gets(fleet: Compiled) -> None:
    """Both committed clusters have the same parts, so every rule about all models is on both."""

    def rules(cluster: str) -> set[tuple[str, str]]:
        found = (rule for group in rendered_groups(fleet, cluster) for rule in group["rules"])
        return {
            (rule.get("record") or rule["alert"], rule["expr"])
            for rule in found
            if "model" not in rule.get("labels", {})
        }

    assert rules("prod") == rules("dev")


def test_a_group_that_is_too_long_is_split_in_order() -> None:
    found = names(template(TARGET, [group("long", 45)], [], []))
    assert [len(rules) for rules in found.values()] == [20, 20, 5]
    assert list(found) == ["kaitops-aks-long-1", "kaitops-aks-long-2", "kaitops-aks-long-3"]
    assert [record for rules in found.values() for record in rules] == [f"long:{number}" for number in range(45)]


def test_small_groups_share_one_and_stay_whole() -> None:
    found = names(template(TARGET, [], [group("a", 11), group("b", 8), group("c", 11), group("d", 1)], []))
    assert [len(rules) for rules in found.values()] == [19, 12]
    assert found["kaitops-aks-promises-2"][0] == "c:0"


def test_a_text_that_begins_with_a_bracket_is_no_expression_of_arms() -> None:
    rule = Rule(
        alert="A", expr="up", labels={"severity": "page"}, annotations={"summary": "[down]", "description": "a [b]"}
    )
    (body,) = ours(template(TARGET, [Group("g", (rule,))], [], []))
    (alert,) = body["properties"]["rules"]
    assert alert["annotations"] == {"summary": "[[down]", "description": "a [b]"}


@pytest.mark.parametrize(("text", "iso"), [("5m", "PT5M"), ("6h", "PT6H"), ("2d", "P2D")])
def test_durations_are_spelled_as_iso_8601(text: str, iso: str) -> None:
    assert duration(text) == iso
