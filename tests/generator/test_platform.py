"""What the platform's units say once kustomize has joined overlay, base and components."""

from functools import cache
from pathlib import Path
from typing import Any

from generator.checks.build import build_units
from generator.compile import Compiled
from generator.repository import Repository

ROOT = Path(__file__).parents[2]
LOAD_BALANCER = "service.beta.kubernetes.io/"


@cache
def objects(unit: str) -> tuple[dict[str, Any], ...]:
    (built,) = build_units(Repository(ROOT), [f"clusters/{unit}"])
    assert not built.error
    return built.objects


def one(unit: str, kind: str, name: str, *, namespace: str = "gateway") -> dict[str, Any]:
    wanted = (kind, name, namespace)
    (body,) = [
        body
        for body in objects(unit)
        if (body["kind"], body["metadata"]["name"], body["metadata"].get("namespace")) == wanted
    ]
    return body


def test_the_load_balancer_probes_each_gateway_by_tcp_on_the_port_it_listens_on() -> None:
    """By default Azure asks `GET /`, and a gateway that answers 404 or 403 there is never in service."""
    for cluster, port in (("dev", 80), ("prod", 443)):
        spec = one(f"{cluster}/gateway", "Gateway", "inference-gateway")["spec"]
        probes = {key: value for key, value in spec["infrastructure"]["annotations"].items() if "health-probe" in key}
        assert [listener["port"] for listener in spec["listeners"]] == [port]
        assert probes == {f"{LOAD_BALANCER}port_{port}_health-probe_protocol": "tcp"}


def test_only_an_internal_gateway_asks_for_an_internal_address() -> None:
    annotation = f"{LOAD_BALANCER}azure-load-balancer-internal"
    dev, prod = (one(f"{cluster}/gateway", "Gateway", "inference-gateway")["spec"] for cluster in ("dev", "prod"))
    assert dev["infrastructure"]["annotations"][annotation] == "true"
    assert annotation not in prod["infrastructure"]["annotations"]


def test_the_autoscaler_reaches_models_from_wherever_keda_is_installed() -> None:
    """AKS's add-on puts KEDA, and with it keda-kaito-scaler, into `kube-system`; the chart into `keda`."""
    policy = one("dev/namespaces", "NetworkPolicy", "allow-autoscaler", namespace="chat")
    (rule,) = policy["spec"]["ingress"]
    (peer,) = rule["from"]
    (expression,) = peer["namespaceSelector"]["matchExpressions"]
    assert expression == {
        "key": "kubernetes.io/metadata.name",
        "operator": "In",
        "values": ["keda", "kube-system"],
    }


def test_every_namespace_of_models_lets_in_its_neighbours_the_gateway_and_the_scraper_alone() -> None:
    for cluster, scraper in (("dev", "monitoring"), ("prod", "kube-system")):
        for namespace in ("bloomz", "chat", "search"):
            policies = {
                body["metadata"]["name"]: body["spec"]
                for body in objects(f"{cluster}/namespaces")
                if body["kind"] == "NetworkPolicy" and body["metadata"]["namespace"] == namespace
            }
            assert "ingress" not in policies["default-deny"]
            assert policies["allow-same-namespace"]["ingress"] == [{"from": [{"podSelector": {}}]}]
            for name, peer in (("allow-gateway", "gateway"), ("allow-monitoring", scraper)):
                (rule,) = policies[name]["ingress"]
                assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": peer}}}]
                assert rule["ports"] == [{"protocol": "TCP", "port": 5000}]
            assert set(policies) == {
                "allow-autoscaler",
                "allow-gateway",
                "allow-monitoring",
                "allow-same-namespace",
                "default-deny",
            }


CLUSTER_SCOPED = {
    "ClusterRole",
    "ClusterRoleBinding",
    "Namespace",
    "PersistentVolume",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


def test_the_project_lets_argo_cd_apply_every_object_of_every_unit(fleet: Compiled) -> None:
    """One kind or one namespace that the project does not name fails the whole sync of its unit."""
    for cluster in fleet.catalog.clusters:
        for application in objects(f"{cluster}/gitops"):
            if application["kind"] == "Application":
                name = application["spec"]["project"]
                project = one(f"{cluster}/gitops", "AppProject", name, namespace="argocd")["spec"]
                for body in objects(application["spec"]["source"]["path"].removeprefix("clusters/")):
                    assert lets_in(project, body), (name, body)


def lets_in(project: Any, body: Any) -> bool:
    group = body["apiVersion"].rpartition("/")[0]
    if body["kind"] not in CLUSTER_SCOPED:
        kinds = project.get("namespaceResourceWhitelist")  # none: every namespaced kind
        is_kind = kinds is None or {"group": group, "kind": body["kind"]} in kinds
        return is_kind and body["metadata"]["namespace"] in [place["namespace"] for place in project["destinations"]]
    # Rights over the cluster are let in by name: the kind alone would let in every right.
    named = {"name": body["metadata"]["name"]} if "rbac" in group else {}
    return {"group": group, "kind": body["kind"], **named} in project["clusterResourceWhitelist"]


def test_a_gateway_with_auth_lets_nobody_in_without_a_token() -> None:
    """The first object checks a token that is there, the second one demands that there is one."""
    gateway = [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "inference-gateway"}]
    checked = one("prod/gateway", "RequestAuthentication", "inference-gateway")["spec"]
    demanded = one("prod/gateway", "AuthorizationPolicy", "inference-gateway")["spec"]
    assert checked["targetRefs"] == demanded["targetRefs"] == gateway
    assert checked["jwtRules"][0]["issuer"] == "https://login.example.com/v2.0"
    assert demanded["action"] == "ALLOW"
    assert demanded["rules"] == [{"from": [{"source": {"requestPrincipals": ["*"]}}]}]


def test_only_namespaces_of_models_may_attach_routes_to_the_gateway() -> None:
    for cluster in ("dev", "prod"):
        (listener,) = one(f"{cluster}/gateway", "Gateway", "inference-gateway")["spec"]["listeners"]
        admitted = listener["allowedRoutes"]["namespaces"]
        assert admitted["from"] == "Selector"
        for body in objects(f"{cluster}/namespaces"):
            if body["kind"] == "Namespace":
                assert admitted["selector"]["matchLabels"].items() <= body["metadata"]["labels"].items()
