"""A `RagEngine`: retrieval over documents, in front of a model of the catalog or of a URL."""

from typing import Literal, Self

from pydantic import Field, model_validator

from generator.model.base import (
    DnsLabel,
    EntryBase,
    HttpUrl,
    HubRepository,
    ImageDigest,
    ObjectName,
    OneLine,
    PositiveInt,
    Size,
    Strict,
    Switch,
    VmSize,
    only_one,
)
from generator.model.model import Token


class LocalEmbedding(Strict):
    model: HubRepository | None = None
    image: ImageDigest | None = None
    token: Token | None = None
    pull_secret: ObjectName | None = None

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        only_one(self, ("model", "image"))
        return self


class RemoteEmbedding(Strict):
    url: HttpUrl
    secret: ObjectName | None = None


class Embedding(Strict):
    local: LocalEmbedding | None = None
    remote: RemoteEmbedding | None = None

    @model_validator(mode="after")
    def _one_embedding(self) -> Self:
        only_one(self, ("local", "remote"))
        return self


class RagStorage(Strict):
    """A volume for the index, shared by two revisions while one takes over from the other."""

    size: Size
    storage_class: ObjectName = "azurefile-csi-premium"
    mount_path: str = Field("/mnt/data", pattern=r"^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$")


class VectorDb(Strict):
    engine: Literal["qdrant"]
    url: HttpUrl
    secret: ObjectName | None = Field(None, description="Secret with the key `VECTOR_DB_ACCESS_SECRET`")


class InferenceService(Strict):
    model: DnsLabel | None = Field(None, description="A Model of the catalog in the same namespace")
    url: HttpUrl | None = None
    secret: ObjectName | None = None
    context_window: PositiveInt

    @model_validator(mode="after")
    def _one_service(self) -> Self:
        only_one(self, ("model", "url"))
        return self


class Guardrails(Strict):
    config_map: ObjectName | None = Field(None, description="ConfigMap with `guardrails.yaml`; default: KAITO's own")


class RagOverride(Strict):
    sku: VmSize


class RagEngineSpec(Strict):
    owner: DnsLabel
    namespace: DnsLabel | None = Field(None, description="Default: the owner")
    description: OneLine = ""
    embedding: Embedding
    storage: RagStorage | None = None
    vector_db: VectorDb | None = Field(None, alias="vectorDB", description="Left out: FAISS in the engine")
    inference: InferenceService
    guardrails: Guardrails | None = None
    retired: Switch = False
    clusters: dict[DnsLabel, RagOverride] = Field(min_length=1)


class RagEngine(EntryBase):
    kind: Literal["RagEngine"]
    spec: RagEngineSpec
