"""What one GPU must hold: weights, cache, activations and the engine's own part, each by its formula.

All figures are bytes or GiB of the GPU that holds most. Sizes round up where the truth depends on an engine's release:
a model that we call fitting should start.
"""

import math
from dataclasses import dataclass

from generator.fit.engine import Engine
from generator.fit.kaito import GIB, HALF
from generator.fit.shape import LARGEST_VOCABULARY, Cache, Shape

NF4_BITS = 4.5
"""bitsandbytes' NF4: 4 bits a weight, a 32-bit scale for each block of 64 (Dettmers et al. 2023, QLoRA, section 3)."""
NF4_DOUBLE_BITS = 4.127
"""The same with the scales quantized in turn (ibid.): 0.127 in place of 0.5 bits."""
INT8_BITS = 8.05
"""bitsandbytes' LLM.int8: 8 bits a weight and a 32-bit scale for each row (Dettmers et al. 2022); a twentieth of a bit
covers rows of 640 weights and more."""
BITS = {"4bit": NF4_BITS, "8bit": INT8_BITS}


@dataclass(frozen=True, slots=True)
class Layout:
    """How an engine spreads one copy of a model: over the GPUs of a node, over nodes; and how many copies it runs."""

    tensor: int = 1
    pipeline: int = 1
    copies: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of the engine on one placement."""

    context: int
    sequences: int = 1
    batched_tokens: int
    max_sequences: int
    kv_bytes: float = HALF
    dtype_bytes: int = HALF
    quantization: str = ""
    """`4bit` or `8bit`: bitsandbytes while loading."""
    adapters: int = 0
    lora_rank: int = 0
    chunked: bool = True
    """Long prompts pass in pieces of `batched_tokens`; the transformers engines take them whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """GiB on the GPU that holds most."""

    weights: float
    cache: float
    activations: float
    overhead: float
    training: float = 0.0
    """The adapter of a LoRA run, with its gradients and the optimizer's state."""

    @property
    def total(self) -> float:
        return self.weights + self.cache + self.activations + self.overhead + self.training


def count(shape: Shape, load: Load, layout: Layout, engine: Engine) -> Parts:
    return Parts(
        weights=weights_gib(shape, load, layout, engine.weights_factor) + adapters_gib(shape, load, layout),
        cache=cache_bytes(shape, load, layout, engine.block) / GIB,
        activations=activation_bytes(shape, load, layout) / GIB,
        overhead=engine.overhead_gib,
    )


def loaded_gib(shape: Shape, load: Load) -> float:
    """GiB of the weights in memory, of all experts.

    Files that are quantized already (AWQ, GPTQ, FP8, MXFP4, ...) weigh what they weigh. Others change with the type
    that the engine computes in, or are quantized by bitsandbytes while they load: then the linear layers shrink, and
    the embedding and the output keep 16 bits (transformers and vLLM leave both alone).
    """
    if shape.quantization:
        return shape.weights_gib
    if not load.quantization:
        return shape.weights_gib * load.dtype_bytes / shape.weight_bytes
    in_half = shape.weights_gib * HALF / shape.weight_bytes
    kept = min(shape.embedding_gib, in_half)
    return kept + (in_half - kept) * BITS[load.quantization] / (8 * HALF)


def weights_gib(shape: Shape, load: Load, layout: Layout, factor: float) -> float:
    """GiB of weights on one GPU: a stage of the pipeline holds whole layers, and tensor parallelism divides each."""
    stage = math.ceil(shape.layers / layout.pipeline) / shape.layers
    return loaded_gib(shape, load) * factor * stage / layout.tensor


def adapters_gib(shape: Shape, load: Load, layout: Layout) -> float:
    """GiB of LoRA slots: one for each adapter, of the engine's largest rank, in 16 bits.

    Source: Hu et al. 2021, `rank x (inputs + outputs)` for each adapted matrix; all seven matrices of a layer are
    counted, as vLLM sizes its slots. Divided by the GPUs of a node, as the matrices are.
    """
    weights = load.adapters * lora_weights(shape, load.lora_rank)
    return weights * HALF / layout.tensor / layout.pipeline / GIB


def lora_weights(shape: Shape, rank: int) -> int:
    """Weights of one LoRA adapter of all linear layers."""
    attention = 2 * shape.hidden_size + 2 * shape.attention_heads * shape.head_dim
    keys = 2 * (shape.hidden_size + shape.kv_heads * shape.head_dim)
    feed_forward = 3 * (shape.hidden_size + shape.feed_forward)
    return rank * shape.layers * (attention + keys + feed_forward)


def cache_bytes(shape: Shape, load: Load, layout: Layout, block: int) -> int:
    """Bytes of cache on one GPU for `sequences` sequences of `context` tokens each."""
    groups = (_group_bytes(cache, load, layout, block) for cache in shape.cache)
    return math.ceil(sum(groups))


def _group_bytes(cache: Cache, load: Load, layout: Layout, block: int) -> float:
    """Bytes of one kind of layer.

    Full and latent layers keep every token, rounded up to blocks. Sliding layers keep the window for each sequence, and
    the tokens of the batch that is being read beside it, once (vLLM: `min(window - 1 + batched tokens, context)` and a
    block, `SlidingWindowSpec`). State layers keep the same for each sequence, however long.
    """
    layers = math.ceil(cache.layers / layout.pipeline)
    width = cache.width / min(layout.tensor, cache.shards)
    per_token = width * load.kv_bytes + cache.token_bytes
    if cache.kind == "state":
        return layers * load.sequences * cache.state_bytes / layout.tensor
    if cache.kind == "sliding":
        tokens = sliding_tokens(cache.window, load, block)
    else:
        tokens = load.sequences * _blocks(load.context, block)
    return layers * per_token * tokens


def sliding_tokens(window: int, load: Load, block: int) -> int:
    """Tokens that a sliding layer keeps for all sequences."""
    kept = min(window - 1, load.context)
    batch = min(load.batched_tokens, max(load.context - kept, 0))
    return load.sequences * (_blocks(kept, block) + block) + _blocks(batch, block)


def _blocks(tokens: int, block: int) -> int:
    return math.ceil(tokens / block) * block


def activation_bytes(shape: Shape, load: Load, layout: Layout) -> int:
    """Bytes of the largest moment of a forward pass on one GPU; counted from the operators of a decoder block.

    A block holds, for each token of the batch, the residual, the normed input and the output (three hidden vectors),
    the queries, keys and values, and gate, up and their product; the last two groups are divided by tensor
    parallelism. Of a mixture only the active experts' width counts. The output computes one row of logits for each
    sequence: 16 bits, then 32 for sampling. Both never live at once, so the larger counts.
    """
    tokens = load.batched_tokens if load.chunked else load.context * load.sequences
    heads = (shape.attention_heads + 2 * shape.kv_heads) * shape.head_dim
    block = tokens * load.dtype_bytes * (3 * shape.hidden_size + (heads + 3 * shape.feed_forward) / layout.tensor)
    logits = load.max_sequences * (shape.vocabulary or LARGEST_VOCABULARY) * (load.dtype_bytes + 4)
    return math.ceil(max(block, logits))
