"""The figures of an engine that a fit counts with, as the facts give them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Engine:
    """vLLM's defaults where nobody sets them, and what it takes beside weights and cache."""

    utilization: float
    """Share of a GPU's memory that KAITO lets vLLM take."""
    utilization_of: Mapping[str, float]
    """The same by GPU family, where it differs."""
    own_utilization: float
    """vLLM's own default, which holds for our own server."""
    overhead_gib: float
    """Per GPU: CUDA context, communication buffers, CUDA graphs and the activations of a small model."""
    weights_factor: float
    """What loaded weights take by the size of their files."""
    block: int
    """Tokens of one block of the cache."""
    batched_tokens: int
    sequences: int
    """`max-num-batched-tokens` and `max-num-seqs` of the API server by default."""
    large_gpu_gib: float
    large_batched_tokens: int
    large_sequences: int
    """The same on GPUs of at least `large_gpu_gib`, but for the A100."""
    small_batch_families: frozenset[str]
    half_gpu: float
    """KAITO runs copies of the model in place of shards where it takes less than this share of one GPU."""
    lora_rank: int
    """`max-lora-rank` by default."""
    process_gib: float
    """What our own server's process takes of a CPU node beside the model."""

    def share(self, family: str) -> float:
        return self.utilization_of.get(family, self.utilization)

    def is_large(self, family: str, gpu_gib: float) -> bool:
        return gpu_gib >= self.large_gpu_gib and family not in self.small_batch_families
