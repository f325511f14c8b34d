"""What an entry of the catalog asks of a GPU or a node: its shape as written, and the demand of its serving section."""

from collections.abc import Mapping
from dataclasses import replace

from generator.fit.kaito import HALF
from generator.fit.shape import Cache, Shape, UnknownShapeError, full_attention
from generator.fit.verdict import Demand, Server
from generator.model.architecture import Architecture, CacheLayers
from generator.model.model import ModelSpec, Override

BYTES = {"float32": 4, "float16": HALF, "bfloat16": HALF}
CACHE_BYTES = {"auto": None, "bfloat16": 2.0, "float16": 2.0}
"""Bytes of a number in the cache by the flag `kv-cache-dtype`; those that start with `fp8` take one."""
UNCOUNTED = (
    "block-size", "data-parallel-size", "decode-context-parallel-size", "enable-expert-parallel",
    "kv-cache-memory-bytes", "load-format", "num-gpu-blocks-override", "pipeline-parallel-size", "speculative-config",
)  # fmt: skip
"""Engine flags that change the memory in ways that we do not count."""


def written_shape(written: Architecture) -> Shape:
    """The shape that the entry's `architecture` describes."""
    groups = tuple(_cache(written, layers) for layers in written.cache)
    whole = (full_attention(written.layers, written.kv_heads, written.head_dim),)
    return Shape(
        weights_gib=written.weights_gib,
        layers=written.layers,
        attention_heads=written.attention_heads,
        kv_heads=written.kv_heads,
        head_dim=written.head_dim,
        token_limit=written.token_limit,
        cache=groups or whole,
        hidden_size=written.hidden_size or written.attention_heads * written.head_dim,
        intermediate_size=written.intermediate_size or 0,
        vocabulary=written.vocabulary or 0,
        tied=written.tied_embeddings,
        quantization=written.quantization or "",
        weight_bytes=BYTES[written.dtype],
        latent_width=written.latent_width,
    )


def _cache(written: Architecture, group: CacheLayers) -> Cache:
    extra = group.token_bytes or 0
    if group.kind == "state":
        return Cache(kind="state", layers=group.layers, state_bytes=group.state_bytes or 0)
    if group.kind == "latent":
        return Cache(kind="latent", layers=group.layers, width=group.width or 0, token_bytes=extra)
    heads, dim = group.kv_heads or written.kv_heads, group.head_dim or written.head_dim
    return replace(full_attention(group.layers, heads, dim, group.window or 0), token_bytes=extra)


def demand_of(spec: ModelSpec, override: Override, default_context: int) -> Demand:
    """What the entry asks for on one cluster; without a context, KAITO's own floor.

    Raises:
        UnknownShapeError: a flag changes the memory in a way that we do not count.
    """
    serving = spec.serving
    flags = {name.replace("_", "-"): value for name, value in serving.engine.items()}
    odd = [f"`{name}`" for name in UNCOUNTED if name in flags]
    if odd:
        raise UnknownShapeError(f"the engine flag {' and '.join(odd)} changes what it takes")
    dtype = BYTES[serving.dtype or ("float32" if serving.device == "cpu" else "bfloat16")]
    return Demand(
        server=server_of(spec),
        context=override.context or serving.context or default_context,
        max_sequences=serving.max_concurrency,
        utilization=_number(flags, "gpu-memory-utilization"),
        batched_tokens=_whole(flags, "max-num-batched-tokens"),
        tensor=_whole(flags, "tensor-parallel-size"),
        kv_bytes=_cache_bytes(flags, dtype),
        dtype_bytes=dtype,
        quantization=serving.quantization or "",
        adapters=len(serving.adapters),
        lora_rank=_whole(flags, "max-lora-rank"),
        offload_gib=_number(flags, "cpu-offload-gb") or 0.0,
    )


def server_of(spec: ModelSpec) -> Server:
    if spec.serving.runtime == "transformers":
        return "transformers"
    return "preset" if spec.source.preset else "vllm"


def _number(flags: Mapping[str, object], name: str) -> float | None:
    """A flag's number; anything else is the engine's to refuse."""
    value = flags.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


def _whole(flags: Mapping[str, object], name: str) -> int | None:
    value = _number(flags, name)
    return None if value is None else int(value)


def _cache_bytes(flags: Mapping[str, object], dtype: int) -> float:
    name = str(flags.get("kv-cache-dtype", "auto"))
    if name.startswith("fp8"):
        return 1.0
    if name not in CACHE_BYTES:
        raise UnknownShapeError(f"the cache's type `{name}` is none whose size we know")
    return CACHE_BYTES[name] or float(dtype)
