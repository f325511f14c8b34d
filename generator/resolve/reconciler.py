"""What our reconciler is told on one cluster, where that cluster uses it: its image, its settings and its identity.

A setting that the entry leaves out is not rendered: the reconciler has defaults of its own, and one place for each.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from generator import yamlout
from generator.model.cluster import ClusterSpec
from generator.model.reconciler import Nodes, Reconciler
from generator.skus import Skus

NAMESPACE = "kaitops-system"
"""As `clusters/base/reconciler/` has it."""
NAME = "kaitops-reconciler"
"""Of each of its objects."""
PRICES_FOLDER = "/etc/kaitops"
PRICES_FILE = "prices.yaml"
PREFIX = "RECONCILER_"

Operations = list[dict[str, Any]]
"""A JSON patch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """A ConfigMap whose name carries a hash of its content, so that new prices start new pods."""

    name: str
    key: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcilerView:
    namespace: str
    name: str
    image: str
    digest: str
    deployment: str
    """A JSON patch on its Deployment, as text."""
    service_account: str
    network: str
    prices: Prices | None
    identity: str
    subject: str
    """Who it is for Microsoft Entra, as the token of its service account says."""
    issuer: str
    subnet: str


def build_reconciler(spec: ClusterSpec, scraper: str, prices: Mapping[str, float]) -> ReconcilerView | None:
    """Nothing where somebody else makes the nodes."""
    ours, image = spec.reconciler, spec.images.reconciler
    if spec.kaito.provisioner != "kaitops" or ours is None or image is None:
        return None
    repository, _, digest = image.partition("@")
    table = _prices(prices)
    return ReconcilerView(
        namespace=NAMESPACE,
        name=NAME,
        image=repository,
        digest=digest,
        deployment=yamlout.dump(_deployment(_environment(spec, ours, table), table)),
        service_account=yamlout.dump(_annotations(ours.client_id, spec.azure.tenant)),
        network=yamlout.dump(_scraper(scraper)),
        prices=table,
        identity=ours.identity,
        subject=f"system:serviceaccount:{NAMESPACE}:{NAME}",
        issuer=spec.azure.oidc_issuer,
        subnet=ours.nodes.subnet or "",
    )


def known_prices(spec: ClusterSpec, skus: Skus) -> dict[str, float]:
    """USD per hour in the cluster's region, of the sizes that it allows."""
    known = {name: skus.sizes[name].usd_per_hour for name in sorted(spec.skus) if name in skus.sizes}
    return {name: regions[spec.azure.region] for name, regions in known.items() if spec.azure.region in regions}


def _prices(prices: Mapping[str, float]) -> Prices | None:
    if not prices:
        return None
    text = yamlout.dump(dict(prices))
    return Prices(name=f"{NAME}-{hashlib.sha256(text.encode()).hexdigest()[:8]}", key=PRICES_FILE, text=text)


def _environment(spec: ClusterSpec, ours: Reconciler, prices: Prices | None) -> dict[str, str]:
    azure = spec.azure
    where = {
        "subscription_id": azure.subscription,
        "resource_group": azure.resource_group,
        "cluster_name": azure.cluster,
        "location": azure.region,
        "lease_namespace": NAMESPACE,
        "lease_name": NAME,
        "pool_limit": str(spec.node_pools + ours.pool_reserve),
        "pool_reserve": str(ours.pool_reserve),
        "prices": f"{PRICES_FOLDER}/{PRICES_FILE}" if prices else "",
    }
    settings = {**where, **dict(_waits(ours)), **dict(_nodes(ours.nodes))}
    return {PREFIX + name.upper(): value for name, value in sorted(settings.items()) if value}


def _waits(ours: Reconciler) -> Iterator[tuple[str, str]]:
    yield "launch_timeout", ours.launch_timeout or ""
    yield "create_timeout", ours.create_timeout or ""
    yield "registration_timeout", ours.registration_timeout or ""
    yield "node_repair", "" if ours.node_repair is None else str(ours.node_repair).lower()


def _nodes(nodes: Nodes) -> Iterator[tuple[str, str]]:
    yield "capacity_type", nodes.capacity_type or ""
    yield "spot_max_price", f"{nodes.spot_max_price:g}" if nodes.spot_max_price else ""
    yield "capacity_reservation_group_id", nodes.capacity_reservation or ""
    yield "zones", ",".join(nodes.zones)
    yield "subnet_id", nodes.subnet or ""
    yield "os_sku", nodes.os_sku or ""
    yield "os_disk_type", nodes.os_disk_type or ""
    yield "os_disk_gib", str(nodes.os_disk_gib or "")
    yield "gpu_driver", nodes.gpu_driver or ""
    yield "tags", ",".join(f"{name}={value}" for name, value in sorted(nodes.tags.items()))
    yield "taints", ",".join(nodes.taints)


def _deployment(environment: Mapping[str, str], prices: Prices | None) -> Operations:
    pod = "/spec/template/spec"
    variables = [{"name": name, "value": value} for name, value in environment.items()]
    operations: Operations = [{"op": "add", "path": f"{pod}/containers/0/env", "value": variables}]
    if prices:
        mount = {"name": "prices", "mountPath": PRICES_FOLDER, "readOnly": True}
        volume = {"name": "prices", "configMap": {"name": prices.name}}
        operations += [
            {"op": "add", "path": f"{pod}/containers/0/volumeMounts", "value": [mount]},
            {"op": "add", "path": f"{pod}/volumes", "value": [volume]},
        ]
    return operations


def _annotations(client: str, tenant: str) -> Operations:
    found = {"azure.workload.identity/client-id": client, "azure.workload.identity/tenant-id": tenant}
    return [{"op": "add", "path": "/metadata/annotations", "value": found}]


def _scraper(namespace: str) -> Operations:
    path = "/spec/ingress/0/from/0/namespaceSelector/matchLabels/kubernetes.io~1metadata.name"
    return [{"op": "replace", "path": path, "value": namespace}]
