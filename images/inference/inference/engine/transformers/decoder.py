"""One token for every row of a model of Llama's shape, in a third of the operators that transformers takes.

A step of a small batch is mostly the reading of weights (`packed`) and the start of operators. So a residual is added
in the place of its product, rotation takes three operators for queries and keys together, and heads that share keys
stand where queries would. The layers are the model's own, which goes on working for prompts and for `generate`. The
start's self-test decides whether a model that looks right is calculated right.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.engine.transformers.attention import one_query
from inference.engine.transformers.packed import Packed
from inference.engine.transformers.slots import SlotLayer

MODEL_TYPES = frozenset({"llama", "mistral", "qwen2", "qwen3"})
"""Root-mean-square norms before each half, rotated queries and keys, a gated SiLU in the middle."""

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Norm:
    """A root-mean-square norm over the last dimension."""

    weight: Tensor
    epsilon: float

    def __call__(self, states: Tensor) -> Tensor:
        return torch.rms_norm(states, self.weight.shape, self.weight, self.epsilon)


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer calculates with. Queries and keys have norms of their own in Qwen 3 alone."""

    before: Norm
    query: Product
    key: Product
    value: Product
    query_norm: Norm | None
    key_norm: Norm | None
    out: Product
    between: Norm
    gate: Product
    up: Product
    down: Product


def looks_right(model: Any) -> bool:
    """Plain or packed linear layers on a CPU."""
    config = model.config
    if config.model_type not in MODEL_TYPES or config.hidden_act != "silu" or model.device.type != "cpu":
        return False
    return all(type(part) in {nn.Linear, Packed} for part in _projections(model))


def _projections(model: Any) -> list[nn.Module]:
    found = [model.lm_head]
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        found += [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
        found += [mlp.gate_proj, mlp.up_proj, mlp.down_proj]
    return found


class Decoder:
    """The step, with the model's own layers."""

    def __init__(self, model: Any) -> None:
        self._embedding = model.model.embed_tokens.weight
        self._rotary = model.model.rotary_emb
        self._layers = [_layer(layer) for layer in model.model.layers]
        self._norm = _norm(model.model.norm)
        self._head: Product = model.lm_head.forward
        attention = model.model.layers[0].self_attn
        self._width = attention.head_dim
        self._scale = attention.scaling
        self._shared = model.config.num_key_value_heads
        self._heads = model.config.num_attention_heads
        half = torch.ones(self._width, dtype=self._embedding.dtype)
        half[: self._width // 2] = -1
        self._sign = half

    def step(self, tokens: Tensor, positions: Tensor, cache: list[SlotLayer], mask: Tensor) -> Tensor:
        """The logits after one more token in each row."""
        hidden = functional.embedding(tokens, self._embedding)
        cosine, sine = self._rotary(hidden[:, None], positions[:, None])
        sine = sine * self._sign
        mask = mask.expand(-1, self._shared, -1, -1).contiguous()
        for layer, slot in zip(self._layers, cache, strict=True):
            hidden = self._attend(layer, slot, hidden, (cosine, sine), mask)
            between = layer.between(hidden)
            hidden = layer.down(functional.silu(layer.gate(between)).mul_(layer.up(between))).add_(hidden)
        return self._head(self._norm(hidden))

    def _attend(
        self, layer: Layer, slot: SlotLayer, hidden: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor
    ) -> Tensor:
        """Add what the new token finds in the cache; the heads that share keys stand where queries would."""
        rows = hidden.shape[0]
        before = layer.before(hidden)
        queries = layer.query(before).view(rows, self._heads, self._width)
        keys = layer.key(before).view(rows, self._shared, self._width)
        if layer.query_norm and layer.key_norm:
            queries, keys = layer.query_norm(queries), layer.key_norm(keys)
        turning = torch.cat((queries, keys), 1)
        cosine, sine = rotation
        turned = torch.addcmul(turning * cosine, turning.roll(self._width // 2, -1), sine)
        queries, keys = turned.split((self._heads, self._shared), 1)
        values = layer.value(before).view(rows, self._shared, 1, self._width)
        seen_keys, seen_values = slot.update(keys[:, :, None], values)
        found = one_query(
            queries.reshape(rows, self._shared, -1, self._width), seen_keys, seen_values, mask, self._scale
        )
        return layer.out(found.reshape(rows, -1)).add_(hidden)


def _layer(layer: Any) -> Layer:
    """The layer's parts, called without `nn.Module`'s hooks."""
    attention, mlp = layer.self_attn, layer.mlp
    own_norms = hasattr(attention, "q_norm")
    return Layer(
        before=_norm(layer.input_layernorm),
        query=attention.q_proj.forward,
        key=attention.k_proj.forward,
        value=attention.v_proj.forward,
        query_norm=_norm(attention.q_norm) if own_norms else None,
        key_norm=_norm(attention.k_norm) if own_norms else None,
        out=attention.o_proj.forward,
        between=_norm(layer.post_attention_layernorm),
        gate=mlp.gate_proj.forward,
        up=mlp.up_proj.forward,
        down=mlp.down_proj.forward,
    )


def _norm(norm: Any) -> Norm:
    return Norm(norm.weight, norm.variance_epsilon)
