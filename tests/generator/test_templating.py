"""Text and object of a rendered template are the same document, and templates stay YAML."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from generator.render import TEMPLATES
from generator.templating import TemplateError, Templates
from tests.generator.odd_strings import ODD, UNCARRIED

SAMPLE = """\
# from #{ origin | comment }#
name: #{ name }#
#{ key }#: fixed
#% if labels %#
labels: #{ labels | block(2) }#
#% endif %#
nested:
  text: #{ text | block(4) }#
  items:
#% for item in items %#
    - value: #{ item }#
      again: #{ item }#
#% endfor %#
tail: end
"""
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=UNCARRIED), max_size=20) | st.sampled_from(
    ODD
)
KEY = st.text("abcdefgh", min_size=9, max_size=12)


def templates(folder: Path, text: str) -> Templates:
    (folder / "t.yaml.j2").write_text(text, "utf-8")
    return Templates(folder)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """One set of templates for all examples, so that skeletons are met again with other values."""
    return templates(tmp_path_factory.mktemp("templates"), SAMPLE)


@given(
    origin=TEXT,
    name=TEXT | st.integers() | st.booleans() | st.none(),
    key=KEY,
    labels=st.dictionaries(TEXT, TEXT, max_size=3),
    text=TEXT,
    items=st.lists(TEXT, max_size=4),
)
def test_the_text_reads_as_the_body(sample: Templates, **values: Any) -> None:
    drawn = sample.render("t.yaml.j2", values)
    text, body = drawn.text, drawn.body()
    assert yaml.safe_load(text) == body
    assert body["tail"] == "end"
    assert body["name"] == values["name"]
    assert body["nested"]["text"] == values["text"]
    assert [item["value"] for item in body["nested"]["items"] or []] == values["items"]
    assert not any(line != line.rstrip(" ") for line in text.splitlines() if not line.startswith("#"))


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.j2")), ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_a_template_is_yaml_before_it_is_rendered(path: Path) -> None:
    body = yaml.safe_load(path.read_text("utf-8"))
    assert {"apiVersion", "kind"} <= set(body)


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.j2")), ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_a_template_uses_nothing_that_decides(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "#% set" not in text
    assert "#% macro" not in text
    assert "#% include" not in text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: x-#{ v }#\n", "whole scalar"),
        ("a: #{ v }##{ v }#\n", "whole scalar"),
        ("a: |\n  #{ v }#\n", "whole scalar"),
        ("a: 1\n---\nb: 2\n", "not one YAML document"),
        ("- #{ v }#\n", "document a map"),
        ("a: #{ m }#\n", "not a scalar: dict"),
        ("a: [#{ v }#\n", "not one YAML document"),
    ],
    ids=["prefix", "two holes", "in a block", "two documents", "a list", "a map without block", "broken"],
)
def test_a_wrong_template_is_named(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(TemplateError, match=rf"t\.yaml\.j2: .*{why}"):
        templates(tmp_path, text).render("t.yaml.j2", {"v": "x", "m": {"k": 1}}).body()


def test_an_unknown_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="'missing' is undefined"):
        templates(tmp_path, "a: #{ missing }#\n").render("t.yaml.j2", {})


def test_documents_share_nothing(tmp_path: Path) -> None:
    made = templates(tmp_path, "fixed:\n  deep: [1]\nm: #{ m | block(2) }#\n")
    given_value = {"k": ["v"]}
    first = made.render("t.yaml.j2", {"m": given_value}).body()
    second = made.render("t.yaml.j2", {"m": given_value}).body()
    first["m"]["k"].append("w")
    first["fixed"]["deep"].append(2)
    assert second == {"fixed": {"deep": [1]}, "m": {"k": ["v"]}}
    assert given_value == {"k": ["v"]}


@pytest.mark.parametrize("value", ["kaitopsHole0x", "#{ name }#", "{{ 7 * 7 }}", "#% if x %#", "#| c |#"])
def test_a_value_that_looks_like_a_template_is_inert(tmp_path: Path, value: str) -> None:
    drawn = templates(tmp_path, "a: #{ a }#\nb: #{ b }#\n").render("t.yaml.j2", {"a": value, "b": "x"})
    assert drawn.body() == {"a": value, "b": "x"} == yaml.safe_load(drawn.text)
