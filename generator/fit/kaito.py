"""How many nodes will KAITO ask for? Its estimator's formula, so that an entry that cannot fit fails before a merge.

KAITO computes the number once, when a Workspace with a preset under vLLM is created, and never again. It divides the
KV cache by the GPUs of one node even where several nodes share the model: we repeat that on purpose, because what
counts is the answer that KAITO will give.
"""

import math

from generator.facts import Estimator

GIB = 1 << 30


HALF = 2
"""Bytes of a 16-bit number."""


def cache_per_token(layers: int, kv_heads: int, head_dim: int, latent_width: int = 0) -> int:
    """Bytes of cache per token as KAITO counts: 16 bits, every layer full attention, whatever the engine does.

    Source: vllm_model.go of KAITO 0.12: `2 x kvHeads x headDim x layers x 2`, for MLA
    `(kvLoraRank + qkRopeHeadDim) x layers x 2`.
    """
    return (latent_width or 2 * kv_heads * head_dim) * layers * HALF


def estimate_nodes(
    weights_gib: float,
    bytes_per_token: int,
    context: int,
    gpus: int,
    total_gpu_memory_gib: float,
    *,
    estimator: Estimator,
) -> int | None:
    """Nodes of `gpus` GPUs that the model needs at `context` tokens; None where a GPU is too small for any number."""
    available = estimator.gpu_memory_utilization * total_gpu_memory_gib / gpus
    fixed = estimator.overhead_gib + context * bytes_per_token / gpus / GIB
    if available <= fixed:
        return None
    usable = (available - fixed) / estimator.usable_divisor
    minimum_gpus = math.floor(estimator.weights_factor * weights_gib / usable) + 1
    return math.ceil(minimum_gpus / gpus)
