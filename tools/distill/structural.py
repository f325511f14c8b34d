"""What may a person write into an object of this CRD? A CRD in, one strict JSON Schema per version out.

An API server prunes silently what a CRD does not name, so a misspelt field is lost without a word. The schema made here
refuses it instead. It also leaves out what a manifest never holds: prose, defaults and `status`. CEL rules are left to
the API server, which alone evaluates them in full.
"""

from typing import Any

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
BOUNDS = (
    "enum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "uniqueItems",
    "x-kubernetes-list-map-keys",
)
"""Keywords that carry over. `format` does not: `duration` means Go's form in a CRD, that of ISO 8601 in JSON Schema."""
JUNCTORS = ("allOf", "anyOf", "oneOf")


def distill(crd: Schema, version: str, metadata: Schema) -> Schema:
    """The strict schema of one served version; `metadata` is the shape of every object's metadata."""
    spec = crd["spec"]
    found = next(entry for entry in spec["versions"] if entry["name"] == version)
    schema = convert(found["schema"]["openAPIV3Schema"])
    schema["properties"] = {
        **{name: below for name, below in schema["properties"].items() if name != "status"},
        "apiVersion": {"const": f"{spec['group']}/{version}"},
        "kind": {"const": spec["names"]["kind"]},
        "metadata": metadata if spec["scope"] == "Namespaced" else without_namespace(metadata),
    }
    needed = {"apiVersion", "kind", "metadata", *schema.get("required", ())} - {"status"}
    return {"$schema": DIALECT, **schema, "additionalProperties": False, "required": sorted(needed)}


def without_namespace(metadata: Schema) -> Schema:
    """Metadata of a kind that lives in no namespace."""
    properties = {name: below for name, below in metadata["properties"].items() if name != "namespace"}
    return {**metadata, "properties": properties}


def convert(node: Schema) -> Schema:
    """One node of a structural schema, and everything below it."""
    made = {**_bounds(node), **_types(node), **_conditions(node)}
    if "items" in node:
        made["items"] = convert(node["items"])
    if node.get("x-kubernetes-list-type") == "set":
        made["uniqueItems"] = True
    if node.get("type") == "object":
        made |= _object(node)
    return made


def _bounds(node: Schema) -> Schema:
    made = {word: node[word] for word in BOUNDS if word in node}
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if node.get(exclusive) is True:  # OpenAPI 3.0 marks the bound, JSON Schema moves it
            made[exclusive] = made.pop(bound)
    return made


def _types(node: Schema) -> Schema:
    types = (
        ["integer", "string"] if node.get("x-kubernetes-int-or-string") else [node["type"]] if "type" in node else []
    )
    if not node.get("nullable"):
        return {"type": types[0] if len(types) == 1 else types} if types else {}
    made: Schema = {"type": [*types, "null"]} if types else {}
    return {**made, "enum": [*node["enum"], None]} if "enum" in node else made


def _object(node: Schema) -> Schema:
    properties = {name: convert(below) for name, below in node.get("properties", {}).items()}
    if node.get("x-kubernetes-embedded-resource"):
        properties |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    made: Schema = {"properties": properties} if properties else {}
    # An API server fills defaults in before it looks for what is missing.
    required = {name for name in node.get("required", ()) if "default" not in node.get("properties", {}).get(name, {})}
    if node.get("x-kubernetes-embedded-resource"):
        required |= {"apiVersion", "kind"}
    if required:
        made["required"] = sorted(required)
    if isinstance(node.get("additionalProperties"), dict):
        made["additionalProperties"] = convert(node["additionalProperties"])
    elif not node.get("x-kubernetes-preserve-unknown-fields") and node.get("additionalProperties") is not True:
        made["additionalProperties"] = False
    return made


def _conditions(node: Schema) -> Schema:
    """`allOf`, `anyOf`, `oneOf` and `not` only add conditions; they name fields, but never make others unknown."""
    made: Schema = {}
    for word in JUNCTORS:
        kept = [below for below in map(_condition, node.get(word, ())) if below]
        if kept and not (word == "anyOf" and node.get("x-kubernetes-int-or-string")):
            made[word] = kept
    if "not" in node:
        made["not"] = _condition(node["not"])
    return made


def _condition(node: Schema) -> Schema:
    made = {**_bounds(node), **_conditions(node)}
    for word in ("type", "required"):
        if word in node:
            made[word] = node[word]
    if "properties" in node:
        made["properties"] = {name: _condition(below) for name, below in node["properties"].items()}
    for word in ("items", "additionalProperties"):
        if isinstance(node.get(word), dict):
            made[word] = _condition(node[word])
    return made
