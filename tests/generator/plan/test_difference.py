"""Differences are complete: applied to the one side they give the other, and order alone is none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.plan.difference import ABSENT, differences, short

DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("kmn"), inner, max_size=3),
    max_leaves=8,
)


def test_each_smallest_part_is_named() -> None:
    before = {"a": {"b": 1, "c": [1, 2]}, "gone": {"x": 1}}
    after = {"a": {"b": 2, "c": [1, 3, 4]}, "new": None}
    found = {difference.dotted: (difference.before, difference.after) for difference in differences(before, after)}
    assert found == {
        "a.b": (1, 2),
        "a.c.1": (2, 3),
        "a.c.2": (ABSENT, 4),
        "gone": ({"x": 1}, ABSENT),
        "new": (ABSENT, None),
    }


def test_named_items_are_matched_by_name() -> None:
    before = [{"name": "x", "v": 1}, {"name": "y", "v": 2}]
    after = [{"name": "y", "v": 3}, {"name": "x", "v": 1}]
    assert [(found.dotted, found.before, found.after) for found in differences(before, after)] == [("0.v", 2, 3)]


def test_an_item_more_is_one_difference() -> None:
    before = [{"namespace": "chat"}, {"namespace": "search"}]
    after = [{"namespace": "chat"}, {"namespace": "extra"}, {"namespace": "search"}]
    assert [(found.dotted, found.before) for found in differences(before, after)] == [("1", ABSENT)]
    assert [(found.dotted, found.after) for found in differences(["a", "b", "c"], ["b", "c"])] == [("0", ABSENT)]


def test_the_order_of_arguments_is_a_change() -> None:
    assert [*differences(["--a", "--b"], ["--b", "--a"])]


def test_true_is_not_one() -> None:
    assert [(found.before, found.after) for found in differences({"a": True}, {"a": 1})] == [(True, 1)]


@given(DATA, DATA)
def test_nothing_is_found_only_between_equals(before: Any, after: Any) -> None:
    assert bool([*differences(before, after)]) == (
        json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True)
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (ABSENT, ""),
        (None, "null"),
        (True, "true"),
        ("a\nb", "a b"),
        ("x" * 80, "x" * 57 + "..."),
        ([1], "[1]"),
        ([1, 2], "[2 items]"),
        ({"a": 1, "b": 2}, "{a, b}"),
        (dict.fromkeys("abcde"), "{a, b, c, d, ...}"),
    ],
)
def test_a_value_is_one_line(value: Any, text: str) -> None:
    assert short(value) == text
