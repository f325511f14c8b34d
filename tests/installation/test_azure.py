"""Does the template give the reconciler in Azure what it asks for, no less and no more, and would Azure take it?

What it asks for is read from the requests that its own adapter sends through the SDK; what Azure takes are the models
of Azure's SDK.
"""

import asyncio
import inspect
import re
import uuid
from dataclasses import replace
from typing import Any

import pytest
from azure.mgmt.authorization.v2022_04_01.models import Permission, RoleAssignmentCreateParameters, RoleDefinition
from azure.mgmt.msi.v2024_11_30.models import FederatedIdentityCredential, Identity

from generator.compile import Compiled, compile_catalog
from generator.identity import template
from generator.repository import Repository
from generator.resolve.reconciler import ReconcilerView
from reconciler.azure.port import AgentPools
from reconciler.settings import read_settings
from tests.fakearm import Bench, Seen, run_over_http
from tests.generator.test_render import edit, one
from tests.installation.rendered import environment, rendered_objects
from tests.reconciler.making import a_desired

Json = dict[str, Any]

CLUSTER = (
    "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/fleet"
    "/providers/Microsoft.ContainerService/managedClusters/aks"
)
NETWORK = "/subscriptions/22222222-2222-4222-8222-222222222222/resourceGroups/network"
SUBNET = f"{NETWORK}/providers/Microsoft.Network/virtualNetworks/hub/subnets/gpus"
RESERVED = f"{NETWORK}/providers/Microsoft.Compute/capacityReservationGroups/a100"
HOUR = 3600.0
VERBS = {"GET": "read", "PUT": "write", "DELETE": "delete"}


def view(subnet: str = "") -> ReconcilerView:
    return ReconcilerView(
        namespace="kaitops-system",
        name="kaitops-reconciler",
        image="i",
        digest="d",
        deployment="",
        service_account="",
        network="",
        prices=None,
        identity="kaitops-reconciler",
        subject="system:serviceaccount:kaitops-system:kaitops-reconciler",
        issuer="https://oidc.example.com/aks/",
        subnet=subnet,
    )


def resources(subnet: str = "") -> dict[str, Json]:
    found: dict[str, Json] = template(CLUSTER, "eastus", view(subnet))["resources"]
    return found


def allowed(role: Json) -> set[str]:
    (permission,) = role["properties"]["permissions"]
    return set(permission["actions"])


def asked(seen: Seen) -> set[str]:
    """The actions that Azure demands for a request: of its path, and of what its body links to."""
    path = seen.path.split("/providers/")[-1]
    provider, *rest = path.split("/")
    kinds = "/".join(rest[::2])
    linked = ((seen.body or {}).get("properties") or {}).get("vnetSubnetID")
    return {f"{provider}/{kinds}/{VERBS[seen.method]}"} | (
        {"Microsoft.Network/virtualNetworks/subnets/join/action"} if linked else set()
    )


def sent(subnet: str) -> set[str]:
    """What Azure is asked by every method of the port."""

    async def scenario(bench: Bench) -> set[str]:
        pools, plain = bench.pools, a_desired()
        desired = replace(plain, node_class=replace(plain.node_class, subnet_id=subnet))
        await pools.cluster()
        await pools.create(desired)
        await asyncio.sleep(HOUR)  # in virtual time: AKS makes one change at a time
        (pool,) = [each for each in await pools.list() if each.name == desired.name]
        await pools.tag(pool.name, pool.etag, {"a": "b"})
        await asyncio.sleep(HOUR)
        await pools.delete(pool.name, "")
        return set().union(*map(asked, bench.arm.seen))

    return run_over_http(scenario)


def test_every_method_of_the_port_is_tried() -> None:
    """One more would ask for something that `sent` does not know of."""
    methods = {name for name, _ in inspect.getmembers(AgentPools, inspect.isfunction) if not name.startswith("_")}
    assert methods == {"cluster", "create", "delete", "list", "tag"}


@pytest.mark.parametrize("subnet", ["", SUBNET], ids=["without a subnet", "with a subnet"])
def test_the_role_allows_exactly_what_the_adapter_asks_for(subnet: str) -> None:
    assert allowed(resources(subnet)["role"]) == sent(subnet)


def test_the_role_has_no_wildcard_and_no_data() -> None:
    (permission,) = resources(SUBNET)["role"]["properties"]["permissions"]
    assert not [action for action in permission["actions"] if "*" in action]
    assert permission["dataActions"] == []


def test_it_is_assigned_on_the_cluster_alone_and_to_the_identity_that_the_template_makes() -> None:
    found = resources()
    assignment = found["assignment"]
    assert assignment["scope"] == CLUSTER
    assert assignment["properties"]["principalId"] == "[reference('identity').principalId]"
    group, name = CLUSTER.partition("/providers/")[0], found["role"]["name"]
    place = f"{group}/providers/Microsoft.Authorization/roleDefinitions/{name}"
    assert assignment["properties"]["roleDefinitionId"] == place
    assert found["role"]["properties"]["assignableScopes"] == [CLUSTER.partition("/providers/")[0]]
    assert "subnetAssignment" not in found


