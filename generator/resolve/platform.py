"""A `Cluster` becomes what its platform units show: namespaces, the gateway, what watches, and the GitOps engine."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from generator import yamlout
from generator.load import Entry
from generator.model import Cluster
from generator.model.cluster import ClusterSpec, Namespace
from generator.monitoring.library import Library
from generator.resolve.reconciler import ReconcilerView, build_reconciler
from generator.resolve.routing import GATEWAY
from generator.resolve.watch import WatchView, build_watch, cluster_resource

POLICIES = "kaitops-policies"
"""Namespace and name of the policies' parameters; the bindings in `policies/` name it."""
RBAC = "rbac.authorization.k8s.io"
RIGHTS = ("ClusterRole", "ClusterRoleBinding")
EVENTS = "default"
"""Where Kubernetes keeps the events of what lives in no namespace."""
STATE_METRICS = "kaito-state-metrics"
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
    resource: str
    """ARM id of the AKS cluster."""
    region: str
    kubernetes: str
    labels: dict[str, str]
    autoscaler: bool
    azure_monitoring: bool
    namespaces: tuple[NamespaceView, ...]
    gateway: GatewayView
    gitops: GitOpsView
    watch: WatchView | None
    """None where nobody wrote rules or dashboards."""
    reconciler: ReconcilerView | None
    """None where somebody else makes the nodes."""
    enforcement: str
    """A JSON patch on every policy's binding, as text."""


def build_platform(
    entry: Entry[Cluster], library: Library | None = None, prices: Mapping[str, float] | None = None
) -> Platform:
    spec = entry.value.spec
    reconciler = build_reconciler(spec, _scraper(spec), prices or {})
    watch = build_watch(spec, library) if library and (library.groups or library.dashboards) else None
    return Platform(
        name=entry.name,
        source=entry.file.name,
        resource=cluster_resource(spec),
        region=spec.azure.region,
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
            namespaces=tuple(
                sorted(
                    {
                        *spec.namespaces,
                        spec.gateway.namespace,
                        POLICIES,
                        *_watched_from(watch),
                        *_ruled_from(reconciler),
                    }
                )
            ),
            cluster_kinds=tuple(_cluster_kinds(watch, reconciler)),
        ),
        enforcement=_enforcement(spec.policies),
        watch=watch,
        reconciler=reconciler,
    )


def _watched_from(watch: WatchView | None) -> tuple[str, ...]:
    return (watch.namespace,) if watch else ()


def _ruled_from(reconciler: ReconcilerView | None) -> tuple[str, ...]:
    """Its own namespace, and that of the events that it may write: those of objects without a namespace."""
    return (reconciler.namespace, EVENTS) if reconciler else ()


def _cluster_kinds(watch: WatchView | None, reconciler: ReconcilerView | None) -> Iterator[tuple[str, str, str]]:
    """Rights over the whole cluster by one name alone: any other would let each commit give itself all of them."""
    yield from ((group, kind, "") for group, kind in CLUSTER_KINDS)
    if watch and watch.state_image:
        yield from ((RBAC, kind, STATE_METRICS) for kind in RIGHTS)
    if reconciler:
        yield from ((RBAC, kind, reconciler.name) for kind in RIGHTS)


def _scraper(spec: ClusterSpec) -> str:
    """The namespace that scrapes come from."""
    return AZURE_SCRAPER if spec.monitoring.flavor == "azure-managed" else spec.monitoring.namespace


def _namespace(spec: ClusterSpec, name: str, namespace: Namespace) -> NamespaceView:
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
        monitoring_patch=_peer_patch(_scraper(spec)),
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
