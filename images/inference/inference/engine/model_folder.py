"""What must be true of a model folder before anything of it is loaded: whole, and safe to read."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from inference.engine.protocol import SMALLEST_PENALTY
from inference.errors import CANNOT_HEAL, StartError
from inference.flags import pinned
from inference.settings import ModelSettings

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "tekken.json", "vocab.txt")
HEADER_LENGTH = 8
RECOMMENDED: Mapping[str, Callable[[float], bool]] = {
    "temperature": lambda value: value >= 0,
    "top_k": lambda value: value >= -1 and value == int(value),
    "top_p": lambda value: 0 < value <= 1,
    "min_p": lambda value: 0 <= value <= 1,
    "typical_p": lambda value: 0 < value <= 1,
    "repetition_penalty": lambda value: value >= SMALLEST_PENALTY,
}
"""Which values the settings of a model's makers can have."""


def check_folder(folder: Path) -> None:
    """Refuse a local folder that cannot be served, with what is wrong in it."""
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or "model_type" not in config:
        raise StartError(f"`{folder / 'config.json'}` is no model configuration", "copy the whole model", CANNOT_HEAL)
    if not any((folder / name).is_file() for name in TOKENIZERS):
        needed = f"it needs one of {', '.join(TOKENIZERS)}"
        raise StartError(f"the model folder `{folder}` has no tokenizer", needed, CANNOT_HEAL)
    _check_generation(folder / "generation_config.json")
    for name in _weight_files(folder):
        _check_safetensors(folder, name)


def _check_generation(path: Path) -> None:
    """Refuse recommended settings that cannot be meant: loaders pass over a broken file, and every answer suffers."""
    settings = read_json(path) if path.exists() else {}
    if not isinstance(settings, dict):
        raise StartError(f"`{path}` is no mapping", "copy the model again", CANNOT_HEAL)
    for name, fits in RECOMMENDED.items():
        value = settings.get(name)
        if value is not None and not (_is_number(value) and fits(value)):
            wrong = f"`{path}` recommends `{name}: {value}`, which cannot be followed"
            raise StartError(wrong, "correct it", CANNOT_HEAL)
    ends = settings.get("eos_token_id")
    if not all(isinstance(token, int) for token in (ends if isinstance(ends, list) else [ends or 0])):
        wrong = f"`{path}` names `{ends}` as the end, which is no token"
        raise StartError(wrong, "correct `eos_token_id`", CANNOT_HEAL)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StartError(f"the model folder has no `{path}`", "copy the whole model", CANNOT_HEAL) from error
    except (OSError, ValueError) as error:
        raise StartError(f"`{path}` cannot be read: {error}", "copy the model again", CANNOT_HEAL) from error


def _weight_files(folder: Path) -> list[str]:
    """The safetensors files of the model, from its index where it has one."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        weights = read_json(index)
        places = weights.get("weight_map") if isinstance(weights, dict) else None
        if not isinstance(places, dict) or not places:
            raise StartError(f"`{index}` names no weights", "copy the model again", CANNOT_HEAL)
        names = sorted(set(places.values()), key=str)
        for name in names:
            if not isinstance(name, str) or Path(name).name != name:
                outside = f"`{index}` names the file `{name}` outside of its folder"
                raise StartError(outside, "copy the model again", CANNOT_HEAL)
        return names
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    if names:
        return names
    pickled = [path.name for pattern in PICKLED for path in folder.glob(pattern)]
    if pickled:
        raise StartError(
            f"`{folder}` has pickled weights (`{min(pickled)}`), which can run code when they are read",
            "convert the model to safetensors",
            CANNOT_HEAL,
        )
    raise StartError(f"the model folder `{folder}` has no weights", "copy the `*.safetensors` files", CANNOT_HEAL)


def _check_safetensors(folder: Path, name: str) -> None:
    path = folder / name
    if not path.is_file():
        raise StartError(f"the weights `{path}` are missing", "copy the whole model", CANNOT_HEAL)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise StartError(f"the weights `{path}` lead out of the model folder", "copy the file itself", CANNOT_HEAL)
    tensor_shapes(path)


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The tensors that the head of a safetensors file promises.

    A length that is not the promised one is a copy that broke off: it shows here, in no time.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            header = int.from_bytes(file.read(HEADER_LENGTH), "little")
            tensors = json.loads(file.read(header)) if header <= size else {}
        tensors.pop("__metadata__", None)
        ends = [tensor["data_offsets"][1] for tensor in tensors.values()]
        shapes = {name: _shape(tensor) for name, tensor in tensors.items()}
        whole = size == HEADER_LENGTH + header + max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError):
        shapes, whole = {}, False
    if not whole:
        raise StartError(f"the weights `{path}` are damaged or cut off", "copy the file again", CANNOT_HEAL)
    return shapes


def _shape(tensor: Mapping[str, Any]) -> tuple[int, ...]:
    """Nothing for whole numbers: they are packed weights, whose shape is not the layer's."""
    return tuple(tensor["shape"]) if "F" in tensor["dtype"] else ()


def model_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Every tensor of a local model."""
    return {name: shape for file in _weight_files(folder) for name, shape in tensor_shapes(folder / file).items()}


def trust(settings: ModelSettings, *, needs_code: bool, known: bool) -> tuple[bool, str]:
    """Whether code that comes with the model may run, and what to warn of."""
    if not settings.trust_remote_code:
        if needs_code and not known:
            raise StartError(
                f"`{settings.source}` needs code that comes with the model",
                "read that code, then give `--trust_remote_code` and a commit as `--revision`",
            )
        return False, ""
    if known:
        return False, "`--trust_remote_code` is not needed: transformers has this architecture itself"
    if not pinned(settings):
        raise StartError(
            "`--trust_remote_code` would run code that can change at any time",
            "pin a commit of 40 hexadecimal digits with `--revision`, or use a local folder",
        )
    return True, f"code that comes with `{settings.source}` runs in this process"
