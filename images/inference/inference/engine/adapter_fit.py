"""Whether an adapter was made for this very model, by the shapes of both.

Engines find out too late or never: vLLM reads an adapter with its first request and copies a smaller matrix into a
corner of the larger one's place; PEFT passes over layers that the model does not have. Both then answer nonsense.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from inference.engine.adapter_folders import CONFIG, WEIGHTS, Adapter
from inference.engine.model_folder import read_json, tensor_shapes
from inference.errors import CANNOT_HEAL, StartError, listed

log = logging.getLogger(__name__)
Shapes = Mapping[str, Sequence[int]]
PREFIX = "base_model.model."
DOWN, UP = ".lora_A.weight", ".lora_B.weight"
MATRIX = 2


def check(adapter: Adapter, model: str, shapes: Shapes) -> None:
    """Refuse an adapter that is no LoRA or does not fit; `shapes` are the tensors of the model that `model` names."""
    config = read_json(adapter.folder / CONFIG)
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise StartError(f"the adapter `{adapter.name}` is no LoRA adapter", "only LoRA can be merged and mixed")
    if config.get("use_dora"):
        raise StartError(
            f"the adapter `{adapter.name}` is made by DoRA, which neither runtime can mix into a batch",
            "merge it into its model with PEFT's `merge_and_unload`, and serve that",
            CANNOT_HEAL,
        )
    base = config.get("base_model_name_or_path")
    if base and Path(str(base)).name != Path(model).name:
        log.warning("adapter `%s` was made for `%s`, the model is `%s`", adapter.name, base, model)
    wrong = misfits(tensor_shapes(adapter.folder / WEIGHTS), shapes)
    if wrong:
        raise StartError(
            f"the adapter `{adapter.name}` does not fit the model: {listed(wrong)}",
            f"it was made for `{base}`" if base else "mount an adapter of this model",
            CANNOT_HEAL,
        )


def misfits(adapter: Shapes, model: Shapes) -> list[str]:
    """The adapter's layers that the model lacks or has in another size.

    Where not a single layer is known by its name, the model's files name them in another way, and shapes cannot tell.
    """
    layers = sorted(name.removeprefix(PREFIX).removesuffix(DOWN) for name in adapter if name.endswith(DOWN))
    parts = {name.rpartition(".")[0]: shape for name, shape in model.items() if not name.endswith(".weight")}
    parts |= {name.removesuffix(".weight"): shape for name, shape in model.items() if name.endswith(".weight")}
    own = {layer: _of_model(layer, parts) for layer in layers}
    if all(shape is None for shape in own.values()):
        return []
    return [found for layer, shape in own.items() if (found := _misfit(layer, shape, adapter))]


def _of_model(layer: str, model: Shapes) -> Sequence[int] | None:
    """The model's own matrix; its files may leave out the first parts of a name."""
    parts = layer.split(".")
    names = (".".join(parts[start:]) for start in range(len(parts)))
    return next((model[name] for name in names if name in model), None)


def _misfit(layer: str, own: Sequence[int] | None, adapter: Shapes) -> str:
    if own is None:
        # A head that shares its weights with the embedding is in no file; a layer with a number is in one or nowhere.
        return f"it has no layer `{layer}`" if any(part.isdigit() for part in layer.split(".")) else ""
    known = {name.removeprefix(PREFIX): shape for name, shape in adapter.items()}
    down, up = known[layer + DOWN], known.get(layer + UP, ())
    # Some layers hold their matrix the other way round, so only the two sizes count.
    if len(own) == len(down) == len(up) == MATRIX and sorted(own) != sorted((down[1], up[0])):
        return f"`{layer}` is {own[0]}x{own[1]} and not {up[0]}x{down[1]}"
    return ""
