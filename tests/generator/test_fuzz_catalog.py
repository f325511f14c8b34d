"""Can anything that a person might write crash the compiler, or break out of its place in a rendered file?

Random entries, mutations of the repository's own, and odd strings in every free field: a mistake is a finding, never an
exception, and what is accepted renders to YAML that means exactly what was meant.
"""

import copy
import json
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generator import compile as compiler
from generator import render as renderer
from generator.compile import Compiled, compile_catalog, has_errors
from generator.load import load_catalog
from generator.model import FOLDERS
from generator.repository import Repository
from generator.resolve import resolve
from generator.resolve.context import Facts
from generator.templating import Templates

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
FACTS = REPOSITORY / "catalog" / "facts"
ENTRIES = sorted(path for folder in FOLDERS.values() for path in (REPOSITORY / "catalog" / folder).glob("*.yaml"))
REFERRED_TO = {"phi-4-mini", "phi-3-dolly-tuning"}
USUAL: dict[str, str] = {}
"""What the unchanged catalog renders: only what differs from it needs another look."""
BUDGET = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])

ODD = st.one_of(
    st.sampled_from(["", " ", "yes", "null", "~", "010", "1e3", ".inf", "12:30", "2026-08-21", "- a", "a: b", "a #b"]),
    st.sampled_from(["#{ x }#", "#% if %#", "{{ x }}", "{a: b}", "[", "]", "'", '"', "\\", "|", ">", "&a", "*a", "!t"]),
    st.sampled_from(["%", "@", "`", "---", "...", "\u2028", "\x85", "\ufeff", "\u00e9", "\U0001f600", "$(id)", "../x"]),
    st.text(max_size=20),
)
VALUES = st.one_of(
    ODD,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(ODD, max_size=3),
    st.dictionaries(ODD, ODD, max_size=3),
)
ONE_LINE = st.text(st.characters(blacklist_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30) | ODD.filter(
    lambda text: text.isprintable()
)
PARTS = [
    *("a", ": ", "\n", "  ", "- ", "? ", "[", "]", "{", "}", ", ", '"', "'", "#", "|", ">"),
    *("&x", "*x", "!", "%", "\t", "---\n", "0", "~", "é", "\r"),
]


@cache
def facts() -> Facts:
    return compiler.load_facts(Repository(REPOSITORY))


@pytest.fixture(scope="module", autouse=True)
def _templates_are_compiled_once() -> Iterator[None]:
    """Compiling the templates takes longer than everything else together, and no entry changes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(renderer, "Templates", cache(Templates))
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's clusters, and the two entries that others refer to."""
    root = tmp_path_factory.mktemp("fuzz")
    for folder in FOLDERS.values():
        (root / "catalog" / folder).mkdir(parents=True)
    kept = [path for path in ENTRIES if path.parent.name == "clusters" or path.stem in REFERRED_TO]
    for path in kept:
        shutil.copy(path, root / "catalog" / path.parent.name)
    (root / "catalog" / "facts").symlink_to(FACTS)
    compiled = compile_fast(root)
    assert compiled.rendering, compiled.findings
    USUAL.update(compiled.rendering.tree)
    return root


@contextmanager
def written(root: Path, where: str, content: bytes) -> Iterator[None]:
    file = root / "catalog" / where
    before = file.read_bytes() if file.exists() else None
    file.write_bytes(content)
    try:
        yield
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_bytes(before)


def compile_fast(root: Path) -> Compiled:
    """`compile_catalog` with the facts read once; they are no part of what is tried here."""
    catalog, found = load_catalog(root)
    resolution = resolve(catalog, facts())
    compiled = Compiled(catalog, facts(), resolution, sorted({*found, *resolution.findings}))
    if not has_errors(compiled.findings):
        compiled.rendering = renderer.render(catalog, resolution)
    return compiled


def must_hold(compiled: Compiled) -> None:
    """Either there are errors, or every document means what it says."""
    assert has_errors(compiled.findings) == (compiled.rendering is None)
    for finding in compiled.findings:
        assert finding.message
        assert "\n" not in finding.message + finding.hint, finding
        assert finding.where.file.startswith("catalog/")
    if compiled.rendering:
        changed = [one for one in compiled.rendering.documents if USUAL.get(one.path) != one.text]
        for document in changed:
            assert yaml.safe_load(document.text) == document.body, document.path


@cache
def plain(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)
    return data


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in children:
        yield from nodes(inner, (*path, key))


def mutate(entry: dict[str, Any], data: st.DataObject) -> None:
    """Drop, replace, rename or copy one node."""
    path = data.draw(st.sampled_from(list(nodes(entry))))
    parent: Any = entry
    for part in path[:-1]:
        parent = parent[part]
    action = data.draw(st.sampled_from(["drop", "replace", "rename", "copy"]))
    if action == "drop":
        del parent[path[-1]]
    elif action == "replace":
        parent[path[-1]] = data.draw(VALUES)
    elif action == "copy":
        source = data.draw(st.sampled_from(list(nodes(entry))))
        value: Any = entry
        for part in source:
            value = value[part]
        parent[path[-1]] = copy.deepcopy(value)
    elif isinstance(parent, dict):
        parent[data.draw(ODD)] = parent.pop(path[-1])


@BUDGET
@given(data=st.data())
def test_a_mutated_entry_is_a_finding_or_renders(root: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(ENTRIES))
    entry = copy.deepcopy(plain(path))
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(entry, data)
    with written(root, f"{path.parent.name}/{path.name}", json.dumps(entry, ensure_ascii=False).encode()):
        must_hold(compile_fast(root))


@BUDGET
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_random_bytes_are_a_finding(root: Path, content: bytes) -> None:
    with written(root, "models/random.yaml", content):
        compiled = compile_fast(root)
    must_hold(compiled)
    assert has_errors(compiled.findings)


@BUDGET
@given(parts=st.lists(st.sampled_from(PARTS), max_size=60))
def test_random_yaml_is_a_finding(root: Path, parts: list[str]) -> None:
    with written(root, "models/random.yaml", "".join(parts).encode()):
        compiled = compile_fast(root)
    must_hold(compiled)
    assert has_errors(compiled.findings)


@BUDGET
@given(data=st.data())
def test_real_text_with_lines_shuffled_and_cut_is_a_finding_or_renders(root: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(ENTRIES))
    lines = path.read_text("utf-8").split("\n")
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(lines) - 1))
        line = data.draw(st.sampled_from(["", "  " + lines[index], lines[index][2:], lines[index] * 2, lines[0]]))
        lines[index] = line
    with written(root, f"{path.parent.name}/{path.name}", "\n".join(lines).encode()):
        must_hold(compile_fast(root))


