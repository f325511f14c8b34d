"""A model's own files, as the hub keeps them: `config.json`, and the index of its safetensors.

They come from strangers: nothing but JSON of a bounded size is taken, and what a fit needs of it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generator.finding import CannotRunError
from generator.fit.kaito import GIB, HALF

MOST_BYTES = 32 << 20
"""An index of the largest models has some ten megabytes."""
MOST_WEIGHTS = 1 << 50
"""A petabyte: no model has as much, and a figure beyond is a mistake."""


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        CannotRunError: there is no such file, it is too large, or it holds no JSON object.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise CannotRunError(f"cannot read `{path}`: {(error.strerror or str(error)).lower()}") from error
    return parse_json(raw, f"`{path}`")


def parse_json(raw: bytes, what: str) -> dict[str, Any]:
    """The JSON object in some bytes; `what` names them in a message.

    Raises:
        CannotRunError: they are too many, or no JSON object.
    """
    if len(raw) > MOST_BYTES:
        raise CannotRunError(f"{what} has more than {MOST_BYTES:,} bytes", "is it the right file?")
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise CannotRunError(f"{what} is no JSON{where}", "name the file as the hub keeps it") from error
    if not isinstance(data, dict):
        raise CannotRunError(f"{what} holds no JSON object", "name the file as the hub keeps it")
    return data


def index_gib(index: Mapping[str, Any], config: Mapping[str, Any], what: str) -> float:
    """GiB of the weights that an index sums up; an output matrix that is tied to the embedding is not loaded.

    Raises:
        CannotRunError: it has no `metadata.total_size`.
    """
    metadata, names = index.get("metadata"), index.get("weight_map")
    total = metadata.get("total_size") if isinstance(metadata, Mapping) else None
    if isinstance(total, bool) or not isinstance(total, int | float) or not 0 < total < MOST_WEIGHTS:
        raise CannotRunError(f"{what} has no `metadata.total_size`", "give the size yourself with `--weights-gib`")
    doubled = config.get("tie_word_embeddings") is True and isinstance(names, Mapping) and "lm_head.weight" in names
    return (total - (_matrix_bytes(config) if doubled else 0)) / GIB


def _matrix_bytes(config: Mapping[str, Any]) -> int:
    rows, columns = config.get("vocab_size"), config.get("hidden_size")
    return rows * columns * HALF if isinstance(rows, int) and isinstance(columns, int) else 0
