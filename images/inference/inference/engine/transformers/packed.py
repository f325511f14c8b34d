"""Linear layers held in the order in which the processor's kernels read them.

A step of a batch is mostly the product of a few rows with every weight. Rows of a plain matrix are turned anew into the
kernel's blocks in each of these products; packed once, they take two thirds of the time for one row and half for eight
and more. The blocks are the same for any number of rows, so each weight is held once, and plainly only where it is
also an embedding. What is not packed is copied as well: no page of the weights' files stays in memory, and nobody who
replaces a file ends the server.

The kernels are not the same: each number of rows gets its own, half a megabyte to two for each shape of weight, and
keeps them. Prompts of some hundred lengths would take gigabytes, so rows are filled up to a few sizes.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

ROWS = 32
"""For so many rows the blocks are chosen; measured from 1 to 512, they are the best or next to it for all."""
MOST_ROWS = 256
"""So many rows at once: more take as long per row, and each further size would have its kernels."""


def kernel_rows(rows: int) -> int:
    """The rows that a product is calculated with: the next of four sizes between a power of two and the next."""
    step = 1 << max(0, (rows - 1).bit_length() - 3)
    return -(-rows // step) * step


class Packed(nn.Module):
    """A linear layer, packed."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        # No parameter: what walks over the parameters wants plain tensors.
        self._blocks = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), ROWS)  # noqa: SLF001

    def forward(self, states: Tensor) -> Tensor:
        count = states.numel() // self.in_features
        if count > MOST_ROWS:
            parts = states.reshape(-1, self.in_features).split(MOST_ROWS)
            return torch.cat([self.forward(rows) for rows in parts]).view(*states.shape[:-1], self.out_features)
        spare = kernel_rows(count) - count
        # Most calls, those of every step: what the rest needs takes longer than a small product.
        if not spare:
            return self._product(states)
        filled = functional.pad(states.reshape(-1, self.in_features), (0, 0, 0, spare))
        return self._product(filled)[:count].view(*states.shape[:-1], self.out_features)

    def _product(self, rows: Tensor) -> Tensor:
        answer: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._blocks, self.bias, "none", [], "")  # noqa: SLF001
        return answer

    @property
    def weight(self) -> Tensor:
        """The plain weight, a copy: for what looks at a layer instead of calling it."""
        plain: Tensor = self._blocks.to_dense()
        return plain


def can_pack(model: Any) -> bool:
    """Whether this processor has kernels for the model's type of numbers."""
    if model.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    half = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001
    return model.dtype == torch.float32 or (model.dtype == torch.bfloat16 and half)


def pack(model: Any, spare: int) -> None:
    """Replace the plain linear layers, and take everything else out of the files.

    A head that is the embedding too is then held twice, which may take `spare` bytes.
    """
    embedding = model.get_input_embeddings().weight
    for parent, name in _places(model, (nn.Linear, Conv1D)):
        layer = getattr(parent, name)
        if layer.weight is embedding and embedding.nbytes > spare:
            continue
        weight = layer.weight.t() if isinstance(layer, Conv1D) else layer.weight
        setattr(parent, name, Packed(weight, layer.bias))
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.clone()


def unpack(model: Any) -> None:
    """Plain linear layers again, for a model whose own program calculates something else with packed ones."""
    for parent, name in _places(model, (Packed,)):
        layer = getattr(parent, name)
        plain = nn.Linear(layer.in_features, layer.out_features, bias=False, device="meta")
        plain.weight, plain.bias = nn.Parameter(layer.weight, requires_grad=False), layer.bias
        setattr(parent, name, plain)


def _places(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[tuple[nn.Module, str]]:
    """Where layers of exactly these kinds are, by parent and name: a kind made of one of them has its own program.

    Not the layers themselves: each must leave memory as soon as it is replaced. PEFT keeps an adapter's narrow matrices
    in dictionaries, and looks at their weights in each pass.
    """
    return [
        (parent, name)
        for parent in model.modules()
        if not isinstance(parent, nn.ModuleDict)
        for name, child in parent.named_children()
        if type(child) in kinds
    ]
