"""The adapters that are mounted, as KAITO mounts them: a folder each, its strength in a variable of the same name."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inference.errors import CANNOT_HEAL, StartError

DEFAULT_STRENGTH = 1.0
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class Adapter:
    """A folder with an adapter."""

    name: str
    folder: Path
    strength: float


def find(folder: Path, environ: Mapping[str, str]) -> list[Adapter]:
    """Every adapter below the folder; a folder that is none is an error, since somebody meant it to be one."""
    if not folder.is_dir():
        return []
    found = [
        entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not entry.name.startswith((".", "lost+"))
    ]
    return [Adapter(entry.name, checked(entry), _strength(entry.name, environ)) for entry in found]


def checked(folder: Path) -> Path:
    """The folder, if it holds an adapter that can be read safely."""
    if not (folder / CONFIG).is_file():
        raise StartError(
            f"the adapter folder `{folder}` has no `{CONFIG}`", "mount an adapter, or nothing", CANNOT_HEAL
        )
    if not (folder / WEIGHTS).is_file():
        raise StartError(
            f"the adapter folder `{folder}` has no `{WEIGHTS}`",
            "pickled weights are not read",
            CANNOT_HEAL,
        )
    return folder


def _strength(name: str, environ: Mapping[str, str]) -> float:
    text = environ.get(name, "").strip() or str(DEFAULT_STRENGTH)
    try:
        strength = float(text)
    except ValueError:
        strength = math.nan
    if not 0 <= strength <= 1:
        raise StartError(
            f"the adapter `{name}` has the strength `{text}`", f"set the variable `{name}` from 0.0 to 1.0"
        )
    return strength