def test_with_a_subnet_it_is_assigned_there_too_in_the_network_s_own_group() -> None:
    found = resources(SUBNET)
    nested = found["subnetAssignment"]
    assert (nested["subscriptionId"], nested["resourceGroup"]) == (SUBNET.split("/")[2], "network")
    (assignment,) = nested["properties"]["template"]["resources"]
    assert assignment["scope"] == SUBNET
    assert assignment["name"] != found["assignment"]["name"]
    assert found["role"]["properties"]["assignableScopes"] == [CLUSTER.partition("/providers/")[0], NETWORK]


def test_azures_own_models_read_every_resource() -> None:
    """What they do not know they drop: written again, each must be what it was."""
    found = resources(SUBNET)
    (nested,) = found["subnetAssignment"]["properties"]["template"]["resources"]
    role = found["role"]["properties"]
    permission = Permission.deserialize(role["permissions"][0])
    assert permission.serialize() == role["permissions"][0]
    read = RoleDefinition.deserialize({"properties": role})
    assert read.serialize(keep_readonly=True)["properties"] == role
    for one_ in (found["assignment"], nested):
        assignment = RoleAssignmentCreateParameters.deserialize({"properties": one_["properties"]})
        assert assignment.serialize() == {"properties": one_["properties"]}
        assert assignment.principal_type == "ServicePrincipal"
    credential = found["federatedCredential"]["properties"]
    assert FederatedIdentityCredential.deserialize({"properties": credential}).serialize() == {"properties": credential}
    assert Identity.deserialize({"location": found["identity"]["location"]}).serialize() == {"location": "eastus"}


def test_names_are_stable_and_differ_between_clusters() -> None:
    first, again, other = resources(), resources(), template(f"{CLUSTER}2", "eastus", view())["resources"]
    for symbol in ("role", "assignment"):
        assert uuid.UUID(first[symbol]["name"])
        assert first[symbol]["name"] == again[symbol]["name"] != other[symbol]["name"]
    assert first["role"]["properties"]["roleName"] != other["role"]["properties"]["roleName"]


def test_nothing_depends_on_what_is_not_there() -> None:
    found = resources(SUBNET)
    for resource in found.values():
        assert set(resource.get("dependsOn", ())) <= set(found)
        for symbol in re.findall(r"reference\('(\w+)'\)", str(resource)):
            assert symbol in found


@pytest.mark.parametrize("cluster", ["dev", "prod"])
def test_the_committed_template_speaks_of_the_pod_that_is_rolled_out(fleet: Compiled, cluster: str) -> None:
    assert fleet.rendering is not None
    (document,) = [
        each for each in fleet.rendering.attachments if each.path == f"clusters/{cluster}/azure/reconciler.json"
    ]
    found = document.body["resources"]
    spec = fleet.catalog.clusters[cluster].value.spec
    assert spec.reconciler is not None
    account = rendered_objects(cluster)["ServiceAccount", "kaitops-system", "kaitops-reconciler"]
    pod = rendered_objects(cluster)["Deployment", "kaitops-system", "kaitops-reconciler"]["spec"]["template"]
    credential = found["federatedCredential"]["properties"]
    place = account["metadata"]
    assert credential["subject"] == f"system:serviceaccount:{place['namespace']}:{place['name']}"
    assert credential["issuer"] == spec.azure.oidc_issuer
    assert credential["audiences"] == ["api://AzureADTokenExchange"]
    assert pod["spec"]["serviceAccountName"] == place["name"]
    assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert place["annotations"]["azure.workload.identity/client-id"] == spec.reconciler.client_id
    assert place["annotations"]["azure.workload.identity/tenant-id"] == spec.azure.tenant
    settings = read_settings([], environment(cluster))
    assert found["assignment"]["scope"] == (
        f"/subscriptions/{settings.subscription_id}/resourceGroups/{settings.resource_group}"
        f"/providers/Microsoft.ContainerService/managedClusters/{settings.cluster_name}"
    )


def test_a_capacity_reservation_of_the_entry_reaches_the_pod(workshop: Repository) -> None:
    edit(workshop, "clusters/dev.yaml", lambda spec: spec["reconciler"].update(nodes={"capacityReservation": RESERVED}))
    compiled = compile_catalog(workshop)
    assert compiled.rendering is not None
    kustomization = compiled.rendering.tree["clusters/dev/reconciler/kustomization.yaml"]
    variable = "RECONCILER_CAPACITY_RESERVATION_GROUP_ID"
    assert re.search(rf"- name: {variable}\n\s+value: {RESERVED}\n", kustomization)
    settings = read_settings([], {**environment("dev"), variable: RESERVED})
    assert settings.node_class("default").capacity_reservation_group_id == RESERVED


def test_a_subnet_of_the_entry_reaches_the_pod_and_the_role(workshop: Repository) -> None:
    edit(workshop, "clusters/dev.yaml", lambda spec: spec["reconciler"].update(nodes={"subnet": SUBNET}))
    compiled = compile_catalog(workshop)
    assert compiled.rendering is not None
    assert f"value: {SUBNET}" in compiled.rendering.tree["clusters/dev/reconciler/kustomization.yaml"]
    (document,) = [each for each in compiled.rendering.attachments if "/dev/azure/reconciler" in each.path]
    assert "subnetAssignment" in document.body["resources"]
    assert one(compiled, "clusters/dev/reconciler/kustomization.yaml")
