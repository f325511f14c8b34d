"""No value, however odd, changes the structure or the type of the document that holds it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from generator import yamlout
from generator.checks.build import read_built
from tests.generator.odd_strings import ODD, UNCARRIED

LOADERS = (yaml.SafeLoader, yaml.CSafeLoader)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=UNCARRIED), max_size=30) | st.sampled_from(
    ODD
)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = TEXT | NUMBERS | st.booleans() | st.none()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


def same(one: Any, other: Any) -> bool:
    """Equal in value and in type all the way down: `1`, `1.0` and `True` are three things."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        pairs = zip(one.items(), other.items(), strict=True)
        return len(one) == len(other) and all(same(a, b) and same(v, w) for (a, v), (b, w) in pairs)
    if isinstance(one, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def reads_as(text: str, value: Any) -> None:
    for loader in LOADERS:
        assert same(loader(text).get_single_data(), value), (loader, text)


def in_every_position(value: Any) -> None:
    encoded = yamlout.scalar(value)
    assert "\n" not in encoded
    reads_as(f"a: {encoded}\nb: 1\n", {"a": value, "b": 1})
    reads_as(f"- {encoded}\n- 1\n", [value, 1])
    reads_as(f"a: [{encoded}, 1]\n", {"a": [value, 1]})
    reads_as(f"a: {{k: {encoded}, l: 1}}\n", {"a": {"k": value, "l": 1}})
    if len(encoded) < 128:  # YAML's own limit for a key on one line is 1024 characters, quotes and escapes included
        reads_as(f"{encoded}: 1\nzz: 2\n", {value: 1, "zz": 2})


@pytest.mark.parametrize("value", ODD, ids=lambda value: ascii(value)[:40])
def test_an_odd_string_stays_itself_in_every_position(value: str) -> None:
    in_every_position(value)


@given(SCALARS)
def test_any_scalar_stays_itself_in_every_position(value: Any) -> None:
    in_every_position(value)


@given(VALUES, st.integers(1, 12))
def test_any_value_stays_itself_as_a_block(value: Any, indent: int) -> None:
    text = f"a: {yamlout.block(value, indent)}\nb: 1\n"
    reads_as(text, {"a": value, "b": 1})


@given(st.dictionaries(TEXT, VALUES, min_size=1, max_size=4) | st.lists(VALUES, min_size=1, max_size=4))
def test_any_document_reads_as_it_was(value: Any) -> None:
    text = yamlout.dump(value)
    reads_as(text, value)
    assert text.endswith("\n")


@pytest.mark.parametrize("value", [text for text in ODD if "\n" in text], ids=ascii)
def test_lines_stay_themselves_as_a_block(value: str) -> None:
    reads_as(f"a:\n  b: {yamlout.block(value, 4)}\n  c: 1\n", {"a": {"b": value, "c": 1}})


def test_lines_that_a_person_reads_are_a_literal_block() -> None:
    assert yamlout.block("vllm:\n  a: 1\n", 4) == "|\n    vllm:\n      a: 1"


@pytest.mark.parametrize("value", [1e22, 1e-7, -0.0, 5e-324, 1.5, 3.0, 10**30, -1, 0], ids=str)
def test_numbers_keep_value_and_type(value: float) -> None:
    in_every_position(value)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), "a\ud800b", *UNCARRIED], ids=ascii)
def test_what_yaml_cannot_carry_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"finite|no tool carries"):
        yamlout.scalar(value)


def test_a_map_is_no_scalar() -> None:
    with pytest.raises(TypeError, match="not a scalar: dict"):
        yamlout.scalar({})  # type: ignore[arg-type]  # the mistake that the test is about


@given(TEXT)
def test_a_comment_stays_on_its_line(value: str) -> None:
    reads_as(f"# {yamlout.comment(value)}\na: 1\n", {"a": 1})


@pytest.mark.parametrize(
    "value",
    [
        "registry.example.com/a/b@sha256:0123",
        "Standard_NC24ads_A100_v4",
        "--pipeline",
        "16Gi",
        "120s",
        "two words",
        "/v1",
    ],
)
def test_common_values_stay_plain(value: str) -> None:
    assert yamlout.scalar(value) == value


@settings(max_examples=3)
@given(st.lists(TEXT, min_size=150, max_size=150))
def test_kustomize_reads_what_we_wrote(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    """Go's reader and writer, with JSON between them, keep each string: hundreds of them in one build."""
    values = [*ODD, *texts]
    folder: Path = tmp_path_factory.mktemp("kustomize")
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "odd",
            "annotations": {f"example.com/a{index}": text for index, text in enumerate(values)},
        },
        "data": {f"k{index}": text for index, text in enumerate(values)},
    }
    workspace = {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": "odd"},
        "inference": {"template": {"list": list(values), "numbers": [1, -1, 1.5, 10**15], "flags": [True, False]}},
    }
    (folder / "kustomization.yaml").write_text("resources: [configmap.yaml, workspace.yaml]\n", "utf-8")
    (folder / "configmap.yaml").write_text(yamlout.dump(config), "utf-8", newline="")
    (folder / "workspace.yaml").write_text(yamlout.dump(workspace), "utf-8", newline="")
    kubectl = Path(sys.executable).parent / "kubectl"
    built = subprocess.run([kubectl, "kustomize", folder], capture_output=True, check=False)
    assert built.returncode == 0, built.stderr.decode()
    bodies = {body["kind"]: body for body in read_built(built.stdout.decode("utf-8"))}
    assert bodies["ConfigMap"]["data"] == config["data"]
    assert bodies["ConfigMap"]["metadata"]["annotations"] == config["metadata"]["annotations"]
    assert bodies["Workspace"]["inference"] == workspace["inference"]
