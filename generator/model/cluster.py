"""A `Cluster`: what is true of one cluster whatever the model; what it cannot do is refused, never guessed."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from generator.model.base import (
    Cidr,
    DnsLabel,
    Duration,
    EntryBase,
    GitUrl,
    Hostname,
    HttpsUrl,
    ImageDigest,
    KubernetesMinor,
    LabelKey,
    LabelText,
    LabelValue,
    ModelInNamespace,
    Name,
    ObjectName,
    PositiveFloat,
    PositiveInt,
    Strict,
    Switch,
    Uuid,
    Version,
    VmSize,
    Words,
    only_one,
)
from generator.model.reconciler import Reconciler

AKS_NODE_POOLS = 100
"""What AKS allows in a cluster."""


class Azure(Strict):
    subscription: Uuid
    tenant: Uuid
    resource_group: Name
    cluster: Name = Field(description="Name of the AKS cluster")
    region: Name
    oidc_issuer: HttpsUrl


class Kaito(Strict):
    install: Literal["chart", "addon"] = Field("chart", description="`addon`: AKS's managed KAITO, Workspaces only")
    version: Version
    provisioner: Literal["kaitops", "gpu-provisioner", "karpenter", "byo"] = "kaitops"
    namespaces: tuple[DnsLabel, ...] = Field(
        ("kaito-workspace", "kaito-ragengine"),
        description="Where KAITO's controllers run: the policies let them make what they have to",
    )

    @model_validator(mode="after")
    def _addon_brings_its_own(self) -> Self:
        if self.install == "addon" and self.provisioner != "gpu-provisioner":
            raise ValueError(
                "the managed add-on runs a provisioner of its own and excludes ours: set `provisioner: gpu-provisioner`"
            )
        return self


State = Literal["present", "absent"]


class Operators(Strict):
    """Which operators the cluster runs; an entry that needs an absent one is refused."""

    ragengine: State = "absent"
    keda: State = Field("absent", description="KEDA together with keda-kaito-scaler")
    external_secrets: State = "absent"
    prometheus_operator: State = Field(
        "absent", description="Prometheus Operator with kube-state-metrics and node-exporter, as kube-prometheus-stack"
    )
    dcgm_exporter: State = Field("absent", description="NVIDIA's exporter of GPU metrics, scraped already")


class Quota(Strict):
    """Limits of one namespace, as a ResourceQuota holds them."""

    gpus: Annotated[int, Field(strict=True, ge=0)]
    persistent_volume_claims: PositiveInt = Field(10)
    load_balancers: Annotated[int, Field(strict=True, ge=0)] = 0


class Namespace(Strict):
    owners: Annotated[tuple[DnsLabel, ...], Field(min_length=1)]
    quota: Quota
    cost_center: LabelText | None = None


class GitOps(Strict):
    engine: Literal["argocd"] = "argocd"
    repo: GitUrl = Field(description="URL of this repository")
    revision: Words = "main"
    namespace: DnsLabel = "argocd"
    server: HttpsUrl = Field("https://kubernetes.default.svc", description="The cluster as Argo CD knows it")
    prune: Literal["auto", "confirm"] = Field("auto", description="`confirm`: a person lets Argo CD delete models")


class Tls(Strict):
    """Where the listener's certificate is: a Secret beside the Gateway."""

    secret: ObjectName


class Auth(Strict):
    """JSON web tokens that the gateway demands."""

    issuer: HttpsUrl
    jwks_uri: HttpsUrl
    audiences: Annotated[tuple[Words, ...], Field(min_length=1)]


class GatewayAutoscaling(Strict):
    min: Annotated[int, Field(strict=True, ge=2)] = 2
    max: PositiveInt = 5

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"`max` ({self.max}) is below `min` ({self.min})")
        return self


class Gateway(Strict):
    class_name: Literal["istio", "approuting-istio"] = Field("istio", alias="class")
    namespace: DnsLabel = "gateway"
    exposure: Literal["public", "internal"] = "internal"
    host: Hostname | None = Field(None, description="Host name of the listener; left out: any")
    tls: Tls | None = None
    auth: Auth | None = None
    autoscaling: GatewayAutoscaling = GatewayAutoscaling.model_construct()
    min_available: PositiveInt = 1
    max_timeout: Duration = Field("600s", description="Longest timeout that a route may have")

    @model_validator(mode="after")
    def _auth_needs_istio(self) -> Self:
        if self.auth and self.class_name != "istio":
            raise ValueError("`auth` needs Istio's own kinds, which `class: approuting-istio` does not have")
        return self


