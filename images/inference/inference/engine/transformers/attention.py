"""Attention of one new token a row without copying the cache.

transformers repeats keys and values for each group of heads that shares them, a copy of the whole cache in every layer
of every step. With a single query the heads of a group can stand where the query's places would: same sums, no copy.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "grouped_sdpa"


def grouped(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **rest: Any
) -> tuple[Tensor, None]:
    """The signature that transformers' attention interface asks for."""
    rows, heads, places, width = query.shape
    shared = key.shape[1]
    if places != 1 or heads == shared or rest.get("position_bias") is not None:
        answer: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **rest)
        return answer
    answer_states = torch.nn.functional.scaled_dot_product_attention(
        query.view(rows, shared, heads // shared, width),
        key,
        value,
        attn_mask=attention_mask,
        scale=rest.get("scaling"),
    )
    return answer_states.reshape(rows, 1, heads, value.shape[-1]), None


def one_query(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
    """The same for a step alone: `query` is rows x shared heads x heads that share one x width.

    `mask` is rows x shared heads x 1 x places, in one piece.

    torch's fused kernel is made for many queries: with so few, plain products take half its time over 64 places and no
    more over thousands. They round the scores to the numbers' type, so only whole floats go this way.
    """
    if query.dtype != torch.float32:
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, mask, scale=scale)
    scores = torch.baddbmm(mask.flatten(0, 1), query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2), alpha=scale)
    return torch.bmm(scores.softmax(-1), value.flatten(0, 1)).view(query.shape)


def register() -> None:
    AttentionInterface.register(NAME, grouped)
    AttentionMaskInterface.register(NAME, sdpa_mask)
