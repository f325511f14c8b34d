"""A `Model`: one file that says everything about one served model, and on which clusters it runs."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from generator.model.architecture import Architecture
from generator.model.base import (
    AbsolutePath,
    BlobContainer,
    Commit,
    DnsLabel,
    Duration,
    EntryBase,
    EnvName,
    FlagName,
    Fraction,
    Hostname,
    HubRepository,
    ImageDigest,
    LabelKey,
    LabelText,
    LabelValue,
    Name,
    ObjectName,
    OneLine,
    PositiveFloat,
    PositiveInt,
    Quantity,
    RelativePrefix,
    RoutePath,
    SecretKey,
    Size,
    StorageAccount,
    Strict,
    Switch,
    Uuid,
    VmSize,
    Words,
    only_one,
)


class Token(Strict):
    """A hub token, never in plain: the name of a Secret, filled from the vault where the cluster does that."""

    secret: ObjectName = Field(description="Secret in the model's namespace")
    key: SecretKey = Field("HF_TOKEN", description="Key in the Secret; presets need `HF_TOKEN`")
    vault_key: Name | None = Field(
        None, description="Name in the vault; with it an ExternalSecret fills the Secret, without it the Secret exists"
    )


class PresetSource(Strict):
    name: Words = Field(description="KAITO preset: a hub id such as `microsoft/phi-4`, or a legacy short name")
    revision: Commit | None = Field(None, description="Commit of the weights; KAITO follows `main` without it")
    token: Token | None = Field(None, description="Needed for gated models")


class HuggingFaceSource(Strict):
    repo: HubRepository
    revision: Commit = Field(description="Commit of the weights and code")
    token: Token | None = None


class Claim(Strict):
    """A PersistentVolumeClaim: an existing one by name alone, or one that we create (with a size)."""

    name: ObjectName
    size: Size | None = Field(None, description="Create the claim with this size; without it the claim exists")
    storage_class: ObjectName | None = Field(None, description="Default `azurefile-csi-premium`")

    @model_validator(mode="after")
    def _class_needs_size(self) -> Self:
        if self.storage_class and not self.size:
            raise ValueError("`storageClass` without `size`: a claim that exists has its class already")
        return self


class BlobVolume(Strict):
    """A blob container mounted by the Blob CSI driver: inline with a Secret, or as a PV through workload identity."""

    account: StorageAccount
    container: BlobContainer
    resource_group: Name | None = None
    secret: ObjectName | None = Field(
        None, description="Secret with the account's key: an inline CSI volume; without it `spec.identity` mounts a PV"
    )


class AzureVolumeSource(Strict):
    path: AbsolutePath = Field(description="Model folder; its first component is the mount path: `/models/my-model`")
    claim: Claim | None = None
    blob: BlobVolume | None = None

    @model_validator(mode="after")
    def _one_volume(self) -> Self:
        only_one(self, ("claim", "blob"))
        if not self.path.rpartition("/")[0]:
            raise ValueError("`path` needs a mount path and a folder in it, such as `/models/my-model`")
        return self


class AzureBlobSource(Strict):
    """Weights that an init container downloads from Azure Blob with workload identity."""

    account: StorageAccount
    container: BlobContainer
    prefix: RelativePrefix


class AzureMLWorkspace(Strict):
    subscription: Uuid
    resource_group: Name
    name: Name


class AzureMLSource(Strict):
    """Weights that an init container downloads from Azure ML with workload identity."""

    registry: Name | None = None
    workspace: AzureMLWorkspace | None = None
    model: Name
    version: Name

    @model_validator(mode="after")
    def _one_home(self) -> Self:
        only_one(self, ("registry", "workspace"))
        return self


SOURCES = ("preset", "hugging_face", "azure_volume", "azure_blob", "azure_ml")


class Source(Strict):
    """Where the weights come from; exactly one."""

    preset: PresetSource | None = None
    hugging_face: HuggingFaceSource | None = None
    azure_volume: AzureVolumeSource | None = None
    azure_blob: AzureBlobSource | None = None
    azure_ml: AzureMLSource | None = Field(None, alias="azureML")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        present = [name for name in SOURCES if getattr(self, name) is not None]
        if len(present) != 1:
            got = " and ".join(f"`{self._alias(name)}`" for name in present) or "none"
            listed = ", ".join(f"`{self._alias(name)}`" for name in SOURCES)
            raise ValueError(f"needs exactly one of {listed}, but has {got}")
        return self

    @classmethod
    def _alias(cls, name: str) -> str:
        return cls.model_fields[name].alias or name

    @property
    def kind(self) -> str:
        """The one source's name as the catalog spells it."""
        return next(self._alias(name) for name in SOURCES if getattr(self, name) is not None)


