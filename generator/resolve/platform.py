"""A `Cluster` becomes what its platform units show: namespaces, the gateway, what watches, and the GitOps engine."""

from collections.abc import Iterator
from dataclasses import dataclass

from generator import yamlout
from generator.load import Entry
from generator.model import Cluster
from generator.model.cluster import ClusterSpec, Namespace
from generator.monitoring.library import Library
from generator.resolve.routing import GATEWAY
from generator.resolve.watch import WatchView, build_watch

POLICIES = "kaitops-policies"
"""Namespace and name of the policies' parameters; the bindings in `policies/` name it."""
RBAC = "rbac.authorization.k8s.io"
STATE_METRICS = "kaito-state-metrics"
IN_CLUSTER = "https://kubernetes.default.svc"
CLUSTER_KINDS = (
    ("", "Namespace"),
    ("", "PersistentVolume"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
)
LABELS = {"app.kubernetes.io/managed-by": "kaitops"}
AZURE_SCRAPER = "kube-system"
"""Azure's managed Prometheus agent runs there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A JSON patch on one object of a base, as text."""

    kind: str
    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceView:
    name: str
    labels: dict[str, str]
    owners: str
    gpus: int
    persistent_volume_claims: int
    load_balancers: int
    gateway_patch: str
    monitoring_patch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayView:
    namespace: str
    components: tuple[str, ...]
    patches: tuple[Patch, ...]
    autoscaler: str
    disruption_budget: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GitOpsView:
    namespace: str
    project: str
    """Of the units. It reaches no Application and no project: whoever writes a model can't widen what models may do."""
    root_project: str
    """Of the root alone, which holds the Applications, the projects and Argo CD's configuration."""
    repo: str
    revision: str
    server: str
    namespaces: tuple[str, ...]
    cluster_kinds: tuple[tuple[str, str, str], ...]
    """Group, kind and name (empty for any) of the objects without a namespace that it may apply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Everything about one cluster that its platform units render."""

    name: str
    source: str
    kubernetes: str
    labels: dict[str, str]
    autoscaler: bool
    azure_monitoring: bool
    namespaces: tuple[NamespaceView, ...]
    gateway: GatewayView
    gitops: GitOpsView
    watch: WatchView | None
    """None where nobody wrote rules or dashboards."""
    enforcement: str
    """A JSON patch on every policy's binding, as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One unit as Argo CD sees it."""

    name: str
    source: str
    argocd: str
    labels: dict[str, str]
    wave: str
    project: str
    repo: str
    revision: str
    path: str
    generate_paths: str
    server: str
    namespace: str
    options: tuple[str, ...]
    cascade: bool
    """Whether its objects go with it. A model's do, or its GPUs would stay; a platform part's never by accident."""


def build_platform(entry: Entry[Cluster], library: Library | None = None) -> Platform:
    spec = entry.value.spec
    watch = build_watch(spec, library) if library and (library.groups or library.dashboards) else None
    return Platform(
        name=entry.name,
        source=entry.file.name,
        kubernetes=spec.kubernetes,
        labels=LABELS,
        autoscaler=spec.operators.keda == "present",
        azure_monitoring=spec.monitoring.flavor == "azure-managed",
        namespaces=tuple(_namespace(spec, name, spec.namespaces[name]) for name in sorted(spec.namespaces)),
        gateway=_gateway(spec),
        gitops=GitOpsView(
            namespace=spec.gitops.namespace,
            project=f"kaitops-{entry.name}",
            root_project=f"kaitops-{entry.name}-root",
            repo=spec.gitops.repo,
            revision=spec.gitops.revision,
            server=spec.gitops.server,
            namespaces=tuple(sorted({*spec.namespaces, spec.gateway.namespace, POLICIES, *_watched_from(watch)})),
            cluster_kinds=tuple(_cluster_kinds(watch)),
        ),
        enforcement=_enforcement(spec.policies),
        watch=watch,
    )


def _watched_from(watch: WatchView | None) -> tuple[str, ...]:
    return (watch.namespace,) if watch else ()


def _cluster_kinds(watch: WatchView | None) -> Iterator[tuple[str, str, str]]:
    """Rights over the whole cluster by one name alone: any other would let each commit give itself all of them."""
    yield from ((group, kind, "") for group, kind in CLUSTER_KINDS)
    if watch and watch.state_image:
        yield from ((RBAC, kind, STATE_METRICS) for kind in ("ClusterRole", "ClusterRoleBinding"))


def _namespace(spec: ClusterSpec, name: str, namespace: Namespace) -> NamespaceView:
    scraper = AZURE_SCRAPER if spec.monitoring.flavor == "azure-managed" else spec.monitoring.namespace
    cost_center = {"kaitops.dev/cost-center": namespace.cost_center} if namespace.cost_center else {}
    return NamespaceView(
        name=name,
        labels={
            **LABELS,
            "kaitops.dev/gateway": GATEWAY,
            **cost_center,
            "pod-security.kubernetes.io/enforce": "baseline",
        },
        owners=",".join(namespace.owners),
        gpus=namespace.quota.gpus,
        persistent_volume_claims=namespace.quota.persistent_volume_claims,
        load_balancers=namespace.quota.load_balancers,
        gateway_patch=_peer_patch(spec.gateway.namespace),
        monitoring_patch=_peer_patch(scraper),
    )


def _peer_patch(namespace: str) -> str:
    path = "/spec/ingress/0/from/0/namespaceSelector/matchLabels/kubernetes.io~1metadata.name"
    return yamlout.dump([{"op": "replace", "path": path, "value": namespace}])


def _enforcement(action: str) -> str:
    return yamlout.dump([{"op": "replace", "path": "/spec/validationActions", "value": [action]}])


def _gateway(spec: ClusterSpec) -> GatewayView:
    gateway = spec.gateway
    wanted = {
        "gateway-auth": gateway.auth is not None,
        "gateway-internal": gateway.exposure == "internal",
        "gateway-tls": gateway.tls is not None,
    }
    return GatewayView(
        namespace=gateway.namespace,
        components=tuple(f"../../components/{name}" for name, is_wanted in wanted.items() if is_wanted),
        patches=_gateway_patches(spec),
        autoscaler=yamlout.dump(
            {"spec": {"minReplicas": gateway.autoscaling.min, "maxReplicas": gateway.autoscaling.max}}
        ),
        disruption_budget=yamlout.dump({"spec": {"minAvailable": gateway.min_available}}),
    )


def _gateway_patches(spec: ClusterSpec) -> tuple[Patch, ...]:
    gateway = spec.gateway
    operations: list[dict[str, object]] = [
        {"op": "replace", "path": "/spec/gatewayClassName", "value": gateway.class_name}
    ]
    if gateway.host:
        operations.append({"op": "add", "path": "/spec/listeners/0/hostname", "value": gateway.host})
    if gateway.tls:
        path = "/spec/listeners/0/tls/certificateRefs/0/name"
        operations.append({"op": "replace", "path": path, "value": gateway.tls.secret})
    patches = [Patch(kind="Gateway", name=GATEWAY, text=yamlout.dump(operations))]
    if gateway.auth:
        rule = {
            "issuer": gateway.auth.issuer,
            "jwksUri": gateway.auth.jwks_uri,
            "audiences": list(gateway.auth.audiences),
        }
        change = [{"op": "replace", "path": "/spec/jwtRules/0", "value": rule}]
        patches.append(Patch(kind="RequestAuthentication", name=GATEWAY, text=yamlout.dump(change)))
    return tuple(patches)


WAVES = {"gitops": "-30", "namespaces": "-20", "policies": "-15", "gateway": "-10", "monitoring": "-10"}
"""The order in which the root creates the platform's Applications; models come after all of them."""


def application(platform: Platform, unit: str, source: str, namespace: str, *, prune_last: bool) -> Application:
    """The Argo CD Application of one unit.

    Args:
        platform: The cluster.
        unit: Folder of the unit below the cluster's.
        source: Catalog file that the unit comes from.
        namespace: Where the unit's objects go.
        prune_last: Whether old objects wait until the new ones are healthy.
    """
    gitops = platform.gitops
    path = f"clusters/{platform.name}/{unit}"
    platform_part = unit in WAVES
    return Application(
        name=f"{platform.name}-{unit}",
        source=source,
        argocd=gitops.namespace,
        labels={**platform.labels, "kaitops.dev/cluster": platform.name, "kaitops.dev/unit": unit},
        wave=WAVES.get(unit, "0"),
        project=gitops.root_project if unit == "gitops" else gitops.project,
        repo=gitops.repo,
        revision=gitops.revision,
        path=path,
        cascade=not platform_part,
        generate_paths=_generate_paths(unit),
        server=IN_CLUSTER if unit == "gitops" else gitops.server,
        namespace=gitops.namespace if unit == "gitops" else namespace,
        options=_options(unit, prune_last=prune_last),
    )


def _options(unit: str, *, prune_last: bool) -> tuple[str, ...]:
    """How Argo CD syncs one unit.

    Only the root, which may hold hundreds of Applications and waits for none, applies no more than what differs. A
    retry of anything else must wait again for what the try before has applied: a revision that is there and Degraded
    does not differ, so that the retry would go on to the Service and prune the revision that serves.
    """
    return (
        *(("ApplyOutOfSyncOnly=true",) if unit == "gitops" else ()),
        "RespectIgnoreDifferences=true",
        *(("PruneLast=true",) if prune_last else ()),
    )


def _generate_paths(unit: str) -> str:
    """What a unit is made of, so that Argo CD draws it anew for no other change."""
    if unit == "policies":
        return ".;/policies"
    return ".;/clusters/base;/clusters/components" if unit in WAVES else "."