class Monitoring(Strict):
    flavor: Literal["prometheus-operator", "azure-managed"]
    namespace: DnsLabel = Field(
        "monitoring", description="Namespace of the scraper, let in by NetworkPolicies, and of what watches the cluster"
    )
    selected_by: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        description="Labels by which the Prometheus Operator finds rules and monitors: `release: RELEASE`",
    )
    runbooks: HttpsUrl | None = Field(
        None, description="Page of the alerts' runbook; default: `docs/runbook.md` in `gitops.repo`"
    )


class SecretStore(Strict):
    name: ObjectName
    kind: Literal["SecretStore", "ClusterSecretStore"] = "ClusterSecretStore"


class Secrets(Strict):
    """How Secrets come to be: filled from a vault by External Secrets, or there already."""

    external: SecretStore | None = None
    existing: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        only_one(self, ("external", "existing"))
        return self


class Exceptions(Strict):
    """What the platform team lets single models do that the policies forbid."""

    remote_code: tuple[ModelInNamespace, ...] = Field(
        (), description="`<namespace>/<model>` of models that may run code of their repository"
    )


class Images(Strict):
    """Our images, by digest."""

    inference_cpu: ImageDigest
    inference_gpu: ImageDigest
    reconciler: ImageDigest | None = Field(None, description="Needed where `kaito.provisioner` is `kaitops`")
    state_metrics: ImageDigest | None = Field(
        None, description="kube-state-metrics, which we run over KAITO's objects; without it their alerts are left out"
    )


class ClusterQuota(Strict):
    """What the subscription grants in the region, and what we let ourselves spend."""

    gpus: dict[Name, Annotated[int, Field(strict=True, ge=0)]] = Field(
        default_factory=dict, description="GPUs per family, as `catalog/facts/skus.yaml` names it"
    )
    node_pools: Annotated[int, Field(strict=True, ge=1, le=AKS_NODE_POOLS)] = Field(
        AKS_NODE_POOLS, description="Node pools that entries may take, one for each node; AKS allows 100 of all kinds"
    )
    usd_per_hour: PositiveFloat | None = None


class ClusterSpec(Strict):
    environment: Literal["dev", "prod"]
    sample: Switch = Field(False, description="Placeholders are a warning here, not an error")
    platform: Literal["aks"] = "aks"
    azure: Azure
    kubernetes: KubernetesMinor
    kaito: Kaito
    reconciler: Reconciler | None = Field(None, description="Our reconciler of node pools")
    operators: Operators = Operators.model_construct()
    namespaces: dict[DnsLabel, Namespace] = Field(min_length=1)
    gitops: GitOps
    gateway: Gateway = Gateway.model_construct()
    monitoring: Monitoring
    secrets: Secrets
    identities: dict[DnsLabel, Uuid] = Field(
        default_factory=dict, description="Azure identities by name: their client ids on this cluster"
    )
    private_cidrs: tuple[Cidr, ...] = Field(
        (), description="Where `egress: restricted` models may connect to: private endpoints"
    )
    skus: Annotated[tuple[VmSize, ...], Field(min_length=1)]
    quota: ClusterQuota = ClusterQuota.model_construct()
    licenses: tuple[Name, ...] = Field((), description="Licences that a served model may have; left out: any")
    exceptions: Exceptions = Exceptions.model_construct()
    policies: Literal["Warn", "Deny"] = Field("Deny", description="What breaking a policy of `policies/` leads to")
    images: Images

    @property
    def node_pools(self) -> int:
        """What entries may take at most: of those that AKS allows, our reconciler keeps some for others."""
        kept = self.reconciler.pool_reserve if self.reconciler else 0
        return min(self.quota.node_pools, AKS_NODE_POOLS - kept)


class Cluster(EntryBase):
    kind: Literal["Cluster"]
    spec: ClusterSpec