class Adapter(Strict):
    """A LoRA adapter: an image by digest, or the output of a Tuning of the catalog."""

    name: DnsLabel
    image: ImageDigest | None = None
    tuning: DnsLabel | None = Field(None, description="Name of a Tuning that runs on the same cluster")
    pull_secret: ObjectName | None = None
    strength: Annotated[float, Field(strict=True, ge=0, le=1)] | None = Field(
        None, description="Transformers runtime only"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        only_one(self, ("image", "tuning"))
        return self


class Amounts(Strict):
    cpu: Quantity | None = None
    memory: Size | None = None


class Resources(Strict):
    requests: Amounts = Amounts.model_construct()
    limits: Amounts = Amounts.model_construct()


class Probe(Strict):
    """Seconds, as in a Kubernetes probe of GET /health on port 5000."""

    initial_delay_seconds: Annotated[int, Field(strict=True, ge=0)] = 0
    period_seconds: PositiveInt = 10
    timeout_seconds: PositiveInt = 5
    failure_threshold: PositiveInt = 3


class Probes(Strict):
    liveness: Probe = Probe.model_construct(initial_delay_seconds=300, period_seconds=30)
    readiness: Probe = Probe.model_construct(initial_delay_seconds=60)


class Serving(Strict):
    runtime: Literal["vllm", "transformers"] = Field("vllm", description="The engine that answers")
    device: Literal["gpu", "cpu"] = "gpu"
    context: Annotated[int, Field(strict=True, ge=128)] | None = Field(
        None, description="Tokens of prompt and answer together; sizes the nodes and is the engine's limit"
    )
    max_concurrency: PositiveInt | None = Field(None, description="Sequences served at once")
    max_answer_tokens: PositiveInt | None = Field(None, description="Longest answer; the route's timeout must last")
    quantization: Literal["4bit", "8bit"] | None = Field(None, description="bitsandbytes while loading")
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    pipeline: Literal["text-generation", "conversational", "text2text-generation", "fill-mask"] = "text-generation"
    trust_remote_code: Switch = Field(False, description="Run code of the model's repository, at the pinned commit")
    served_name: Words | None = Field(None, description="The `model` of the OpenAI API; default: the entry's name")
    adapters: Annotated[tuple[Adapter, ...], Field(max_length=10)] = ()
    engine: dict[FlagName, bool | int | float | OneLine] = Field(
        default_factory=dict, description="Further engine arguments, without dashes"
    )
    env: dict[EnvName, OneLine] = Field(default_factory=dict, description="No secrets here")
    resources: Resources = Resources.model_construct()
    probes: Probes = Probes.model_construct()
    performance_mode: Literal["balanced", "interactivity", "throughput"] | None = None
    benchmark: Switch = Field(True, description="KAITO's start-up benchmark; a model that fails it never gets ready")
    node_labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, description="Run on nodes of your own that carry these labels"
    )


