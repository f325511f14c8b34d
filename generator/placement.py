"""What is rendered: one entry on one cluster with every decision taken and nothing optional left undecided.

Templates read these and decide nothing. An empty string, list or map means that the part is not rendered.
"""

from dataclasses import dataclass
from typing import Any

from generator.monitoring.promises import Promise

SYNC_OPTIONS = "argocd.argoproj.io/sync-options"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigMap:
    """A file for KAITO in a ConfigMap whose name carries a hash of its content."""

    name: str
    key: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSource:
    name: str
    image: str = ""
    tuning: str = ""
    """Name of the Tuning whose output it is; its image is known when the Tuning's revision is."""
    pull_secret: str = ""
    claim: str = ""
    strength: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    name: str
    client_id: str
    tenant_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalSecret:
    """A Secret that External Secrets fills with one value of the vault."""

    name: str
    key: str
    vault_key: str
    store: str
    store_kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobPv:
    """A blob container as a PersistentVolume, mounted with the pod's workload identity."""

    handle: str
    account: str
    container: str
    resource_group: str
    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeClaim:
    name: str
    size: str
    storage_class: str
    access_mode: str = "ReadWriteMany"
    volume: str = ""
    """Name of the PersistentVolume it is bound to; empty for a dynamic one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A pod's volume: the kind and settings of its Kubernetes source, and where it is mounted."""

    name: str
    kind: str
    settings: dict[str, Any]
    path: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    initial_delay: int
    period: int
    timeout: int
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """The pod of our own server: what `inference.template` holds."""

    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    env: dict[str, str]
    token_secret: str
    token_key: str
    requests: dict[str, str | int]
    limits: dict[str, str | int]
    liveness: Probe
    readiness: Probe
    volumes: tuple[Volume, ...]
    fetch: tuple[str, ...]
    """Arguments of `fetch-weights` in an init container; empty where the server loads by itself."""
    service_account: str
    workload_identity: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """One path prefix at the gateway and what it becomes at the model; the same text means no rewrite."""

    match: str
    replace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    gateway: str
    gateway_namespace: str
    hosts: tuple[str, ...]
    prefixes: tuple[Prefix, ...]
    timeout: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What all placements share; `unit` is the folder below the cluster's, `source` the catalog file."""

    source: str
    cluster: str
    unit: str
    name: str
    namespace: str
    labels: dict[str, str]
    annotations: dict[str, str]
    match_labels: dict[str, str]
    instance_type: str
    own_nodes: bool = False
    """Whether the labels are of nodes that exist already, which carry no revision of ours."""
    revision: str = ""
    external_secrets: tuple[ExternalSecret, ...] = ()
    claims: tuple[VolumeClaim, ...] = ()
    config: ConfigMap | None = None
    token_secret: str = ""
    canary: bool = False
    """Whether it stands beside the one that serves, which owns everything that both share."""
    running: bool = True
    """False for a suspended entry: storage and secrets stay, nothing runs."""

    @property
    def object_name(self) -> str:
        return f"{self.name}-{self.revision}" if self.revision else self.name

    @property
    def claim_annotations(self) -> dict[str, str]:
        """A claim comes with what mounts it, and holds data: whoever is asked about the object is asked about it.

        Not before it: many storage classes bind a claim when its first pod comes, and a wave waits for it until then.
        """
        options = {key: value for key, value in self.annotations.items() if key == SYNC_OPTIONS}
        return {"argocd.argoproj.io/sync-wave": "0"} | options


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlacement(Placement):
    kind: str
    """`Workspace` or `InferenceSet`."""
    rollout: str
    held: bool
    """`roll: manual`: the committed revision stays until it is rolled."""
    served_name: str
    preset: str
    adapters: tuple[AdapterSource, ...]
    pod: Pod | None
    replicas: int
    """0 where an autoscaler owns the number."""
    nodes: int
    """Nodes of one replica."""
    gpus: int
    """GPUs of the whole placement at its smallest."""
    route: Route | None
    service_account: ServiceAccount | None
    blob_pv: BlobPv | None
    metrics: bool
    restricted: bool
    private_cidrs: tuple[str, ...]
    promise: Promise
    """What alerts and dashboards know of it."""
    selected_by: dict[str, str]
    """Labels by which Prometheus finds what is meant for it."""
    config_is_shared: bool = False
    """Whether the one that serves has the same ConfigMap."""
    canary_weight: int | None = None
    """Percent of the requests that the canary beside it gets; None without one."""

    @property
    def service(self) -> str:
        """Name of the Service, and of what watches the pods behind it."""
        return f"{self.name}-canary" if self.canary else self.name

    @property
    def backends(self) -> tuple[tuple[str, int], ...]:
        """Services behind the route, with their shares of the requests."""
        if self.canary_weight is None:
            return ((self.name, 1),)
        return ((self.name, 100 - self.canary_weight), (f"{self.name}-canary", self.canary_weight))

    @property
    def watch_labels(self) -> dict[str, str]:
        """Labels of the model's monitor and rules."""
        return self.labels | self.selected_by

    @property
    def any_revision(self) -> dict[str, str]:
        """Our own pods of the model, whichever revision: what protects the new ones must not let go of the old."""
        return {"app.kubernetes.io/name": self.name}

    @property
    def selector(self) -> dict[str, str]:
        """KAITO's pods that answer, requests and scrapes: where a replica spans nodes, only the first of each does."""
        key = "kaito.sh/workspace" if self.kind == "Workspace" else "inferenceset.kaito.sh/created-by"
        return {key: self.object_name} | ({"apps.kubernetes.io/pod-index": "0"} if self.nodes > 1 else {})

    @property
    def child_annotations(self) -> dict[str, str]:
        """What an InferenceSet hands down to its Workspaces: KAITO's own annotations, never Argo CD's."""
        return {key: value for key, value in self.annotations.items() if key.startswith("kaito.sh/")}

    @property
    def child_resource(self) -> dict[str, str]:
        """What an InferenceSet's Workspaces run on; nothing where KAITO provisions no nodes."""
        return {"instanceType": self.instance_type} if self.instance_type else {}

    @property
    def pod_labels(self) -> dict[str, str]:
        """Labels of our own pod; the identity webhook does nothing without its own."""
        identity = {"azure.workload.identity/use": "true"} if self.pod and self.pod.workload_identity else {}
        return self.any_revision | identity


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningPlacement(Placement):
    preset: str
    method: str
    urls: tuple[str, ...]
    input_image: str
    input_claim: str
    pull_secret: str
    output_repository: str
    output_version: str
    output_claim: str
    push_secret: str

    @property
    def output_image(self) -> str:
        """The adapter's image; the tag carries the revision, because a digest exists only after the run."""
        if not self.output_repository:
            return ""
        tag = f"{self.output_version}-{self.revision}" if self.revision else self.output_version
        return f"{self.output_repository}:{tag}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RagPlacement(Placement):
    embedding: dict[str, Any]
    """The engine's `embedding`, as KAITO spells it."""
    storage: dict[str, Any]
    inference_url: str
    inference_secret: str
    context_window: int
    guardrails: dict[str, Any]

    @property
    def selector(self) -> dict[str, str]:
        return {"kaito.sh/ragengine": self.object_name}
