"""JSON as people review it: two spaces, one value a line, the order given.

Python's own writer falls back to its slow half as soon as it indents, and an ARM template of a large fleet has tens of
thousands of lines.
"""

import json
from typing import Any

_scalar = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def dump(value: Any) -> str:
    """A whole document, with a final newline."""
    return _lines(value, "\n") + "\n"


def _lines(value: Any, newline: str) -> str:
    if isinstance(value, dict) and value:
        below = newline + "  "
        return (
            "{" + ",".join(f"{below}{_scalar(key)}: {_lines(one, below)}" for key, one in value.items()) + newline + "}"
        )
    if isinstance(value, list | tuple) and value:
        below = newline + "  "
        return "[" + ",".join(below + _lines(one, below) for one in value) + newline + "]"
    return _scalar(value)
