"""From a schema violation to a sentence: which field, what is wrong with it, and what was probably meant."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from jsonschema_rs import ValidationError
from jsonschema_rs import ValidationErrorKind as Kind

from generator.words import did_you_mean

Schema = dict[str, Any]
Path = tuple[str | int, ...]

PLAIN = re.compile(r"[A-Za-z_$][\w$-]*")
LONGEST = 60
"""A found value longer than this is cut: the message is one line."""


@dataclass(frozen=True, slots=True)
class Wording:
    message: str
    hint: str = ""


def spell(path: Path) -> str:
    """`("spec", "ports", 0)` → `spec.ports[0]`; a key that is no plain word goes in brackets."""
    said = ""
    for step in path:
        if isinstance(step, int):
            said += f"[{step}]"
        else:
            said += f".{step}" if PLAIN.fullmatch(step) else f'["{step}"]'
    return said.removeprefix(".")


def say(error: ValidationError, schema: Schema, prefix: Path) -> Iterator[Wording]:
    """One sentence for each thing that is wrong; `prefix` is where in the object the schema applies."""
    path: Path = (*prefix, *error.instance_path)
    match error.kind:
        case Kind.AdditionalProperties(unexpected=names):
            known = fields_at(schema, tuple(error.instance_path))
            for name in names:
                yield Wording(f"`{spell((*path, name))}`: unknown field", did_you_mean(name, known))
        case Kind.Required(property=name):
            yield Wording(f"`{spell((*path, name))}`: missing")
        case Kind.PropertyNames(error=below):
            yield Wording(f"`{spell((*path, str(below.instance)))}`: the key {_wrong(below)}")
        case Kind.Enum(options=options):
            hint = did_you_mean(str(error.instance), map(str, options))
            yield Wording(f"`{spell(path)}`: must be one of {_quoted(options)}, not {_found(error.instance)}", hint)
        case _:
            yield Wording(f"`{spell(path)}`: {_wrong(error)}")


def fields_at(schema: Schema, path: Path) -> list[str]:
    """The fields that a schema knows at a place in the object."""
    node = _resolved(schema, schema)
    for step in path:
        below = node.get("items") if isinstance(step, int) else node.get("properties", {}).get(step)
        node = _resolved(below or node.get("additionalProperties") or {}, schema)
    return list(node.get("properties", {}))


def _resolved(node: Any, schema: Schema) -> Schema:
    if not isinstance(node, dict):
        return {}
    reference = node.get("$ref", "").removeprefix("#/$defs/")
    return schema["$defs"][reference] if reference else node


SENTENCES = {
    "anyOf": "has none of the allowed forms",
    "const": "must be `{expected_value}`",
    "exclusiveMaximum": "must be less than `{limit}`",
    "exclusiveMinimum": "must be more than `{limit}`",
    "maxItems": "must have at most {limit} entries",
    "maxLength": "must be at most {limit} characters long",
    "maxProperties": "must have at most {limit} fields",
    "maximum": "must be at most `{limit}`",
    "minItems": "must have at least {limit} entries",
    "minLength": "must be at least {limit} characters long",
    "minProperties": "must have at least {limit} fields",
    "minimum": "must be at least `{limit}`",
    "multipleOf": "must be a multiple of `{multiple_of}`",
    "not": "has a form that is ruled out",
    "oneOf": "must have exactly one of the allowed forms",
    "pattern": "must match `{pattern}`",
    "uniqueItems": "must not repeat an entry",
}
"""Keyword → sentence, with the holes that the validator fills."""


def _wrong(error: ValidationError) -> str:
    given = error.instance
    if isinstance(error.kind, Kind.Type):
        return f"must be of type {_quoted(error.kind.types, ' or ')}, not {_typed(given)}"
    sentence = SENTENCES.get(error.kind.name)
    said = sentence.format(**error.kind.as_dict()) if sentence else error.message
    return said if isinstance(given, dict | list) else f"{said}, not {_found(given)}"


def _typed(value: Any) -> str:
    """The value with its type where it is not plain to see: YAML reads `80` as a number, `"80"` as text."""
    if isinstance(value, dict | list):
        return "an `object`" if isinstance(value, dict) else "an `array`"
    return f"the text {_found(value)}" if isinstance(value, str) else _found(value)


def _found(value: Any) -> str:
    text = " ".join(json.dumps(value, ensure_ascii=False).strip('"').split())
    return f"`{text if len(text) <= LONGEST else text[:LONGEST] + '…'}`"


def _quoted(options: Iterable[Any], between: str = ", ") -> str:
    return between.join(f"`{option}`" for option in options)
