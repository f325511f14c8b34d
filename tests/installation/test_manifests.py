"""Does the unit that is rolled out fit the program, the cluster's entry, and what scrapes it?"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from generator.compile import Compiled, compile_catalog
from generator.repository import Repository
from reconciler.nodeclass import NodeClass
from reconciler.prices import read_prices
from reconciler.settings import Settings, read_settings
from tests.generator.test_render import edit, one
from tests.installation.rendered import NAME, NAMESPACE, Object, container, environment, rendered_objects

CLUSTERS = pytest.mark.parametrize("cluster", ["dev", "prod"])
CASES = Path(__file__).parents[1] / "generator" / "cases"
SUBNET = (
    "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/net"
    "/providers/Microsoft.Network/virtualNetworks/hub/subnets/gpus"
)
EVERYTHING = {
    "clientId": "33333333-3333-4333-8333-333333333333",
    "identity": "somebody",
    "poolReserve": 7,
    "launchTimeout": "1h30m",
    "createTimeout": "50m",
    "registrationTimeout": "900s",
    "nodeRepair": False,
    "nodes": {
        "capacityType": "spot",
        "spotMaxPrice": 1.25,
        "zones": ["1", "3"],
        "subnet": SUBNET,
        "osSku": "AzureLinux",
        "osDiskType": "Ephemeral",
        "osDiskGib": 256,
        "gpuDriver": "None",
        "tags": {"team": "ml", "paid-by": "cost center 7"},
        "taints": ["dedicated=models:NoSchedule", "a.example/b:NoExecute"],
    },
}


def deployed(cluster: str) -> Object:
    found: Object = rendered_objects(cluster)["Deployment", NAMESPACE, NAME]["spec"]
    return found


def patched_environment(compiled: Compiled, cluster: str) -> dict[str, str]:
    """The variables, read from the unit's own patch."""
    unit = one(compiled, f"clusters/{cluster}/reconciler/kustomization.yaml")
    (patch,) = [each["patch"] for each in unit["patches"] if each["target"]["kind"] == "Deployment"]
    return {each["name"]: each["value"] for each in yaml.safe_load(patch)[0]["value"]}


@CLUSTERS
def test_the_reconciler_takes_its_settings_and_they_are_the_entry_s(fleet: Compiled, cluster: str) -> None:
    settings = read_settings([], environment(cluster))
    spec = fleet.catalog.clusters[cluster].value.spec
    assert (settings.azure, settings.credential, settings.leader_election) == ("arm", "workload-identity", True)
    assert settings.subscription_id == spec.azure.subscription
    assert settings.resource_group == spec.azure.resource_group
    assert settings.cluster_name == spec.azure.cluster
    assert settings.location == spec.azure.region
    assert (settings.lease_namespace, settings.lease_name) == (NAMESPACE, NAME)
    assert settings.pool_limit - settings.pool_reserve == spec.quota.node_pools
    assert settings.default_class == NodeClass()


def test_every_option_of_the_entry_reaches_the_program(workshop: Repository) -> None:
    edit(workshop, "clusters/dev.yaml", lambda spec: spec.update(reconciler=EVERYTHING))
    settings = read_settings([], patched_environment(compile_catalog(workshop), "dev"))
    assert settings.default_class == NodeClass(
        capacity_type="spot",
        spot_max_price=1.25,
        zones=("1", "3"),
        subnet_id=SUBNET,
        os_sku="AzureLinux",
        os_disk_type="Ephemeral",
        os_disk_gib=256,
        gpu_driver="None",
        tags={"team": "ml", "paid-by": "cost center 7"},
        taints=("dedicated=models:NoSchedule", "a.example/b:NoExecute"),
    )
    waits = (settings.launch_timeout, settings.create_timeout, settings.registration_timeout)
    assert [wait.total_seconds() for wait in waits] == [5400, 3000, 900]
    assert settings.node_repair is False
    assert (settings.pool_limit, settings.pool_reserve) == (47, 7)


def test_the_limit_of_aks_is_never_exceeded(workshop: Repository) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["quota"]["nodePools"] = 100
        spec["reconciler"]["poolReserve"] = 5

    edit(workshop, "clusters/dev.yaml", change)
    settings = read_settings([], patched_environment(compile_catalog(workshop), "dev"))
    assert (settings.pool_limit, settings.pool_reserve) == (100, 5)


