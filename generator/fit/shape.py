"""What a model is, as far as memory goes: its weights, and what its layers remember of a sequence.

Layers differ in what they keep. Full attention keeps every token, a sliding window the last few thousand, latent
attention (MLA) one compressed vector for all heads, a state layer (Mamba, gated delta net) the same bytes however long
the sequence is. A shape lists its layers by kind, so that one formula counts them all.
"""

from dataclasses import dataclass
from typing import Literal

from generator.fit.kaito import HALF, cache_per_token

Kind = Literal["full", "sliding", "latent", "state"]
LARGEST_VOCABULARY = 262_208
"""Gemma 3's, the largest of any model that we looked up: it stands for one that is not known."""
WIDEST_INTERMEDIATE = 4
"""Width of the feed-forward layers by the hidden size, where it is not known: the ratio of the first transformer, which
gated ones stay below (Llama 3.1 8B: 3.5)."""


class UnknownShapeError(Exception):
    """We cannot tell what the model keeps in memory: an architecture or a field that we do not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Layers of one kind, and what one of them keeps of a sequence."""

    kind: Kind
    layers: int
    width: int = 0
    """Numbers kept for each token: keys and values of all heads, or the latent vector."""
    shards: int = 1
    """Over how many GPUs tensor parallelism can divide it: the KV heads; 1: each GPU holds the whole."""
    window: int = 0
    """Tokens that a sliding layer looks back."""
    state_bytes: int = 0
    """Bytes that a state layer keeps of a sequence, whatever its length."""
    token_bytes: int = 0
    """Bytes for each token beside `width`, in a form of their own (the keys of a sparse-attention indexer)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    weights_gib: float
    """Size of the weight files, of all experts, quantized or not."""
    layers: int
    attention_heads: int
    kv_heads: int
    head_dim: int
    token_limit: int
    cache: tuple[Cache, ...]
    hidden_size: int
    intermediate_size: int = 0
    """Width of the feed-forward part that one token passes: of a mixture, the active experts'; 0: not known."""
    vocabulary: int = 0
    """0: not known."""
    tied: bool = False
    """One matrix is both embedding and output."""
    quantization: str = ""
    """How the weight files are quantized; empty: they hold numbers of `weight_bytes`."""
    weight_bytes: int = HALF
    kaito_gib: float = 0.0
    """Size of the files as KAITO counts it, where it counts others beside the weights; 0: the same."""
    latent_width: int = 0
    """Of latent attention; KAITO counts the cache by it."""
    remote_code: bool = False
    """The repository asks to run code of its own."""

    @property
    def kaito_bytes_per_token(self) -> int:
        return cache_per_token(self.layers, self.kv_heads, self.head_dim, self.latent_width)

    @property
    def kaito_weights_gib(self) -> float:
        return self.kaito_gib or self.weights_gib

    @property
    def feed_forward(self) -> int:
        return self.intermediate_size or WIDEST_INTERMEDIATE * self.hidden_size

    @property
    def embedding_gib(self) -> float:
        """GiB of embedding and output in 16 bits; a tied matrix is held once."""
        matrices = 1 if self.tied else 2
        return matrices * (self.vocabulary or LARGEST_VOCABULARY) * self.hidden_size * HALF / (1 << 30)


def full_attention(layers: int, kv_heads: int, head_dim: int, window: int = 0) -> Cache:
    """Layers that keep keys and values of `kv_heads` heads: of every token, or of the last `window` ones."""
    return Cache(
        kind="sliding" if window else "full",
        layers=layers,
        width=2 * kv_heads * head_dim,
        shards=kv_heads,
        window=window,
    )