def test_deep_nesting_of_every_kind_is_refused(root: Path) -> None:
    """Each of these overflowed, or would overflow, a stack if it were composed."""
    deep = 20_000
    texts = ["[" * deep, "{a: " * deep, "- " * deep, "-  " * deep, "-\t" * deep, "? " * deep, "?  - " * deep]
    texts += ["- ? " * deep, "\n".join(" " * depth + "a:" for depth in range(600))]
    for text in texts:
        with written(root, "models/deep.yaml", text.encode()[:250_000]):
            compiled = compile_fast(root)
        must_hold(compiled)
        assert has_errors(compiled.findings), text[:20]


PRESET = {
    "apiVersion": "catalog.kaitops.dev/v1",
    "kind": "Model",
    "metadata": {"name": "odd"},
    "spec": {
        "owner": "chat",
        "license": "mit",
        "source": {"preset": {"name": "phi-4", "revision": "187ef0342fff0eb3333be9f00389385e95ef0b61"}},
        "serving": {"context": 8192},
        "clusters": {"dev": {"sku": "Standard_NC24ads_A100_v4"}},
    },
}
OWN = {
    **PRESET,
    "spec": {
        **PRESET["spec"],  # type: ignore[dict-item]
        "source": {"huggingFace": {"repo": "a/b", "revision": "187ef0342fff0eb3333be9f00389385e95ef0b61"}},
        "serving": {
            "runtime": "transformers",
            "resources": {"requests": {"memory": "8Gi"}, "limits": {"memory": "8Gi"}},
        },
    },
}


def find(compiled: Compiled, path: str) -> Any:
    assert compiled.rendering, compiled.findings
    return next(document.body for document in compiled.rendering.documents if document.path == path)


@BUDGET
@given(
    description=ONE_LINE,
    served=ONE_LINE.filter(bool),
    flag=ONE_LINE | st.booleans() | st.integers(-(10**18) + 1, 10**18 - 1) | st.floats(0, 1),
)
def test_odd_text_changes_neither_structure_nor_type_of_a_preset(
    root: Path, description: str, served: str, flag: object
) -> None:
    entry: dict[str, Any] = copy.deepcopy(PRESET)
    entry["spec"] |= {"description": description}
    entry["spec"]["serving"] |= {"servedName": served, "engine": {"chat-template": flag}}
    with written(root, "models/odd.yaml", json.dumps(entry, ensure_ascii=False).encode()):
        compiled = compile_fast(root)
    must_hold(compiled)
    config = find(compiled, "clusters/dev/odd/configmap.yaml")
    flags = yaml.safe_load(config["data"]["inference_config.yaml"])["vllm"]
    assert flags["served-model-name"] == served
    assert flags["chat-template"] == flag
    assert type(flags["chat-template"]) is type(flag)


@BUDGET
@given(value=ONE_LINE, flag=ONE_LINE, served=ONE_LINE.filter(bool))
def test_odd_text_changes_neither_structure_nor_type_of_a_pod(root: Path, value: str, flag: str, served: str) -> None:
    entry: dict[str, Any] = copy.deepcopy(OWN)
    entry["spec"]["serving"] |= {"env": {"GREETING": value}, "engine": {"x": flag}, "servedName": served}
    with written(root, "models/odd.yaml", json.dumps(entry, ensure_ascii=False).encode()):
        compiled = compile_fast(root)
    must_hold(compiled)
    container = find(compiled, "clusters/dev/odd/workspace.yaml")["inference"]["template"]["spec"]["containers"][0]
    assert {"name": "GREETING", "value": value} in container["env"]
    assert container["args"][-2:] == ["--x", flag]
    assert container["args"][-3] == served


def test_the_order_of_files_does_not_matter_and_twice_is_the_same(tmp_path: Path) -> None:
    files = {path.relative_to(REPOSITORY): path.read_bytes() for path in ENTRIES}
    trees = []
    for seed in range(3):
        root = tmp_path / str(seed)
        order = sorted(files)
        random.Random(seed).shuffle(order)  # noqa: S311 - an order of files, no secret
        for name in order:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(files[name])
        (root / "catalog" / "facts").symlink_to(FACTS)
        compiled = compile_catalog(Repository(root))
        assert compiled.rendering
        trees.append((list(compiled.rendering.tree.items()), compiled.findings))
    assert trees[0] == trees[1] == trees[2]
