"""From pydantic's error records to sentences that a person can act on."""

import types
import typing
from typing import Any

from pydantic import BaseModel

from generator.model import EXPLANATIONS
from generator.words import did_you_mean

Location = tuple[str | int, ...]

MOVED = {
    "model": "the weights go below `spec.source`",
    "instanceType": "the VM size is `sku`, below `spec.clusters.<cluster>`",
    "replicas": "`replicas` belongs below `spec.clusters.<cluster>`",
    "sku": "`sku` belongs below `spec.clusters.<cluster>`",
    "image": "images are set once per cluster, in `catalog/clusters/`",
    "hfToken": "name a Secret in `token.secret`; a token never stands in Git",
    "port": "the port is always 80 at the Service and 5000 in the pod",
}
"""Fields that people know from elsewhere, and where they are here."""


def explain(error: dict[str, Any], model: type[BaseModel]) -> tuple[Location, str, str]:
    """The location, message and hint of one record of `ValidationError.errors()`."""
    location: Location = tuple(part for part in error["loc"] if part != "[key]")
    context = error.get("ctx") or {}
    kind: str = error["type"]
    if kind == "extra_forbidden":
        return location, *_unknown(str(location[-1]), fields_at(model, location[:-1]))
    if kind == "missing":
        return location, f"`{location[-1]}` is missing", ""
    if kind == "string_pattern_mismatch":
        explanation = EXPLANATIONS.get(context["pattern"], "has the wrong form")
        return location, f"{_subject(location)} {explanation}", _found(error["input"])
    if kind == "value_error":
        return location, f"{_subject(location)} {context['error']}", ""
    if kind == "literal_error":
        return location, *_not_one_of(location, error["input"], context["expected"])
    return location, f"{_subject(location)} {_wrong(kind, context, error['msg'])}", _found(error["input"])


def fields_at(model: type[BaseModel], location: Location) -> list[str]:
    """The field names, as the catalog spells them, of the model that `location` leads to."""
    current: Any = model
    for part in location:
        current = _step(current, part)
    if isinstance(current, type) and issubclass(current, BaseModel):
        return [field.alias or name for name, field in current.model_fields.items()]
    return []


def _step(current: Any, part: str | int) -> Any:
    """The type below `current` at `part`; None where the way is lost."""
    for candidate in _alternatives(current):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            for name, field in candidate.model_fields.items():
                if part in {field.alias, name}:
                    return field.annotation
        elif typing.get_origin(candidate) in {dict, tuple, list}:
            return typing.get_args(candidate)[1 if typing.get_origin(candidate) is dict else 0]
    return None


def _alternatives(annotation: Any) -> list[Any]:
    """A union's members, `Annotated` unwrapped; and every model that such an annotation stands for."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _alternatives(typing.get_args(annotation)[0])
    if origin in {typing.Union, types.UnionType}:
        return [inner for member in typing.get_args(annotation) for inner in _alternatives(member)]
    return [annotation]


def _unknown(word: str, known: list[str]) -> tuple[str, str]:
    hint = did_you_mean(word, known) or MOVED.get(word, "")
    if not hint and known:
        hint = "known here: " + ", ".join(f"`{name}`" for name in known)
    return f"unknown field `{word}`", hint


def _not_one_of(location: Location, value: Any, expected: str) -> tuple[str, str]:
    options = expected.replace("'", "`")
    words = [option.strip("'") for option in expected.replace(" or ", ", ").split(", ")]
    return f"{_subject(location)} must be {options}, but is {_shown(value)}", did_you_mean(str(value), words)


def _subject(location: Location) -> str:
    named = [str(part) for part in location if isinstance(part, str)]
    return f"`{named[-1]}`" if named else "the entry"


def _shown(value: Any) -> str:
    rendered = f"`{value}`" if isinstance(value, str | int | float) else f"a {_type_name(value)}"
    return rendered if len(rendered) <= 100 else rendered[:96] + "...`"  # noqa: PLR2004 - one line of a terminal


def _found(value: Any) -> str:
    return "it is empty" if value is None or value == "" else f"found {_shown(value)}"


def _type_name(value: Any) -> str:
    return {dict: "mapping", list: "list", type(None): "nothing"}.get(type(value), type(value).__name__)


def _wrong(kind: str, context: dict[str, Any], message: str) -> str:
    bounds = {
        "greater_than": ("must be more than", "gt"),
        "greater_than_equal": ("must be at least", "ge"),
        "less_than": ("must be less than", "lt"),
        "less_than_equal": ("must be at most", "le"),
    }
    if kind in bounds:
        words, key = bounds[kind]
        return f"{words} {context[key]}"
    if kind in {"too_short", "too_long"}:
        limit = context.get("min_length", context.get("max_length"))
        return f"must have at {'least' if kind == 'too_short' else 'most'} {limit} entries"
    if kind == "string_too_long":
        return f"must have at most {context['max_length']} characters"
    return WRONG_TYPES.get(kind, message[:1].lower() + message[1:])


WRONG_TYPES = {
    "string_type": "must be text; quote it if it is meant as text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be `true` or `false`",
    "bool_parsing": "must be `true` or `false`",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "finite_number": "must be a finite number",
}
