"""JSON as people review it: two spaces, one value a line, the order given.

Python's own writer falls back to its slow half as soon as it indents, and an ARM template of a large fleet has tens of
thousands of lines.
"""

import json
from functools import cache
from typing import Any

NESTED = (dict, list, tuple)
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_text = cache(_encode)
"""Of strings alone: to a cache, 1 and true are one key."""


def dump(value: Any) -> str:
    """A whole document, with a final newline."""
    return _value(value, "\n") + "\n"


def _value(value: Any, newline: str) -> str:
    if isinstance(value, str):
        return _text(value)
    if not isinstance(value, NESTED) or not value:
        return _encode(value)
    below = newline + "  "
    if isinstance(value, dict):
        fields = [f"{below}{_text(key)}: {_value(one, below)}" for key, one in value.items()]
        return "{" + ",".join(fields) + newline + "}"
    return "[" + ",".join([below + _value(one, below) for one in value]) + newline + "]"
