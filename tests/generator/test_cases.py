"""Kinds of cluster that the committed fleet does not have, each with the tree that it renders.

After a wanted change, `KAITOPS_UPDATE=1 pytest tests/generator/test_cases.py` writes the trees anew; review the diff.
"""

import os
import shutil
from pathlib import Path

import pytest

from generator.checks import run_checks
from generator.compile import compile_catalog
from generator.repository import Repository
from generator.tree import plan, write

ROOT = Path(__file__).parents[2]
CASES = sorted(path for path in (Path(__file__).parent / "cases").iterdir() if path.is_dir())


@pytest.fixture(params=CASES, ids=lambda path: path.name)
def case(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def repository(case: Path, tmp_path: Path) -> Repository:
    """The case's catalog with the repository's facts and bases."""
    shutil.copytree(case / "catalog", tmp_path / "catalog")
    shutil.copytree(ROOT / "catalog" / "facts", tmp_path / "catalog" / "facts")
    for folder in ("base", "components"):
        shutil.copytree(ROOT / "clusters" / folder, tmp_path / "clusters" / folder)
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    return Repository(tmp_path)


def test_a_case_renders_its_tree(case: Path, repository: Repository) -> None:
    compiled = compile_catalog(repository)
    assert compiled.rendering is not None, compiled.findings
    tree = compiled.rendering.tree
    expected = case / "expected"
    if os.environ.get("KAITOPS_UPDATE"):
        shutil.rmtree(expected, ignore_errors=True)
        for path, text in tree.items():
            (expected / path).parent.mkdir(parents=True, exist_ok=True)
            (expected / path).write_text(text, "utf-8")
    committed = {
        path.relative_to(expected).as_posix(): path.read_text("utf-8") for path in expected.rglob("*") if path.is_file()
    }
    assert tree == committed


def test_a_case_passes_every_check(repository: Repository) -> None:
    compiled = compile_catalog(repository)
    assert compiled.rendering is not None, compiled.findings
    write(repository.root, plan(repository.root, compiled.rendering.tree, sorted(compiled.catalog.clusters)))
    outcome = run_checks(repository, compiled, {"drift", "schema", "webhook", "policy", "build"})
    assert outcome.findings == []
    assert outcome.ran == ["drift", "schema", "webhook", "policy", "build"]
