"""Keys and values of all running sequences: one tensor a layer, a row for each sequence, filled from its start.

A sequence joins by taking the next row and leaves by giving its row to the last one, so nothing is ever concatenated or
padded anew: what a step reads are views. Rows differ in length; the mask of a step says how far each one reaches.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

ROW_STEP = 4
LENGTH_STEP = 64


@dataclass(slots=True)
class Window:
    """What the next forward pass reads and writes."""

    first: int = 0
    last: int = 0
    start: int = 0
    visible: int = 0
    rows: Tensor | None = None
    positions: Tensor | None = None
    """Where each row writes its one token; None while prompts are read, which write from `start` on."""


class SlotLayer(CacheLayerMixin):
    """One layer's keys and values."""

    is_sliding = False

    def __init__(self, slots: "Slots") -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the base class has no types
        self._slots = slots

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys: Tensor = self._empty(key_states)
        self.values: Tensor = self._empty(value_states)
        self.is_initialized = True

    def _empty(self, like: Tensor) -> Tensor:
        return like.new_zeros((self._slots.rows, like.shape[1], self._slots.length, like.shape[3]))

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        return self._write(self.keys, key_states), self._write(self.values, value_states)

    def _write(self, store: Tensor, states: Tensor) -> Tensor:
        window = self._slots.window
        if window.positions is None:
            store[window.first : window.last, :, window.start : window.visible] = states
        else:
            store[window.rows, :, window.positions] = states[:, :, 0]
        return store[window.first : window.last, :, : window.visible]

    def resize(self) -> None:
        if self.is_initialized:
            self.keys, self.values = (self._resized(store) for store in (self.keys, self.values))

    def _resized(self, old: Tensor) -> Tensor:
        new = self._empty(old)
        rows, length = min(old.shape[0], new.shape[0]), min(old.shape[2], new.shape[2])
        new[:rows, :, :length] = old[:rows, :, :length]
        return new

    def move(self, source: int, target: int, length: int) -> None:
        for store in (self.keys, self.values):
            store[target, :, :length] = store[source, :, :length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        del query_length
        return self._slots.window.visible, 0

    def get_seq_length(self) -> int:
        window = self._slots.window
        return window.start if window.positions is None else window.visible - 1

    def get_max_length(self) -> int:
        return -1


@dataclass(slots=True)
class Slots:
    """The tensors of all layers, and the window through which the model sees them."""

    layers: int
    rows: int = ROW_STEP
    length: int = LENGTH_STEP
    window: Window = field(default_factory=Window)
    cache: Cache = field(init=False)

    def __post_init__(self) -> None:
        self.cache = Cache(layers=[SlotLayer(self) for _ in range(self.layers)])

    @property
    def token_bytes(self) -> int:
        """Bytes that one token of one sequence takes, known after the first pass."""
        stores = [store for layer in self.slot_layers for store in (layer.keys, layer.values) if store is not None]
        return sum(store.shape[1] * store.shape[3] * store.element_size() for store in stores)

    def reserve(self, rows: int, length: int, budget: int | None) -> None:
        """Make room for `rows` sequences of `length` tokens; idle room goes before the budget is passed."""
        exact, needed = (rows, rounded_length(length)), (rounded_rows(rows), rounded_length(length))
        if exact[0] <= self.rows and exact[1] <= self.length:
            return
        grown = (max(needed[0], self.rows), max(needed[1], self.length))
        affordable = [
            shape for shape in (grown, needed) if budget is None or shape[0] * shape[1] * self.token_bytes <= budget
        ]
        self.rows, self.length = [*affordable, exact][0]
        for layer in self.slot_layers:
            layer.resize()

    def move(self, source: int, target: int, length: int) -> None:
        for layer in self.slot_layers:
            layer.move(source, target, length)

    @property
    def slot_layers(self) -> list[SlotLayer]:
        return [layer for layer in self.cache.layers if isinstance(layer, SlotLayer)]


def rounded_rows(rows: int) -> int:
    return -(-rows // ROW_STEP) * ROW_STEP


def rounded_length(length: int) -> int:
    """The places that a sequence of so many tokens takes."""
    return -(-length // LENGTH_STEP) * LENGTH_STEP


def causal(window: Window, reach: int | None, dtype: torch.dtype, device: torch.device) -> Tensor:
    """What each new token may attend to: itself and what is before it, `reach` tokens at most where that is set."""
    keys = torch.arange(window.visible, device=device)
    if window.positions is None:
        places = torch.arange(window.start, window.visible, device=device)[None, None, :, None]
    else:
        places = window.positions[:, None, None, None]
    allowed = keys <= places
    if reach is not None:
        allowed &= keys > places - reach
    return torch.zeros(allowed.shape, dtype=dtype, device=device).masked_fill_(~allowed, torch.finfo(dtype).min)


def present(window: Window, lengths: Tensor) -> Tensor:
    """The classic mask of two dimensions: which places of each row hold a token, the new ones included."""
    return (torch.arange(window.visible, device=lengths.device) < lengths[:, None]).long()
