"""From a model's `config.json` to its shape: which layers keep what, by the families of architectures that we know.

The hub's own file is the source; the same reader takes the rows of `catalog/facts/shapes.yaml`, which are parts of such
files. An architecture outside the families, a kind of layer or a missing field ends in `UnknownShapeError`: two
architectures with the same fields may keep very different caches, so nothing is guessed.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from generator.fit.defaults import defaults_of
from generator.fit.fields import Config, Fields
from generator.fit.kaito import HALF
from generator.fit.shape import Cache, Shape, UnknownShapeError, full_attention

LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
HEADS = ("num_attention_heads", "n_head")
HIDDEN = ("hidden_size", "n_embd", "n_embed")
LIMIT = ("max_position_embeddings", "n_positions", "seq_length", "max_sequence_length")
DTYPES = {"float32": 4, "float16": 2, "bfloat16": 2}
STATE_BYTES = 4
"""Bytes of a number in a recurrent state: engines keep it in 32 bits (`mamba_ssm_dtype`)."""
STATES = 2
"""States kept of a sequence: the one in use, and one for prefix caching."""
INDEX_BLOCK = 128
"""A sparse-attention indexer keeps its keys in 8 bits with a 32-bit scale for each 128 (vLLM, deepseek_v2.py)."""


def shape_of(config: Config, weights_gib: float, token_limit: int | None = None) -> Shape:
    """The shape of the model that `config` describes.

    Raises:
        UnknownShapeError: it has an architecture that we do not know, or lacks a field; all that is missing is named.
    """
    architecture = _architecture(config)
    family = FAMILIES[architecture]
    text = {**defaults_of(architecture), **_text_part(config)}
    fields = Fields(text)
    layers, heads, hidden = fields.number(*LAYERS), fields.number(*HEADS), fields.number(*HIDDEN)
    kv_heads = fields.either("num_key_value_heads", heads)
    limit = token_limit or fields.number(*LIMIT)
    fields.check()
    head_dim = fields.either("head_dim", hidden // heads)
    latent = (fields.optional("kv_lora_rank") or 0) and _latent_width(fields)
    cache = family(fields, layers, kv_heads, head_dim)
    fields.check()
    return Shape(
        weights_gib=weights_gib,
        layers=layers,
        attention_heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        token_limit=limit,
        cache=cache,
        hidden_size=hidden,
        intermediate_size=_active_width(fields),
        vocabulary=fields.optional("vocab_size") or 0,
        tied=_tied(config, text),
        quantization=_quantization(config, text),
        weight_bytes=_weight_bytes(config, text),
        latent_width=latent,
        remote_code="auto_map" in config,
    )


def _text_part(config: Config) -> Config:
    """The language model of a model that also sees or hears: its own section over the rest, as KAITO merges them."""
    for name in ("text_config", "llm_config"):
        if isinstance(config.get(name), Mapping):
            return {**config, **config[name]}
    return config


CacheOf = Callable[[Fields, int, int, int], tuple[Cache, ...]]
"""From fields, layers, KV heads and head size to what the layers keep."""


def _plain(fields: Fields, layers: int, kv_heads: int, head_dim: int) -> tuple[Cache, ...]:
    if fields.optional("kv_lora_rank"):
        return _latent(fields, layers, kv_heads, head_dim)
    return (full_attention(layers, kv_heads, head_dim),)


def _windowed(fields: Fields, layers: int, kv_heads: int, head_dim: int) -> tuple[Cache, ...]:
    """Each layer looks back over the window, where there is one."""
    return (full_attention(layers, kv_heads, head_dim, fields.optional("sliding_window") or 0),)


def _alternating(every: int) -> CacheOf:
    """Layers with a window, and each `every`-th with full attention, unless `layer_types` says which."""

    def cache(fields: Fields, layers: int, kv_heads: int, head_dim: int) -> tuple[Cache, ...]:
        kinds = _layer_kinds(fields, layers, every)
        window = fields.number("sliding_window")
        full = kinds.count("full_attention")
        return _groups(
            full_attention(full, kv_heads, head_dim), full_attention(layers - full, kv_heads, head_dim, window)
        )

    return cache


def _gemma4(fields: Fields, layers: int, kv_heads: int, head_dim: int) -> tuple[Cache, ...]:
    """Full layers have heads of their own size and number; the last layers share the cache of earlier ones."""
    kept = max(layers - (fields.optional("num_kv_shared_layers") or 0), 0)
    kinds = _layer_kinds(fields, layers, 6)[:kept]
    full = kinds.count("full_attention")
    own_heads = fields.optional("num_global_key_value_heads") if fields.config.get("attention_k_eq_v") else None
    own_dim = fields.optional("global_head_dim") or 512
    window = fields.number("sliding_window")
    return _groups(
        full_attention(full, own_heads or kv_heads, own_dim),
        full_attention(kept - full, kv_heads, head_dim, window),
    )


def _layer_kinds(fields: Fields, layers: int, every: int) -> list[str]:
    listed = fields.config.get("layer_types")
    if listed is None:
        step = fields.optional("sliding_window_pattern") or every
        return ["sliding_attention" if (index + 1) % step else "full_attention" for index in range(layers)]
    return _known_kinds(listed, layers, ("full_attention", "sliding_attention"))


def _known_kinds(listed: Any, layers: int, known: tuple[str, ...]) -> list[str]:
    if not isinstance(listed, list) or len(listed) != layers or not all(isinstance(kind, str) for kind in listed):
        raise UnknownShapeError(f"`layer_types` must list {layers} layers")
    for kind in listed:
        if kind not in known:
            raise UnknownShapeError(f"its layers of kind `{kind}` are none that we can count")
    return listed


def _latent_width(fields: Fields) -> int:
    return fields.number("kv_lora_rank") + fields.number("qk_rope_head_dim")


def _latent(fields: Fields, layers: int, _kv_heads: int, _head_dim: int) -> tuple[Cache, ...]:
    """Latent attention (DeepSeek-V2, section 2.1): one vector of `kv_lora_rank` and the rotary key of all heads."""
    return (Cache(kind="latent", layers=layers, width=_latent_width(fields)),)


def _latent_indexed(fields: Fields, layers: int, _kv_heads: int, _head_dim: int) -> tuple[Cache, ...]:
    """DeepSeek-V3.2: the same, and the keys by which an indexer picks tokens."""
    index = fields.number("index_head_dim")
    kept = index + math.ceil(index / INDEX_BLOCK) * 4
    return (Cache(kind="latent", layers=layers, width=_latent_width(fields), token_bytes=kept),)


def _gated_delta(fields: Fields, layers: int, kv_heads: int, head_dim: int) -> tuple[Cache, ...]:
    """Qwen3-Next and Qwen3.5: gated delta nets, and full attention in each n-th layer.

    A state holds `value heads x key size x value size` numbers, and the last inputs of a short convolution.
    """
    listed = fields.config.get("layer_types")
    if listed is None:
        full = layers // fields.number("full_attention_interval")
    else:
        full = _known_kinds(listed, layers, ("full_attention", "linear_attention")).count("full_attention")
    keys, values = fields.number("linear_num_key_heads"), fields.number("linear_num_value_heads")
    key_dim, value_dim = fields.number("linear_key_head_dim"), fields.number("linear_value_head_dim")
    conv = (2 * keys * key_dim + values * value_dim) * (fields.number("linear_conv_kernel_dim") - 1)
    state = values * key_dim * value_dim * STATE_BYTES + conv * HALF
    return _groups(full_attention(full, kv_heads, head_dim), _states(layers - full, state))


def _nemotron_h(fields: Fields, _layers: int, kv_heads: int, head_dim: int) -> tuple[Cache, ...]:
    """Mamba-2, attention and feed-forward layers by a pattern of letters: `M`, `*`; `-` and `E` keep nothing."""
    pattern = fields.config.get("hybrid_override_pattern")
    if not isinstance(pattern, str) or set(pattern) - set("M*-E"):
        raise UnknownShapeError("it lacks a `hybrid_override_pattern` of `M`, `*`, `-` and `E`")
    inner = fields.number("mamba_num_heads") * fields.number("mamba_head_dim")
    size = fields.number("ssm_state_size")
    conv = (inner + 2 * fields.number("n_groups") * size) * (fields.number("conv_kernel") - 1)
    state = inner * size * STATE_BYTES + conv * HALF
    return _groups(full_attention(pattern.count("*"), kv_heads, head_dim), _states(pattern.count("M"), state))


def _states(layers: int, state: int) -> Cache:
    return Cache(kind="state", layers=layers, state_bytes=STATES * state)


def _groups(*groups: Cache) -> tuple[Cache, ...]:
    return tuple(group for group in groups if group.layers)


FAMILIES: dict[str, CacheOf] = {
    **dict.fromkeys(
        (
            "ApertusForCausalLM", "ArceeForCausalLM", "BloomForCausalLM", "Ernie4_5ForCausalLM",
            "Ernie4_5_MoeForCausalLM", "GPT2LMHeadModel", "GPTNeoXForCausalLM", "GemmaForCausalLM", "Glm4ForCausalLM",
            "Glm4MoeForCausalLM", "GlmForCausalLM", "GraniteForCausalLM", "GraniteMoeForCausalLM",
            "HeliumForCausalLM", "InternLM2ForCausalLM", "InternLM3ForCausalLM", "LlamaForCausalLM",
            "LlavaForConditionalGeneration", "MiniMaxM2ForCausalLM", "Ministral3ForCausalLM",
            "Mistral3ForConditionalGeneration", "MixtralForCausalLM", "NemotronForCausalLM", "Olmo2ForCausalLM",
            "OlmoForCausalLM", "OlmoeForCausalLM", "OPTForCausalLM", "Phi3ForCausalLM", "PhiForCausalLM",
            "PhimoeForCausalLM", "Qwen2ForCausalLM", "Qwen2MoeForCausalLM", "Qwen2VLForConditionalGeneration",
            "Qwen2_5_VLForConditionalGeneration", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM",
            "Qwen3VLForConditionalGeneration", "Qwen3VLMoeForConditionalGeneration", "SeedOssForCausalLM",
            "SmolLM3ForCausalLM", "SolarForCausalLM", "StableLmForCausalLM", "Starcoder2ForCausalLM",
        ),
        _plain,
    ),
    "MistralForCausalLM": _windowed,
    "Gemma2ForCausalLM": _alternating(2),
    **dict.fromkeys(("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"), _alternating(6)),
    **dict.fromkeys(
        ("Gemma4ForCausalLM", "Gemma4ForConditionalGeneration", "Gemma4UnifiedForConditionalGeneration"), _gemma4
    ),
    "GptOssForCausalLM": _alternating(2),
    **dict.fromkeys(("Cohere2ForCausalLM", "Exaone4ForCausalLM", "Olmo3ForCausalLM"), _alternating(4)),
    **dict.fromkeys(
        (
            "DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM", "KimiK25ForConditionalGeneration",
            "MistralLarge3ForCausalLM",
        ),
        _latent,
    ),
    "DeepseekV32ForCausalLM": _latent_indexed,
    **dict.fromkeys(
        (
            "Qwen3NextForCausalLM", "Qwen3_5ForConditionalGeneration", "Qwen3_5MoeForConditionalGeneration",
            "Qwen3_5ForCausalLM", "Qwen3_5MoeForCausalLM",
        ),
        _gated_delta,
    ),
    "NemotronHForCausalLM": _nemotron_h,
}  # fmt: skip
"""What the layers of an architecture keep, as vLLM 0.25 runs it.

