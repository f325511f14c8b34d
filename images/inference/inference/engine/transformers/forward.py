"""One forward pass over rows of running sequences: the only place that calls the model.

Two ways of keeping keys and values. `Dense` has one tensor for all rows and advances them together; it tells the model
where each row ends, with a mask of four dimensions or, for models with ALiBi, of two. `Separate` gives every sequence
a cache of its own and advances them one after the other: slower, and right for whatever `generate` can run.
"""

import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache

from inference.engine.transformers.decoder import Decoder
from inference.engine.transformers.slots import LENGTH_STEP, Slots, Window, causal, present, rounded_length

MaskKind = Literal["four", "two"]
Adapters = Sequence[str | None]


class Rows(Protocol):
    """The running sequences, numbered from 0 without gaps."""

    in_parts: bool
    """Whether a prompt may be read a part at a time."""

    def fits(self, needs: Sequence[int]) -> bool:
        """Whether sequences that will grow to these lengths have room at once."""

    def usage(self, needs: Sequence[int]) -> float: ...

    @property
    def longest(self) -> int | None: ...

    def reserve(self, needs: Sequence[int]) -> None: ...

    def read(
        self, first: int, prompts: Sequence[Sequence[int]], start: int, adapters: Adapters, *, every: bool = False
    ) -> Tensor:
        """Take prompts, or the next part of one, into rows from `first` on: the logits after each, or `every` token."""

    def advance(self, tokens: Sequence[int], lengths: Sequence[int], adapters: Adapters) -> Tensor:
        """Add one token to each of the first rows, which hold `lengths` tokens so far; the logits after it."""

    def drop(self, row: int, last: int, length: int) -> None:
        """Forget a row; row `last`, which holds `length` tokens, takes its place."""


def window_kinds(config: Any) -> dict[str, int | None] | None:
    """How far each kind of layer looks back; None where a layer is not plain attention."""
    text = config.get_text_config(decoder=True)
    kinds = set(getattr(text, "layer_types", None) or [])
    window = getattr(text, "sliding_window", None)
    if not kinds:
        kinds = {"sliding_attention" if window else "full_attention"}
    if not kinds <= {"full_attention", "sliding_attention"}:
        return None
    return {kind: window if kind == "sliding_attention" else None for kind in sorted(kinds)}


def adapter_arguments(adapters: Adapters) -> dict[str, Any]:
    """PEFT's argument that says whose adapter each row wants; nothing where the model has none."""
    names = [name for name in adapters if name is not None]
    return {"adapter_names": names} if names else {}


def arguments_of(model: Any) -> Collection[str]:
    """What the model's own `forward` can be given; PEFT's around it takes anything and says nothing."""
    own = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inspect.signature(own.forward).parameters


