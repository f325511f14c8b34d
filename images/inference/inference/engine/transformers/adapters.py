"""LoRA adapters the way KAITO applies them, and each of them by its own name.

KAITO merges every folder below `/mnt/adapter` into one adapter, each with the strength that an environment variable of
the adapter's name gives (1.0 without). That one answers for the model's own name; an adapter's name gets it alone.
"""

import logging
from typing import Any

from inference.engine.adapter_fit import check
from inference.engine.adapter_folders import Adapter
from inference.errors import CANNOT_HEAL, StartError

log = logging.getLogger(__name__)
COMBINED = "combined_adapter"


class Adapters:
    """Which adapter a request gets; nothing where there are none."""

    def __init__(self, names: tuple[str, ...] = ()) -> None:
        self.names = names

    def __bool__(self) -> bool:
        return bool(self.names)

    def for_request(self, asked: str | None) -> str | None:
        """The adapter of a row: the one asked for, or all together."""
        if not self.names:
            return None
        return asked or (COMBINED if len(self.names) > 1 else self.names[0])


def load(model: Any, adapters: list[Adapter], combination: str) -> tuple[Any, Adapters]:
    """Put the adapters onto the model and combine them with their strengths."""
    if not adapters:
        return model, Adapters()
    import peft

    own, shapes = model.config._name_or_path, _shapes(model)  # noqa: SLF001 -- the documented attribute
    wrapped = None
    for adapter in adapters:
        check(adapter, own, shapes)
        try:
            if wrapped is None:
                wrapped = peft.PeftModel.from_pretrained(model, adapter.folder, adapter.name, use_safetensors=True)
            else:
                wrapped.load_adapter(adapter.folder, adapter.name, use_safetensors=True)
        except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
            first = str(error).strip().splitlines()[0]
            raise StartError(
                f"the adapter `{adapter.name}` does not fit the model: {first}", exit_code=CANNOT_HEAL
            ) from error
        log.info("adapter `%s` with strength %s", adapter.name, adapter.strength)
    _combine(wrapped, adapters, combination)
    return wrapped, Adapters(tuple(adapter.name for adapter in adapters))


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """What an adapter can be compared with: quantized weights have another shape than the layer they stand for."""
    parameters = model.named_parameters()
    return {name: tuple(own.shape) if own.is_floating_point() else () for name, own in parameters}


def _combine(model: Any, adapters: list[Adapter], combination: str) -> None:
    names, weights = [adapter.name for adapter in adapters], [adapter.strength for adapter in adapters]
    if len(adapters) > 1:
        try:
            model.add_weighted_adapter(names, weights, COMBINED, combination_type=combination)
        except (ValueError, RuntimeError, NotImplementedError) as error:
            raise StartError(
                f"the adapters cannot be combined by `{combination}`: {str(error).splitlines()[0]}",
                "try `--combination_type cat`",
            ) from error
        model.set_adapter(COMBINED)
    else:
        _scale(model, names[0], weights[0])
        model.set_adapter(names[0])
    model.requires_grad_(requires_grad=False)


def _scale(model: Any, name: str, strength: float) -> None:
    """A single adapter needs no combination, only its strength."""
    for module in model.modules():
        scaling = getattr(module, "scaling", None)
        if isinstance(scaling, dict) and name in scaling:
            scaling[name] *= strength