@CLUSTERS
def test_ports_and_probes_are_those_that_the_program_serves(cluster: str) -> None:
    settings, pod = Settings(), container(cluster)
    assert {each["name"]: each["containerPort"] for each in pod["ports"]} == {
        "metrics": settings.metrics_port,
        "health": settings.health_port,
    }
    probes = {kind: pod[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: probe["path"] for kind, probe in probes.items()} == {
        "startup": "/livez",
        "liveness": "/livez",
        "readiness": "/readyz",
    }
    assert {probe["port"] for probe in probes.values()} == {"health"}


@CLUSTERS
def test_it_knows_what_its_nodes_cost(fleet: Compiled, cluster: str, tmp_path: Path) -> None:
    settings = read_settings([], environment(cluster))
    (volume,) = deployed(cluster)["template"]["spec"]["volumes"]
    table = rendered_objects(cluster)["ConfigMap", NAMESPACE, volume["configMap"]["name"]]["data"]
    (mount,) = container(cluster)["volumeMounts"]
    ((key, text),) = table.items()
    assert settings.prices == f"{mount['mountPath']}/{key}"
    (tmp_path / key).write_text(text)
    prices = read_prices(str(tmp_path / key), settings.location)
    spec, sizes = fleet.catalog.clusters[cluster].value.spec, fleet.facts.skus.sizes
    known = {size: sizes[size].usd_per_hour.get(spec.azure.region) for size in spec.skus}
    assert prices == {size: price for size, price in known.items() if price is not None}


@CLUSTERS
def test_two_pods_on_two_nodes_that_it_does_not_take_down_itself(cluster: str) -> None:
    spec = deployed(cluster)
    pod = spec["template"]["spec"]
    assert spec["replicas"] == 2
    budget = rendered_objects(cluster)["PodDisruptionBudget", NAMESPACE, NAME]["spec"]
    assert budget["maxUnavailable"] == 1
    labels = spec["template"]["metadata"]["labels"].items()
    assert budget["selector"]["matchLabels"].items() <= labels
    assert all(each["labelSelector"]["matchLabels"].items() <= labels for each in pod["topologySpreadConstraints"])
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert {"key": "karpenter.sh/nodepool", "operator": "DoesNotExist"} in term["matchExpressions"]


@CLUSTERS
def test_a_pod_is_nobody_in_particular_and_writes_nothing(cluster: str) -> None:
    """What Pod Security calls `restricted`, which the namespace demands, and a root that is read-only besides."""
    namespace = rendered_objects(cluster)["Namespace", "", NAMESPACE]["metadata"]["labels"]
    assert namespace["pod-security.kubernetes.io/enforce"] == "restricted"
    pod, security = deployed(cluster)["template"]["spec"], container(cluster)["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert container(cluster)["resources"]["limits"].keys() == {"memory"}


@CLUSTERS
def test_its_image_is_the_entry_s_by_digest(fleet: Compiled, cluster: str) -> None:
    assert container(cluster)["image"] == fleet.catalog.clusters[cluster].value.spec.images.reconciler


@pytest.mark.parametrize(("cluster", "scraper"), [("dev", "monitoring"), ("prod", "kube-system")])
def test_only_the_scraper_reaches_it_and_it_reaches_names_and_tls_alone(cluster: str, scraper: str) -> None:
    policy = rendered_objects(cluster)["NetworkPolicy", NAMESPACE, NAME]["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["podSelector"]["matchLabels"].items() <= deployed(cluster)["template"]["metadata"]["labels"].items()
    assert policy["ingress"] == [
        {
            "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scraper}}}],
            "ports": [{"protocol": "TCP", "port": 8080}],
        }
    ]
    ports = {(port["protocol"], port["port"]) for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {("UDP", 53), ("TCP", 53), ("TCP", 443)}


@CLUSTERS
def test_what_scrapes_it_finds_it_under_the_name_that_the_alerts_read(fleet: Compiled, cluster: str) -> None:
    monitor = one(fleet, f"clusters/{cluster}/monitoring/podmonitor-reconciler.yaml")["spec"]
    assert monitor["namespaceSelector"] == {"matchNames": [NAMESPACE]}
    labels = deployed(cluster)["template"]["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert (endpoint["portNumber"], endpoint["path"]) == (Settings().metrics_port, "/metrics")
    (relabeling,) = endpoint["relabelings"]
    assert (relabeling["targetLabel"], relabeling["replacement"]) == ("component", "reconciler")
    rules = (Path(__file__).parents[2] / "clusters/base/monitoring/rules/reconciler.yaml").read_text()
    assert 'absent(up{component="reconciler"} == 1)' in rules


@CLUSTERS
def test_it_comes_before_any_model(fleet: Compiled, cluster: str) -> None:
    assert fleet.rendering is not None
    waves = {
        document.body["metadata"]["labels"]["kaitops.dev/unit"]: int(
            document.body["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]
        )
        for document in fleet.rendering.documents
        if document.path.startswith(f"clusters/{cluster}/gitops/application-")
    }
    models = {path.stem for path in (Path(__file__).parents[2] / "catalog" / "models").glob("*.yaml")}
    assert waves["namespaces"] < waves["reconciler"] < min(waves[unit] for unit in waves.keys() & models)


@CLUSTERS
def test_what_can_be_granted_by_name_is(cluster: str) -> None:
    """Anything else would let it read every namespace, or take any lease of its own namespace."""
    named = {
        (kind, resource, verb)
        for (kind, _, _), body in rendered_objects(cluster).items()
        if kind in ("ClusterRole", "Role")
        for rule in body["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if rule.get("resourceNames")
    }
    assert named == {("ClusterRole", "namespaces", "get"), ("Role", "leases", "get"), ("Role", "leases", "update")}


@CLUSTERS
def test_roles_are_bound_to_its_account_alone(cluster: str) -> None:
    account = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    roles = {key for key in rendered_objects(cluster) if key[0] in ("ClusterRole", "Role")}
    bound = set()
    for (kind, namespace, _), body in rendered_objects(cluster).items():
        if kind in ("ClusterRoleBinding", "RoleBinding"):
            assert body["subjects"] == [account]
            bound.add((body["roleRef"]["kind"], namespace, body["roleRef"]["name"]))
    assert bound == roles


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_where_somebody_else_makes_the_nodes_nothing_of_it_is_rendered(case: str) -> None:
    """The add-on, Karpenter, gpu-provisioner and nodes of one's own."""
    files = [path.relative_to(CASES / case).as_posix() for path in (CASES / case / "expected").rglob("*")]
    assert files
    assert not [path for path in files if "reconciler" in path]