class Dense:
    """All rows in one tensor a layer."""

    in_parts = True

    def __init__(self, model: Any, mask: MaskKind, decoder: Decoder | None = None) -> None:
        self._model = model
        self._mask: MaskKind = mask
        self._decoder = decoder
        self._budget: int | None = None
        self._kinds = window_kinds(model.config)
        self._takes_positions = "position_ids" in arguments_of(model)
        self._slots = Slots(model.config.get_text_config(decoder=True).num_hidden_layers)

    @property
    def decodes_itself(self) -> bool:
        """Whether single tokens take our own decoder instead of the model's forward pass."""
        return self._decoder is not None

    @property
    def suitable(self) -> bool:
        """Whether the model's layers are of a kind whose mask we can draw."""
        if self._decoder:
            return self._kinds is not None and len(self._kinds) == 1
        return self._kinds is not None and (self._mask == "four" or set(self._kinds) == {"full_attention"})

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self._model.dtype
        return dtype

    def limit(self, budget: int) -> None:
        self._budget = budget

    def fits(self, needs: Sequence[int]) -> bool:
        return self.usage(needs) <= 1 or len(needs) == 1

    def usage(self, needs: Sequence[int]) -> float:
        if self._budget is None or not needs:
            return 0.0
        return len(needs) * rounded_length(max(needs)) * self._slots.token_bytes / self._budget

    @property
    def longest(self) -> int | None:
        """The longest sequence that the budget holds by itself; None where there is no budget."""
        if self._budget is None:
            return None
        return max(LENGTH_STEP, self._budget // self._slots.token_bytes // LENGTH_STEP * LENGTH_STEP)

    def reserve(self, needs: Sequence[int]) -> None:
        self._slots.reserve(len(needs), max(needs), self._budget)

    def read(
        self, first: int, prompts: Sequence[Sequence[int]], start: int, adapters: Adapters, *, every: bool = False
    ) -> Tensor:
        longest = max(map(len, prompts))
        last = first + len(prompts)
        self._slots.window = Window(first, last, start, start + longest)
        ids = self._tensor([[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts])
        lengths = self._tensor([start + len(prompt) for prompt in prompts])
        positions = torch.arange(start, start + longest, device=ids.device)[None].expand(len(prompts), -1)
        if every:
            return self._forward(ids, positions, lengths, 0, adapters)[0]
        ends = [len(prompt) - 1 for prompt in prompts]
        kept = sorted(set(ends))
        logits = self._forward(ids, positions, lengths, self._tensor(kept), adapters)
        return logits[torch.arange(len(prompts)), [kept.index(end) for end in ends]]

    def advance(self, tokens: Sequence[int], lengths: Sequence[int], adapters: Adapters) -> Tensor:
        visible = max(lengths) + 1
        places = self._tensor(lengths)
        rows = torch.arange(len(tokens), device=places.device)
        self._slots.window = Window(0, len(tokens), visible - 1, visible, rows, places)
        if self._decoder:
            mask = next(iter(self._causal().values()))
            return self._decoder.step(self._tensor(tokens), places, self._slots.slot_layers, mask).float()
        return self._forward(self._tensor(tokens)[:, None], places[:, None], places + 1, 1, adapters)[:, -1]

    def drop(self, row: int, last: int, length: int) -> None:
        if row != last:
            self._slots.move(last, row, length)

    def _forward(
        self, ids: Tensor, positions: Tensor, lengths: Tensor, keep: int | Tensor, adapters: Adapters
    ) -> Tensor:
        arguments: dict[str, Any] = {"attention_mask": self._masks(lengths), "logits_to_keep": keep}
        arguments |= adapter_arguments(adapters)
        if self._takes_positions:
            arguments["position_ids"] = positions
        answer = self._model(input_ids=ids, past_key_values=self._slots.cache, use_cache=True, **arguments)
        logits: Tensor = answer.logits
        return logits.float()

    def _masks(self, lengths: Tensor) -> Tensor | Mapping[str, Tensor]:
        window = self._slots.window
        if self._mask == "two":
            return present(window, lengths)
        masks = self._causal()
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _causal(self) -> dict[str, Tensor]:
        """A mask for each kind of layer; some models want a row of it for each sequence, even where all are alike."""
        window, model = self._slots.window, self._model
        masks = {kind: causal(window, reach, model.dtype, model.device) for kind, reach in (self._kinds or {}).items()}
        return {kind: mask.expand(window.last - window.first, -1, -1, -1) for kind, mask in masks.items()}

    def _tensor(self, numbers: Sequence[Any]) -> Tensor:
        return torch.tensor(numbers, device=self._model.device)


class Separate:
    """A cache for each sequence; one forward pass for each in every step."""

    def __init__(self, model: Any, *, in_parts: bool = True) -> None:
        self._model = model
        self.in_parts = in_parts
        self._caches: list[DynamicCache] = []
        # Models that keep a state instead of keys and values have another name for it.
        known = arguments_of(model)
        self._cache_argument = "cache_params" if "cache_params" in known else "past_key_values"
        self._takes_positions = "position_ids" in known

    def fits(self, needs: Sequence[int]) -> bool:
        return len(needs) <= 1

    def usage(self, needs: Sequence[int]) -> float:
        return float(bool(needs))

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self._model.dtype
        return dtype

    @property
    def longest(self) -> int | None:
        return None

    def reserve(self, needs: Sequence[int]) -> None:
        """Each cache grows by itself."""

    def read(
        self, first: int, prompts: Sequence[Sequence[int]], start: int, adapters: Adapters, *, every: bool = False
    ) -> Tensor:
        if start == 0:
            self._caches[first:] = [DynamicCache(config=self._model.config) for _ in prompts]
        logits = [
            self._forward(prompt, start, self._caches[first + number], 0 if every else 1, adapters[number])
            for number, prompt in enumerate(prompts)
        ]
        return logits[0] if every else torch.cat(logits)

    def advance(self, tokens: Sequence[int], lengths: Sequence[int], adapters: Adapters) -> Tensor:
        rows = zip(tokens, lengths, self._caches, adapters, strict=True)
        return torch.cat([self._forward([token], length, cache, 1, adapter) for token, length, cache, adapter in rows])

    def drop(self, row: int, last: int, length: int) -> None:
        del length
        self._caches[row] = self._caches[last]
        del self._caches[last]

    def _forward(
        self, tokens: Sequence[int], start: int, cache: DynamicCache, keep: int, adapter: str | None
    ) -> Tensor:
        ids = torch.tensor([list(tokens)], device=self._model.device)
        rest = adapter_arguments([adapter]) | {self._cache_argument: cache}
        if self._takes_positions:
            # Some hybrids would take them from their first layer, whose state knows of none.
            rest["position_ids"] = torch.arange(start, start + len(tokens), device=ids.device)[None]
        answer = self._model(input_ids=ids, use_cache=True, logits_to_keep=keep, **rest)
        logits: Tensor = answer.logits[0]
        return logits.float()
