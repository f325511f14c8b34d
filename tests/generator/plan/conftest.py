"""A repository under Git with the committed catalog, rendered: what a pull request starts from."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import git
import pytest

from generator import tree
from generator.compile import compile_catalog
from generator.history import open_history
from generator.plan import Plan, make_plan
from generator.plan.change import UnitChange
from generator.repository import Repository

ROOT = Path(__file__).parents[3]
AUTHOR = git.Actor("Ada", "ada@example.com")


@dataclass(frozen=True, slots=True)
class Project:
    """A work tree that a test may change."""

    root: Path

    @property
    def repository(self) -> Repository:
        return Repository(self.root)

    @property
    def repo(self) -> git.Repo:
        """Git, to be closed: its processes live on in whatever error GitPython passes over."""
        return git.Repo(self.root, search_parent_directories=True)

    def edit(self, file: str, *pairs: tuple[str, str]) -> None:
        """Replace texts that the file must hold exactly once."""
        path = self.root / file
        text = path.read_text("utf-8")
        for old, new in pairs:
            assert text.count(old) == 1, (file, old)
            text = text.replace(old, new)
        path.write_text(text, "utf-8")

    def render(self) -> None:
        compiled = compile_catalog(self.repository)
        assert compiled.rendering is not None, compiled.findings
        changes = tree.plan(self.root, compiled.rendering.tree, sorted(compiled.catalog.clusters))
        tree.write(self.root, changes, allow_prune=True)

    def commit(self, message: str) -> str:
        with self.repo as repo:
            repo.git.add("-A")
            return str(repo.index.commit(message, author=AUTHOR, committer=AUTHOR).hexsha)

    def plan(self, base: str = "HEAD", head: str | None = None) -> Plan:
        with open_history(self.root) as history:
            return make_plan(self.repository, history, base, head)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "catalog", root / "catalog")
    for folder in ("base", "components"):
        shutil.copytree(ROOT / "clusters" / folder, root / "clusters" / folder)
    if (ROOT / "policies").is_dir():
        shutil.copytree(ROOT / "policies", root / "policies")
    git.Repo.init(root, initial_branch="main").close()
    project = Project(root)
    project.render()
    project.commit("The fleet")
    return root


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    shutil.copytree(template, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


@pytest.fixture
def unit_of() -> Callable[[Plan, str, str], UnitChange]:
    def find(plan: Plan, cluster: str, name: str) -> UnitChange:
        return next(
            unit for plans in plan.clusters if plans.name == cluster for unit in plans.units if unit.name == name
        )

    return find
