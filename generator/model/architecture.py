"""What an entry says of its model's size: what a fit needs where neither the facts nor a preset tell it."""

from typing import Literal, Self

from pydantic import Field, model_validator

from generator.model.base import Name, PositiveFloat, PositiveInt, Strict, Switch

NEEDS = {"full": (), "sliding": ("window",), "latent": ("width",), "state": ("state_bytes",)}
"""What each kind of layer must say."""
NAMES = {"window": "window", "width": "width", "state_bytes": "stateBytes"}


class CacheLayers(Strict):
    """Layers that keep alike of a sequence; heads are the model's own where they are left out."""

    kind: Literal["full", "sliding", "latent", "state"] = Field(
        description="`full` attention, a `sliding` window, `latent` attention (MLA), a recurrent `state`"
    )
    layers: PositiveInt
    kv_heads: PositiveInt | None = None
    head_dim: PositiveInt | None = None
    window: PositiveInt | None = Field(None, description="Tokens that a sliding layer looks back")
    width: PositiveInt | None = Field(None, description="Numbers that a latent layer keeps for each token")
    state_bytes: PositiveInt | None = Field(None, description="Bytes that a state layer keeps of a sequence")
    token_bytes: PositiveInt | None = Field(None, description="Further bytes for each token, such as indexer keys")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name, spelled in NAMES.items():
            if name in NEEDS[self.kind] and getattr(self, name) is None:
                raise ValueError(f"needs `{spelled}` where `kind` is `{self.kind}`")
            if name not in NEEDS[self.kind] and getattr(self, name) is not None:
                raise ValueError(f"has `{spelled}`, which layers of kind `{self.kind}` do not have")
        return self


class Architecture(Strict):
    """What a fit needs to know about weights and cache; may be left out for a preset that we know."""

    weights_gib: PositiveFloat = Field(alias="weightsGiB", description="Size of the weight files")
    layers: PositiveInt
    attention_heads: PositiveInt
    kv_heads: PositiveInt
    head_dim: PositiveInt
    token_limit: PositiveInt
    hidden_size: PositiveInt | None = Field(None, description="Default: attention heads times head dim")
    intermediate_size: PositiveInt | None = Field(
        None, description="Width of the feed-forward layers; of a mixture, the active experts'"
    )
    vocabulary: PositiveInt | None = None
    tied_embeddings: Switch = Field(False, description="One matrix is both embedding and output")
    quantization: Name | None = Field(None, description="How the files are quantized, such as `awq` or `fp8`")
    dtype: Literal["float32", "float16", "bfloat16"] = Field(
        "bfloat16", description="Of the weights in the files, where they are not quantized"
    )
    cache: tuple[CacheLayers, ...] = Field(
        (), description="What the layers keep of a sequence; left out: all of them are full attention"
    )

    @property
    def latent_width(self) -> int:
        """Of latent attention, 0 where there is none."""
        return next((group.width or 0 for group in self.cache if group.kind == "latent"), 0)

    @model_validator(mode="after")
    def _no_more_layers_than_there_are(self) -> Self:
        grouped = sum(group.layers for group in self.cache)
        if grouped > self.layers:
            raise ValueError(f"has {grouped} layers in `cache`, and only {self.layers} in all")
        return self
