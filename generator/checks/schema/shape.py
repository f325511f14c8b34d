"""Which schema describes a kind, ready to use? Ours for custom kinds, the package's for Kubernetes' own."""

import json
from dataclasses import dataclass
from functools import cache

from jsonschema_rs import Draft202012Validator

from generator.checks.schema import core
from generator.checks.schema.core import Schema
from generator.checks.schema.duplicates import Lists, lists_of
from generator.kinds import SCHEMAS, custom_schema

VOLUME = "api.core.v1.Volume"
FREELY_NAMED = "rbac.authorization.k8s.io/"
"""Names of roles may hold colons and capitals."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A schema, compiled, and where in it lists with unique keys are."""

    schema: Schema
    validator: Draft202012Validator
    lists: Lists


@cache
def shape_of(api_version: str, kind: str, minor: str) -> Shape | None:
    """The shape of a kind, or nothing where no schema describes it."""
    own = custom_schema(api_version, kind)
    if own is not None:
        return _compile(own)
    name = core.kinds(minor).get((api_version, kind))
    return _compile(core.object_schema(minor, name, _metadata(api_version))) if name else None


@cache
def part_shape(minor: str, definition: str) -> Shape:
    """The shape of a core type inside a custom kind, by its short name below `io.k8s.`."""
    schema = core.schema_of(minor, f"io.k8s.{definition}")
    return _compile(_unnamed(schema) if definition == VOLUME else schema)


def _metadata(api_version: str) -> Schema:
    metadata: Schema = json.loads((SCHEMAS / "metadata.json").read_bytes())
    if api_version.startswith(FREELY_NAMED):
        metadata["properties"]["name"] = {"minLength": 1, "type": "string"}
    return metadata


def _unnamed(schema: Schema) -> Schema:
    """A volume without its name: Kubernetes publishes no definition of a volume's source alone."""
    properties = {field: below for field, below in schema["properties"].items() if field != "name"}
    return {**schema, "properties": properties, "required": []}


def _compile(schema: Schema) -> Shape:
    return Shape(schema, Draft202012Validator(schema), lists_of(schema))
