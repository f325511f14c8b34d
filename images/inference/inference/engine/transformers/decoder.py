"""One token for every row of a model of Llama's shape, in a third of the operators that transformers takes.

A step of a small batch is mostly the start of operators and the reading of weights. So projections that read the same
states are one matrix, a residual is added where its product is made, and rotation takes three operators for queries and
keys together. Weights are held once: the model's own layers become views of the joined ones and go on working, for
prompts and for `generate`. The start's self-test decides whether a model that looks right is calculated right.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.engine.transformers.slots import SlotLayer

MODEL_TYPES = frozenset({"llama", "mistral", "qwen2"})
"""Root-mean-square norms before each half, rotated queries and keys, a gated SiLU in the middle."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's weights, joined."""

    before: Tensor
    epsilon: float
    qkv: Tensor
    qkv_bias: Tensor | None
    out: Tensor
    between: Tensor
    gate_up: Tensor
    down: Tensor


def looks_right(model: Any) -> bool:
    """Plain linear layers on a CPU, without the biases that nobody has added so far."""
    config = model.config
    if config.model_type not in MODEL_TYPES or config.hidden_act != "silu" or model.device.type != "cpu":
        return False
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        projections = [attention.q_proj, attention.k_proj, attention.v_proj]
        unbiased = [attention.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj]
        if any(type(part) is not nn.Linear for part in (*projections, *unbiased)):
            return False
        if any(part.bias is not None for part in unbiased) or len({part.bias is None for part in projections}) > 1:
            return False
    return type(model.lm_head) is nn.Linear and model.lm_head.bias is None


class Decoder:
    """The step, over weights that it shares with the model."""

    def __init__(self, model: Any) -> None:
        self._embedding = model.model.embed_tokens.weight
        self._rotary = model.model.rotary_emb
        self._layers = [_joined(layer) for layer in model.model.layers]
        self._norm, self._epsilon = model.model.norm.weight, model.model.norm.variance_epsilon
        self._head = model.lm_head.weight
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
        for layer, slot in zip(self._layers, cache, strict=True):
            hidden = self._attend(layer, slot, hidden, (cosine, sine), mask)
            between = torch.rms_norm(hidden, hidden.shape[-1:], layer.between, layer.epsilon)
            gate, up = functional.linear(between, layer.gate_up).chunk(2, -1)
            hidden = torch.addmm(hidden, functional.silu(gate).mul_(up), layer.down)
        return functional.linear(torch.rms_norm(hidden, hidden.shape[-1:], self._norm, self._epsilon), self._head)

    def _attend(
        self, layer: Layer, slot: SlotLayer, hidden: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor
    ) -> Tensor:
        """Add what the new token finds in the cache; the heads that share keys stand where queries would."""
        rows = hidden.shape[0]
        before = torch.rms_norm(hidden, hidden.shape[-1:], layer.before, layer.epsilon)
        states = functional.linear(before, layer.qkv, layer.qkv_bias).view(rows, -1, self._width)
        turning, values = states.split((self._heads + self._shared, self._shared), 1)
        cosine, sine = rotation
        turned = torch.addcmul(turning * cosine, turning.roll(self._width // 2, -1), sine)
        queries, keys = turned.split((self._heads, self._shared), 1)
        seen_keys, seen_values = slot.update(keys[:, :, None], values[:, :, None])
        found = functional.scaled_dot_product_attention(
            queries.reshape(rows, self._shared, -1, self._width), seen_keys, seen_values, mask, scale=self._scale
        )
        return torch.addmm(hidden, found.reshape(rows, -1), layer.out)


def _joined(layer: Any) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp
    projections = [attention.q_proj, attention.k_proj, attention.v_proj]
    qkv = _join(projections, "weight")
    bias = None if attention.q_proj.bias is None else _join(projections, "bias")
    return Layer(
        before=layer.input_layernorm.weight,
        epsilon=layer.input_layernorm.variance_epsilon,
        qkv=qkv,
        qkv_bias=bias,
        out=attention.o_proj.weight.t(),
        between=layer.post_attention_layernorm.weight,
        gate_up=_join([mlp.gate_proj, mlp.up_proj], "weight"),
        down=mlp.down_proj.weight.t(),
    )


def _join(parts: list[Any], name: str) -> Tensor:
    """One tensor for several layers, which become views of it."""
    whole = torch.cat([getattr(part, name).detach() for part in parts])
    start = 0
    for part in parts:
        parameter = getattr(part, name)
        parameter.data = whole[start : start + parameter.shape[0]]
        start += parameter.shape[0]
    return whole
