"""Is everything that rules read scraped, with the labels that they ask for, by whichever Prometheus the cluster has?"""

from typing import Any

import pytest

from generator.checks.build import build_units
from generator.compile import Compiled
from generator.monitoring.promql import read
from generator.repository import Repository
from tests.monitoring.promtool import ROOT, rendered_groups

CLUSTERS = {"dev": "monitoring.coreos.com/v1", "prod": "azmonitoring.coreos.com/v1"}
Body = dict[str, Any]


def built(cluster: str) -> tuple[Body, ...]:
    (unit,) = build_units(Repository(ROOT), [f"clusters/{cluster}/monitoring"])
    assert not unit.error
    return unit.objects


def of_kind(cluster: str, kind: str) -> dict[str, Body]:
    return {body["metadata"]["name"]: body for body in built(cluster) if body["kind"] == kind}


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_every_part_that_a_rule_names_is_scraped_under_that_name(fleet: Compiled, cluster: str) -> None:
    rules = [rule for group in rendered_groups(fleet, cluster) for rule in group["rules"]]
    named = {selector.component for rule in rules for selector in read(rule["expr"]).selectors} - {""}
    scraped = {
        relabeling["replacement"]
        for monitor in of_kind(cluster, "PodMonitor").values()
        for endpoint in monitor["spec"]["podMetricsEndpoints"]
        for relabeling in endpoint["relabelings"]
        if relabeling["targetLabel"] == "component"
    }
    assert named
    assert named <= scraped


@pytest.mark.parametrize(("cluster", "api"), CLUSTERS.items())
def test_each_prometheus_gets_monitors_of_its_own_group(cluster: str, api: str) -> None:
    monitors = of_kind(cluster, "PodMonitor")
    assert {body["apiVersion"] for body in monitors.values()} == {api}
    limits = {"labelLimit", "labelNameLengthLimit", "labelValueLengthLimit"}
    for body in monitors.values():
        assert (limits <= set(body["spec"])) is (cluster == "prod")


def test_the_operator_finds_every_rule_and_monitor_by_the_label_that_it_looks_for(fleet: Compiled) -> None:
    """As its chart installs it, Prometheus loads nothing that does not carry the release's name."""
    assert fleet.rendering is not None
    kinds = {"PodMonitor", "PrometheusRule"}
    for one in fleet.rendering.documents:
        if one.body["kind"] in kinds and one.path.startswith("clusters/dev/"):
            assert one.body["metadata"]["labels"]["release"] == "kube-prometheus-stack", one.path


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_the_state_of_kaitos_objects_is_served_scraped_and_keeps_its_own_namespaces(cluster: str) -> None:
    monitor = of_kind(cluster, "PodMonitor")["kaito-state"]["spec"]
    deployment = of_kind(cluster, "Deployment")["kaito-state-metrics"]
    template = deployment["spec"]["template"]
    (container,) = template["spec"]["containers"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert monitor["namespaceSelector"]["matchNames"] == [deployment["metadata"]["namespace"]]
    assert endpoint["portNumber"] in {port["containerPort"] for port in container["ports"]}
    assert endpoint["honorLabels"] is True  # else a Workspace's namespace would become `exported_namespace`
    assert container["image"] == f"registry.example.com/kube-state-metrics@sha256:{'0' * 64}"


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_its_configuration_reaches_its_pod_and_its_account_its_rights(cluster: str) -> None:
    deployment = of_kind(cluster, "Deployment")["kaito-state-metrics"]["spec"]["template"]["spec"]
    (volume,) = deployment["volumes"]
    config = of_kind(cluster, "ConfigMap")[volume["configMap"]["name"]]
    assert "CustomResourceStateMetrics" in config["data"]["config.yaml"]
    assert volume["configMap"]["name"] != "kaito-state-metrics"  # a hash follows, so that an edit starts a new pod
    (subject,) = of_kind(cluster, "ClusterRoleBinding")["kaito-state-metrics"]["subjects"]
    account = of_kind(cluster, "ServiceAccount")[deployment["serviceAccountName"]]
    assert (subject["name"], subject["namespace"]) == (account["metadata"]["name"], account["metadata"]["namespace"])


def test_only_a_cluster_without_the_operator_makes_the_namespace() -> None:
    """The operator's own namespace also holds node-exporter, which a `restricted` namespace would refuse."""
    assert not of_kind("dev", "Namespace")
    assert set(of_kind("prod", "Namespace")) == {"monitoring"}


def test_the_rules_of_a_model_come_after_what_they_watch(fleet: Compiled) -> None:
    assert fleet.rendering is not None
    rules = [
        one.body
        for one in fleet.rendering.documents
        if one.body["kind"] == "PrometheusRule" and "/monitoring/" not in one.path
    ]
    assert rules
    assert {body["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"] for body in rules} == {"20"}
