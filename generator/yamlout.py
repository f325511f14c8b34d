"""Values become YAML text here and nowhere else: an auto-escape that no value can break out of.

A string stays plain only where YAML 1.1, YAML 1.2 and Go's readers all take it for the same string; anything that one
of them could read as a number, a boolean, a date or structure is quoted. Key order is the order given, nothing is
folded, and there are no anchors.
"""

import json
import math
import re
from typing import Any

WORD = re.compile(r"(?:[A-Za-z/]|--[a-z])(?:[A-Za-z0-9_./@+=%&~-]|:(?=[^ ])|(?<![ :]) (?=[A-Za-z0-9/(]))*(?<![ :])")
"""Plain: starts with a letter, a slash or a flag's dashes, and has no sign that means anything in block or flow."""
AMOUNT = re.compile(r"[1-9][0-9]*(?:Ki|Mi|Gi|Ti|[smh])")
"""Quantities and durations, which nobody reads as a number."""
SPECIAL = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity"})
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
UNCARRIED = re.compile("[\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What does not survive kustomize: Go's writer leaves these as they are, and its reader refuses or changes them."""
LONGEST_KEY = 1000
"""YAML limits a key before its colon to 1,024 characters; a longer one is written with `?`."""
NOT_LITERAL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]| (?:\n|$)")
"""What a literal block cannot hold: characters that need an escape, tabs, and lines that end in a space."""

NESTED = (dict, list, tuple)
Scalar = str | bool | int | float | None
_known: dict[str, str] = {}


def scalar(value: Scalar) -> str:
    """One line of YAML that every reader takes for exactly `value`, as a value or a key, in block or flow style.

    Raises:
        ValueError: an infinity, a NaN, a lone surrogate or a control character that would not survive the way.
        TypeError: not a scalar.
    """
    if isinstance(value, str):
        found = _known.get(value)
        if found is None:
            found = _known[str(value)] = _text(value)
        return found
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    raise TypeError(f"not a scalar: {type(value).__name__}")


def _text(value: str) -> str:
    if (WORD.fullmatch(value) and value.lower() not in SPECIAL) or AMOUNT.fullmatch(value):
        return value
    return _quoted(value)


def _quoted(value: str) -> str:
    if UNCARRIED.search(value):
        raise ValueError(f"a character that no tool carries through YAML: {value!a}")
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def _float(value: float) -> str:
    """YAML 1.1 demands a point before the exponent."""
    if not math.isfinite(value):
        raise ValueError(f"not a finite number: {value}")
    mantissa, sign, exponent = repr(value).partition("e")
    return f"{mantissa}{'' if '.' in mantissa or not sign else '.0'}{sign}{exponent}"


def block(value: Any, indent: int) -> str:
    """`value` after `key: `, further lines indented by `indent` spaces: a literal block, map, list or scalar."""
    pad = " " * indent
    return "\n" + _nested(value, pad) if _is_nested(value) else _leaf(value, pad)


def dump(value: dict[str, Any] | list[Any]) -> str:
    """A whole document, with a final newline."""
    return (_nested(value, "") if value else _leaf(value, "")) + "\n"


def _nested(value: Any, pad: str) -> str:
    lines: list[str] = []
    _add(lines, value, pad)
    return "\n".join(lines)


def _is_nested(value: Any) -> bool:
    return isinstance(value, NESTED) and bool(value)


def _add(lines: list[str], value: Any, pad: str) -> None:
    """Add the lines of a map or list that is not empty, each with `pad` before it."""
    deeper = pad + "  "
    if isinstance(value, dict):
        for key, inner in value.items():
            name = _key(scalar(key), pad)
            if _is_nested(inner):
                lines.append(f"{name}:")
                _add(lines, inner, deeper)
            else:
                lines.append(f"{name}: {_leaf(inner, deeper)}")
        return
    for inner in value:
        if _is_nested(inner):
            # The first line of a map or list in a list stands beside the dash.
            first = len(lines)
            _add(lines, inner, deeper)
            lines[first] = f"{pad}- {lines[first][len(deeper) :]}"
        else:
            lines.append(f"{pad}- {_leaf(inner, deeper)}")


def _key(key: str, pad: str) -> str:
    return f"{pad}? {key}\n{pad}" if len(key) > LONGEST_KEY else pad + key


def _leaf(value: Any, pad: str) -> str:
    """A scalar, an empty map or list, or a literal block whose lines have `pad` before them."""
    if isinstance(value, str):
        return _literal(value, pad) if "\n" in value else scalar(value)
    if isinstance(value, NESTED):
        return "{}" if isinstance(value, dict) else "[]"
    return scalar(value)


def _literal(value: str, pad: str) -> str:
    """A literal block where one can hold the text as it is, else a quoted scalar."""
    if value[0] in " \n" or value.endswith("\n\n") or NOT_LITERAL.search(value):
        return scalar(value)
    header = "|" if value.endswith("\n") else "|-"
    lines = value.removesuffix("\n").split("\n")
    return "\n".join([header, *(pad + line if line else "" for line in lines)])


def comment(text: str) -> str:
    """Text that stays on the line of its `#`."""
    return UNPRINTABLE.sub(" ", text)
