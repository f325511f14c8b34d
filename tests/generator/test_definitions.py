"""Is everything that a cluster's kind would refuse, and ours takes, a difference, and nothing else?"""

from typing import Any

import pytest

from generator.checks.server.definitions import differences
from generator.kinds import Schema


def kind(**properties: Schema) -> Schema:
    return {"type": "object", "properties": {"metadata": {"type": "object"}, **properties}}


def said(ours: Schema, theirs: Schema) -> list[str]:
    return [each.message for each in differences(ours, theirs)]


def objects(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}


def test_the_same_schema_has_no_difference() -> None:
    schema = kind(a=objects(b={"type": "array", "items": objects(c=TEXT)}), d=NUMBER)
    assert said(schema, schema) == []


def test_what_the_cluster_takes_beyond_ours_is_none() -> None:
    assert said(kind(a={"type": "string", "enum": ["x"]}), kind(a=TEXT, b=NUMBER)) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        (kind(a=TEXT), kind(), "knows no `a`"),
        (kind(a=objects(b=TEXT)), kind(a=objects(c=TEXT)), "knows no `a.b`"),
        (
            kind(a={"type": "array", "items": objects(b=TEXT)}),
            kind(a={"type": "array", "items": objects()}),
            "knows no `a[].b`",
        ),
        (
            kind(a={"type": "object", "additionalProperties": objects(b=TEXT)}),
            kind(a={"type": "object", "additionalProperties": objects()}),
            "knows no `a.*.b`",
        ),
        (kind(a=objects(b=TEXT)), kind(a={"type": "object"}), "knows no `a.b`"),
        (
            kind(a={"type": "string", "enum": ["x", "y", "z"]}),
            kind(a={"type": "string", "enum": ["y"]}),
            "takes no `x`, `z` in `a`",
        ),
        (kind(a=TEXT), kind(a={"type": "string", "enum": ["x", "y"]}), "takes only `x`, `y` in `a`"),
        (kind(a=TEXT), kind(a=NUMBER), "has `a` as integer, not string"),
        (
            kind(a={"type": ["integer", "string"]}),
            kind(a=TEXT),
            "has `a` as string, not integer or string",
        ),
        (kind(a=objects(b=TEXT)), kind(a={**objects(b=TEXT), "required": ["b"]}), "needs `a.b`"),
    ],
)
def test_each_difference_is_said_with_its_path(ours: Schema, theirs: Schema, message: str) -> None:
    assert said(ours, theirs) == [message]


@pytest.mark.parametrize(
    "theirs",
    [
        {"x-kubernetes-preserve-unknown-fields": True, "type": "object"},
        {},
        {"type": "object", "additionalProperties": True},
        {"type": "object", "additionalProperties": {"type": "string"}},
    ],
)
def test_an_open_object_knows_every_field(theirs: Schema) -> None:
    assert said(kind(a=objects(b=TEXT)), kind(a=theirs)) == []


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"type": ["string", "null"]}, TEXT),
        (NUMBER, {"type": "number"}),
        ({"type": ["integer", "string"]}, {"x-kubernetes-int-or-string": True}),
        ({}, NUMBER),
        ({"enum": ["x", None]}, {"enum": ["x"]}),
    ],
)
def test_types_that_the_cluster_takes_are_no_difference(ours: Schema, theirs: Schema) -> None:
    assert said(kind(a=ours), kind(a=theirs)) == []


def test_what_the_cluster_fills_in_is_not_needed() -> None:
    theirs = {**kind(a={"type": "string", "default": "x"}), "required": ["a", "metadata"]}
    assert said(kind(a=TEXT), theirs) == []


@pytest.mark.parametrize(
    ("theirs", "met", "unmet"),
    [
        (objects(), {"b": "x"}, {}),
        (objects(b={"type": "string", "enum": ["x"]}), {"b": "y"}, {"b": "x"}),
        ({**objects(b=TEXT), "required": ["b"]}, {}, {"b": "x"}),
        (objects(b=NUMBER), {"b": "y"}, {}),
    ],
)
def test_an_object_meets_a_difference_where_it_would_be_refused(
    theirs: Schema, met: dict[str, Any], unmet: dict[str, Any]
) -> None:
    inner = objects(b={"type": "string", "enum": ["x", "y"]})
    ours = kind(a={"type": "array", "items": inner}, c={"type": "object", "additionalProperties": inner})
    found = [
        *differences(ours, kind(a={"type": "array", "items": theirs}, c=ours["properties"]["c"])),
        *differences(ours, kind(a=ours["properties"]["a"], c={"type": "object", "additionalProperties": theirs})),
    ]
    in_list, in_map = found
    for value, expected in ((met, True), (unmet, False)):
        assert in_list.is_met_by({"a": [unmet, value]}) is expected
        assert in_map.is_met_by({"c": {"first": unmet, "second": value}}) is expected
    assert not in_list.is_met_by({})
