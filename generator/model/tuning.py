"""A `Tuning`: one LoRA or QLoRA run of a preset, from data to an adapter."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from generator.model.base import (
    DnsLabel,
    EntryBase,
    HttpsUrl,
    ImageDigest,
    ImageRepository,
    ImageTag,
    ObjectName,
    OneLine,
    Strict,
    Switch,
    VmSize,
    Words,
    only_one,
)
from generator.model.model import Claim, Token

ConfigSection = Literal[
    "ModelConfig", "QuantizationConfig", "LoraConfig", "TrainingArguments", "DatasetConfig", "DataCollator"
]
"""The sections of KAITO's training configuration; each setting keeps the name that KAITO gives it."""


class TuningInput(Strict):
    urls: Annotated[tuple[HttpsUrl, ...], Field(min_length=1)] | None = None
    image: ImageDigest | None = None
    claim: Claim | None = None
    pull_secret: ObjectName | None = None

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        only_one(self, ("urls", "image", "claim"))
        if self.pull_secret and self.image is None:
            raise ValueError("`pullSecret` belongs to an `image`")
        return self


class OutputImage(Strict):
    """The adapter's image; its tag is the version and the revision, since a digest exists only after the run."""

    repository: ImageRepository
    version: ImageTag = Field("0.0.1", description="First part of the tag; the revision follows")
    push_secret: ObjectName


class TuningOutput(Strict):
    image: OutputImage | None = None
    claim: Claim | None = None

    @model_validator(mode="after")
    def _one_output(self) -> Self:
        only_one(self, ("image", "claim"))
        return self


class TuningOverride(Strict):
    sku: VmSize


class TuningSpec(Strict):
    owner: DnsLabel
    namespace: DnsLabel | None = Field(None, description="Default: the owner")
    description: OneLine = ""
    preset: Words = Field(description="KAITO preset that can be tuned")
    token: Token | None = None
    method: Literal["lora", "qlora"]
    input: TuningInput
    output: TuningOutput
    config: dict[ConfigSection, dict[str, Any]] | None = Field(
        None, description="KAITO's training configuration; left out, KAITO's own for the method holds"
    )
    retired: Switch = Field(False, description="Free the node; a finished run keeps it until then")
    clusters: dict[DnsLabel, TuningOverride] = Field(min_length=1)


class Tuning(EntryBase):
    kind: Literal["Tuning"]
    spec: TuningSpec
