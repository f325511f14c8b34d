"""From pydantic's error records to sentences that a person can act on."""

import types
import typing
from typing import Any

from pydantic import BaseModel

from generator.model import EXPLANATIONS
from generator.words import did_you_mean, looks_secret

Location = tuple[str | int, ...]

MOVED = {
    "model": "the weights go below `spec.source`",
    "instanceType": "the VM size is `sku`, below `spec.clusters.<cluster>`",
    "replicas": "`replicas` belongs below `spec.clusters.<cluster>`",
    "sku": "`sku` belongs below `spec.clusters.<cluster>`",
    "image": "images are set once per cluster, in `catalog/clusters/`",
    "hfToken": "name a Secret in `token.secret`; a token never stands in Git",
    "port": "the port is always 80 at the Service and 5000 in the pod",
    "gpus": "the VM size decides; it is `sku`, below `spec.clusters.<cluster>`",
    "labels": "labels are made from `owner`, `license` and the namespace's `costCenter`",
    "annotations": "what KAITO reads from annotations has fields of its own here",
}
"""Fields that people know from elsewhere, and where they are here."""
WIDTH = 96
"""How much of a value is shown: one line of a terminal."""
ALTERNATIVE = 3
"""How far above an alternative's name the field stands: `engine`, the flag, the type."""
MISSING = {
    "metadata": "an entry starts with `apiVersion`, `kind`, `metadata` and `spec`",
    "name": "give it the name of the file, without `.yaml`",
    "spec": "an entry starts with `apiVersion`, `kind`, `metadata` and `spec`",
    "owners": "name the teams that may put models here",
    "clusters": "name the clusters that it runs on: `clusters: {dev: {sku: Standard_NC24ads_A100_v4}}`",
    "owner": "name the team that answers for it",
    "license": "name the licence, such as `mit`",
    "revision": "pin the commit that you tested, 40 hexadecimal digits",
    "source": "name where the weights come from: `preset`, `huggingFace`, `azureVolume`, `azureBlob` or `azureML`",
    "sku": "name the Azure VM size",
    "pushSecret": "name the Secret that lets KAITO push the image",
}
ADD = "add it; `docs/catalog.md` says what it means"


def explain(error: dict[str, Any], model: type[BaseModel]) -> tuple[Location, str, str]:
    """The location, message and hint of one record of `ValidationError.errors()`."""
    location, kind = locate(error), error["type"]
    context = error.get("ctx") or {}
    if kind == "extra_forbidden":
        return location, *_unknown(str(location[-1]), fields_at(model, location[:-1]))
    if kind == "missing":
        return location, f"`{location[-1]}` is missing", MISSING.get(str(location[-1]), ADD)
    if kind == "value_error":
        return location, _refusal(location, str(context["error"])), ""
    if kind == "literal_error":
        return location, *_not_one_of(location, error["input"], context["expected"])
    fault = "must be text, a number, `true` or `false`"
    if not _is_alternative(error) or isinstance(error["input"], str):
        fault = _wrong(kind, context, error["msg"])
    return location, f"{_subject(location)} {fault}", _hint(kind, location, error["input"])


def _refusal(location: Location, text: str) -> str:
    """A rule over several fields starts with a verb where its subject is the mapping that holds them."""
    return f"{_subject(location)} {text}" if text.startswith(("needs ", "has ")) else text


def _hint(kind: str, location: Location, value: Any) -> str:
    if kind in {"too_short", "too_long"}:
        return f"it has {len(value)}" if value else MISSING.get(str(location[-1]), "it is empty")
    quoted = isinstance(value, str) and value != "" and kind in WRONG_TYPES and not looks_secret(value)
    return _found(f'"{value}"' if quoted else value)


def locate(error: dict[str, Any]) -> Location:
    """The path as it is written in the file, without pydantic's own words for keys and alternatives."""
    location = tuple(part for part in error["loc"] if part != "[key]")
    return location[:-1] if _is_alternative(error) else location


def is_noise(error: dict[str, Any]) -> bool:
    """What follows from another mistake: text is also no number, and a list without its wrong items is too short."""
    if error["type"] == "too_short" and error["input"]:
        return True
    return _is_alternative(error) and isinstance(error["input"], str) and not error["type"].startswith("string_")


def _is_alternative(error: dict[str, Any]) -> bool:
    """`serving.engine` alone takes several types; pydantic reports each that did not match."""
    return len(error["loc"]) > ALTERNATIVE and error["loc"][-ALTERNATIVE] == "engine" and error["loc"][-1] != "[key]"


def fields_at(model: type[BaseModel], location: Location) -> list[str]:
    """The field names, as the catalog spells them, of the model that `location` leads to."""
    current: Any = model
    for part in location:
        current = _step(current, part)
    for candidate in _alternatives(current):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return [field.alias or name for name, field in candidate.model_fields.items()]
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
    options = {"True": "`true`"}.get(expected, expected.replace("'", "`"))
    words = [option.strip("'") for option in expected.replace(" or ", ", ").split(", ")]
    return f"{_subject(location)} must be {options}, but is {shown(value)}", did_you_mean(str(value), words)


def _subject(location: Location) -> str:
    """The last name, and where it ends in a list, the number of the item."""
    named = [str(part) for part in location if isinstance(part, str)]
    last = location[-1] if location else ""
    item = f"item {last + 1} of " if isinstance(last, int) else ""
    return f"{item}`{named[-1]}`" if named else "the entry"


def shown(value: Any) -> str:
    """A person's value on one line, cut where it is long, and never where it may be a secret."""
    if value is None:
        return "empty"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if looks_secret(str(value)):
        return "what looks like a secret: take it out and revoke it"
    one_line = " ".join(str(value).lower().split() if isinstance(value, bool) else str(value).split())
    return f"`{one_line}`" if len(one_line) <= WIDTH else f"`{one_line[: WIDTH - 3]}...`"


def _found(value: Any) -> str:
    return "it is empty" if value is None or value == "" else f"found {shown(value)}"


def _wrong(kind: str, context: dict[str, Any], message: str) -> str:
    bounds = {
        "greater_than": ("must be more than", "gt"),
        "greater_than_equal": ("must be at least", "ge"),
        "less_than": ("must be less than", "lt"),
        "less_than_equal": ("must be at most", "le"),
    }
    if kind == "string_pattern_mismatch":
        return EXPLANATIONS.get(context["pattern"], "has the wrong form")
    if kind in bounds:
        words, key = bounds[kind]
        return f"{words} {context[key]:g}"
    if kind in {"too_short", "too_long"}:
        limit = context.get("min_length", context.get("max_length"))
        return (
            f"must have at {'least' if kind == 'too_short' else 'most'} {limit} {'entry' if limit == 1 else 'entries'}"
        )
    if kind == "string_too_short":
        return "must not be empty"
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
