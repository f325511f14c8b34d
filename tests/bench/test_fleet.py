"""Is the bench's catalog a valid fleet of the promised size, and do the peers get all of it?"""

import re
from pathlib import Path

import pytest

from generator import tree
from generator.checks import run_checks
from generator.compile import Compiled, compile_catalog
from generator.finding import Severity
from generator.repository import Repository

from .fleet import CLUSTERS, SHAPES, write_fleet
from .measure import BenchError, environment, run
from .peers import HOLE, write_inventory
from .table import Row, table

MODELS = 2 * len(SHAPES)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return write_fleet(tmp_path_factory.mktemp("bench") / "fleet", MODELS)


@pytest.fixture(scope="module")
def compiled(repository: Repository) -> Compiled:
    return compile_catalog(repository)


def test_the_fleet_is_valid(repository: Repository, compiled: Compiled) -> None:
    outcome = run_checks(repository, compiled, {"catalog", "webhook", "policy"})
    assert outcome.ran == ["catalog", "webhook", "policy"]
    assert [finding for finding in outcome.findings if finding.severity is Severity.ERROR] == []


def test_each_model_makes_about_eight_files_on_each_cluster(compiled: Compiled) -> None:
    assert compiled.rendering
    of_models = [one for one in compiled.rendering.documents if one.source.file.startswith("catalog/models/")]
    assert len({one.source.file for one in of_models}) == MODELS
    assert 7.5 <= len(of_models) / MODELS / len(CLUSTERS) <= 8.5


def test_kapitan_gets_the_same_files(repository: Repository, compiled: Compiled, tmp_path: Path) -> None:
    assert compiled.rendering
    documents = compiled.rendering.documents
    tree.write(repository.root, tree.plan(repository.root, compiled.rendering.tree, CLUSTERS))
    files = write_inventory(tmp_path, repository.root, MODELS)
    assert files == sum(one.source.file.startswith("catalog/models/") for one in documents)
    assert len([*(tmp_path / "inventory" / "targets").iterdir()]) == MODELS * len(CLUSTERS)
    texts = [path.read_text("utf-8") for path in (tmp_path / "templates").rglob("*.yaml")]
    assert all(HOLE in text for text in texts)
    assert not any(re.search(r"-00\d\d\b", text) for text in texts)


def test_a_failing_command_is_no_figure(tmp_path: Path) -> None:
    env = environment(tmp_path)
    cost = run(("sh", "-c", "exit 0"), env)
    assert cost.seconds > 0
    assert cost.peak_mib > 0
    with pytest.raises(BenchError, match="exit 3"):
        run(("sh", "-c", "echo why; exit 3"), env)


def test_the_table_is_aligned() -> None:
    lines = table([Row("render", "1 ms", goal="<= 2 ms"), Row("a longer figure", "10 ms")]).split("\n")
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