class Route(Strict):
    exposure: Literal["gateway", "cluster"] = Field("gateway", description="`cluster`: no HTTPRoute, Service only")
    path: RoutePath | None = Field(
        None, description="Prefix at the gateway; default `/<name>`; `/` is the default route"
    )
    timeout: Duration = Field("120s", description="Covers the whole answer, streamed or not")


class Latency(Strict):
    threshold_seconds: PositiveFloat = Field(description="A bucket bound of the engine's histogram")
    objective: Fraction = 0.99


class Slo(Strict):
    ttft: Latency | None = Field(None, description="Time to first token")
    itl: Latency | None = Field(None, description="Inter-token latency")
    availability: Fraction | None = None


class Autoscale(Strict):
    min: PositiveInt = 1
    max: PositiveInt
    waiting_requests: PositiveInt = Field(10, description="Scale up when more requests wait per replica")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max < max(self.min, 2):
            raise ValueError(f"`max` must be at least 2 and not below `min` ({self.min}), but is {self.max}")
        return self


class Canary(Strict):
    """A second revision beside the one that serves, under the same name, with a share of the requests."""

    weight: Annotated[int, Field(strict=True, ge=0, le=100)] = Field(description="Percent of the requests that it gets")
    sku: VmSize | None = Field(None, description="Another VM size")
    context: Annotated[int, Field(strict=True, ge=128)] | None = None
    revision: Commit | None = Field(None, description="Another commit of the weights")
    replicas: Annotated[int, Field(strict=True, ge=1, le=100)] | None = Field(
        None, description="Default: as many as the one that serves"
    )

    @model_validator(mode="after")
    def _differs(self) -> Self:
        if not (self.sku or self.context or self.revision):
            raise ValueError("needs one of `sku`, `context`, `revision`: what is to be tried")
        return self


class Override(Strict):
    """What may differ on one cluster; presence of the cluster's name means that the model runs there."""

    sku: VmSize | None = Field(None, description="Azure VM size")
    replicas: Annotated[int, Field(strict=True, ge=1, le=100)] | None = None
    autoscale: Autoscale | None = None
    context: Annotated[int, Field(strict=True, ge=128)] | None = None
    host: Hostname | None = Field(None, description="Host name of the route")
    revision: Commit | None = Field(None, description="Another commit of the weights than the entry's")
    canary: Canary | None = Field(None, description="Tried beside it; `kaitops promote` makes it the one that serves")

    @model_validator(mode="after")
    def _one_scale(self) -> Self:
        if self.replicas is not None and self.autoscale is not None:
            raise ValueError("has `replicas` and `autoscale`; the autoscaler owns the number of replicas")
        return self


class Identity(Strict):
    """The Azure identity of the model's pods, by the name that the cluster gives it."""

    name: DnsLabel = Field(description="Key in the cluster's `identities`")
    service_account: DnsLabel | None = Field(None, description="Default: the model's name")


Rollout = Literal["BlueGreen", "Restart", "Recreate"]


class ModelSpec(Strict):
    owner: DnsLabel = Field(description="Team that answers for the model")
    namespace: DnsLabel | None = Field(None, description="Default: the owner")
    description: OneLine = ""
    license: LabelText = Field(description="SPDX identifier or the licence's name")
    source: Source
    architecture: Architecture | None = None
    serving: Serving = Serving.model_construct()
    route: Route = Route.model_construct()
    slo: Slo = Slo.model_construct()
    identity: Identity | None = None
    egress: Literal["open", "restricted"] = "open"
    rollout: Rollout = Field("BlueGreen", description="What happens to an edit that cannot be made in place")
    roll: Literal["auto", "manual"] = Field("auto", description="`manual`: keep the running revision until rolled")
    suspended: Switch = Field(False, description="Keep storage and secrets, run nothing")
    retired: Switch = Field(False, description="Take everything down; the step before removing the file")
    clusters: dict[DnsLabel, Override] = Field(min_length=1)


class Model(EntryBase):
    kind: Literal["Model"]
    spec: ModelSpec