Plain ones: Phi-3 and Qwen2 name a window that vLLM does not use there, so all their layers count in full.
"""


def _architecture(config: Config) -> str:
    names = config.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise UnknownShapeError("it names no `architectures`")
    if names[0] not in FAMILIES:
        raise UnknownShapeError(f"`{names[0]}` is no architecture whose cache we can count")
    return names[0]


def _active_width(fields: Fields) -> int:
    """Width of the feed-forward part that one token passes; of a mixture, its chosen and its shared experts."""
    dense = fields.optional("intermediate_size") or fields.optional("n_inner") or 0
    experts = fields.optional("num_experts_per_tok") or fields.optional("top_k_experts") or 0
    if not experts:
        return dense
    width = fields.optional("moe_intermediate_size") or dense
    shared = (fields.optional("n_shared_experts") or 0) * width
    shared += fields.optional("shared_expert_intermediate_size") or 0
    return max(experts * width + shared, dense)


def _tied(config: Config, text: Config) -> bool:
    return bool(config.get("tie_word_embeddings") or text.get("tie_word_embeddings"))


def _quantization(config: Config, text: Config) -> str:
    found = config.get("quantization_config") or text.get("quantization_config")
    return str(found.get("quant_method", "yes")) if isinstance(found, Mapping) else ""


def _weight_bytes(config: Config, text: Config) -> int:
    """Bytes of a number in the files, where they are not quantized; 16 bits where nothing says so."""
    name = text.get("dtype") or text.get("torch_dtype") or config.get("dtype") or config.get("torch_dtype")
    return DTYPES.get(str(name).removeprefix("torch."), HALF)
