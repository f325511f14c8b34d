"""What must Azure know before our reconciler may sign in there? One ARM template a cluster, outside of GitOps.

It makes the identity, says that the cluster's service account is it, and lets it do exactly what the reconciler asks
of Azure, on this cluster alone. Deployed again it changes nothing. Whoever deploys it may assign roles; the
reconciler may not.
"""

import uuid
from collections.abc import Iterator
from typing import Any

from generator import jsonout
from generator.document import Document
from generator.finding import Place
from generator.resolve.platform import Platform
from generator.resolve.reconciler import ReconcilerView

FILE = "reconciler.json"
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
AUDIENCE = "api://AzureADTokenExchange"
CLUSTER = "Microsoft.ContainerService/managedClusters"
ACTIONS = (
    f"{CLUSTER}/read",
    f"{CLUSTER}/agentPools/read",
    f"{CLUSTER}/agentPools/write",
    f"{CLUSTER}/agentPools/delete",
)
"""No poller asks for operations, hence no right to read them: the LIST of node pools tells how each request ended."""
JOIN = "Microsoft.Network/virtualNetworks/subnets/join/action"
"""Azure asks for it of whoever names a subnet in a node pool."""
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
IDENTITY_API = "2024-11-30"
AUTHORIZATION_API = "2022-04-01"
DEPLOYMENT_API = "2022-09-01"
PRINCIPAL = "[reference('identity').principalId]"

Json = dict[str, Any]


def identity_files(platform: Platform) -> Iterator[Document]:
    """The template, where the cluster runs the reconciler."""
    if platform.reconciler:
        body = template(platform.resource, platform.region, platform.reconciler)
        path = f"clusters/{platform.name}/azure/{FILE}"
        yield Document(path, jsonout.dump(body), body, Place(platform.source))


def template(cluster: str, region: str, view: ReconcilerView) -> Json:
    """The whole template.

    Args:
        cluster: ARM id of the AKS cluster, in whose resource group the template is deployed.
        region: Where the identity is made.
        view: The reconciler on this cluster.
    """
    resources = {
        "identity": _identity(view, region),
        "federatedCredential": _federated_credential(cluster, view),
        "role": _role(cluster, view),
        "assignment": {**_assignment(cluster, cluster, PRINCIPAL), "dependsOn": ["role"]},
    }
    if view.subnet:
        resources["subnetAssignment"] = _subnet_assignment(cluster, view.subnet)
    client = {"type": "string", "value": "[reference('identity').clientId]"}
    return {
        "$schema": SCHEMA,
        "languageVersion": "2.0",
        "contentVersion": "1.0.0.0",
        "resources": resources,
        "outputs": {"clientId": client},
    }


def _identity(view: ReconcilerView, region: str) -> Json:
    return {"type": IDENTITY, "apiVersion": IDENTITY_API, "name": view.identity, "location": region}


def _federated_credential(cluster: str, view: ReconcilerView) -> Json:
    return {
        "type": f"{IDENTITY}/federatedIdentityCredentials",
        "apiVersion": IDENTITY_API,
        "name": f"{view.identity}/{_last(cluster)}",
        "dependsOn": ["identity"],
        "properties": {"issuer": view.issuer, "subject": view.subject, "audiences": [AUDIENCE]},
    }


def _role(cluster: str, view: ReconcilerView) -> Json:
    """A role's display name is unique in a tenant, so it carries the cluster's whole id."""
    scopes = [_group(cluster)]
    if view.subnet and _group(view.subnet) != scopes[0]:
        scopes.append(_group(view.subnet))
    actions = [*ACTIONS, *((JOIN,) if view.subnet else ())]
    return {
        "type": "Microsoft.Authorization/roleDefinitions",
        "apiVersion": AUTHORIZATION_API,
        "name": _role_name(cluster),
        "properties": {
            "roleName": f"kaitops reconciler of {cluster}",
            "description": "Makes and deletes the node pools of KAITO's NodeClaims",
            "type": "CustomRole",
            "permissions": [{"actions": actions, "notActions": [], "dataActions": [], "notDataActions": []}],
            "assignableScopes": scopes,
        },
    }


def _assignment(cluster: str, scope: str, principal: str) -> Json:
    return {
        "type": "Microsoft.Authorization/roleAssignments",
        "apiVersion": AUTHORIZATION_API,
        "scope": scope,
        "name": _stable_id("assignment", cluster, scope),
        "properties": {
            "roleDefinitionId": _role_id(cluster),
            "principalId": principal,
            # Azure looks for the identity itself otherwise, and may not find it in its first minutes.
            "principalType": "ServicePrincipal",
        },
    }


def _subnet_assignment(cluster: str, subnet: str) -> Json:
    """A network has a resource group of its own as a rule, and a deployment reaches another group by a nested one."""
    inner = {
        "$schema": SCHEMA,
        "contentVersion": "1.0.0.0",
        "parameters": {"principal": {"type": "string"}},
        "resources": [_assignment(cluster, subnet, "[parameters('principal')]")],
    }
    return {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": DEPLOYMENT_API,
        "name": f"{_last(cluster)}-reconciler-subnet",
        "subscriptionId": subnet.split("/")[2],
        "resourceGroup": subnet.split("/")[4],
        "dependsOn": ["role"],
        "properties": {
            "mode": "Incremental",
            "expressionEvaluationOptions": {"scope": "inner"},
            "parameters": {"principal": {"value": PRINCIPAL}},
            "template": inner,
        },
    }


def _role_name(cluster: str) -> str:
    return _stable_id("role", cluster)


def _role_id(cluster: str) -> str:
    """Where the deployment makes it: in the cluster's resource group."""
    return f"{_group(cluster)}/providers/Microsoft.Authorization/roleDefinitions/{_role_name(cluster)}"


def _group(resource: str) -> str:
    return "/".join(resource.split("/")[:5])


def _last(resource: str) -> str:
    return resource.rpartition("/")[2]


def _stable_id(*parts: str) -> str:
    """Azure names roles and assignments by UUIDs; the same thing has the same one in each rendering."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(("kaitops-reconciler", *parts))))
