"""Is "clean" remembered for exactly the state that was found clean, and never beyond it?"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from generator.cli import main, rendering
from generator.remember import Memory, memory_of
from generator.repository import Repository

PARTS = {
    "repository/catalog/models/small.yaml": "name: small\n",
    "repository/catalog/facts/kaito.yaml": "newest: 0.12.0\n",
    "repository/clusters/dev/small/service.yaml": "kind: Service\n",
    "repository/clusters/dev/small/workspace.yaml": "kind: Workspace\n",
    "generator/render.py": "pass\n",
    "generator/templates/service.yaml.j2": "kind: Service\n",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name, text in PARTS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path


def memory(home: Path) -> Memory:
    return Memory(Repository(home / "repository"), home / "generator")


def remembered(home: Path) -> bool:
    return memory(home).is_clean()


def test_a_clean_state_is_remembered_and_an_unknown_one_is_not(home: Path) -> None:
    assert not remembered(home)
    memory(home).keep_clean()
    assert remembered(home)


def _swap(home: Path) -> None:
    small = home / "repository/clusters/dev/small"
    (small / "service.yaml").rename(small / "kept")
    (small / "workspace.yaml").rename(small / "service.yaml")
    (small / "kept").rename(small / "workspace.yaml")


def _move_a_line(home: Path) -> None:
    """The same bytes in the same order, cut at another place."""
    small = home / "repository/clusters/dev/small"
    (small / "service.yaml").write_text("kind: ", "utf-8")
    (small / "workspace.yaml").write_text("Service\nkind: Workspace\n", "utf-8")


def _rename(home: Path) -> None:
    """The same bytes at the same position."""
    file = home / "repository/clusters/dev/small/workspace.yaml"
    file.rename(file.with_name("workspaces.yaml"))


def _link(home: Path) -> None:
    """What a link leads to may change without a byte of the repository changing."""
    file = home / "repository/clusters/dev/small/service.yaml"
    file.rename(home / "elsewhere.yaml")
    file.symlink_to(home / "elsewhere.yaml")


def _link_to_folder(home: Path) -> None:
    folder = home / "repository/clusters"
    folder.rename(home / "elsewhere")
    folder.symlink_to(home / "elsewhere")


CHANGES: dict[str, Callable[[Path], object]] = {
    "an entry": lambda home: (home / "repository/catalog/models/small.yaml").write_text("name: smalk\n", "utf-8"),
    "a fact": lambda home: (home / "repository/catalog/facts/kaito.yaml").write_text("newest: 0.13.0\n", "utf-8"),
    "a new entry": lambda home: (home / "repository/catalog/models/new.yaml").touch(),
    "a rendered file": lambda home: (home / "repository/clusters/dev/small/service.yaml").write_text("", "utf-8"),
    "a lost file": lambda home: (home / "repository/clusters/dev/small/service.yaml").unlink(),
    "an empty folder": lambda home: (home / "repository/clusters/dev/empty").mkdir(),
    "compiled files among the rendered": lambda home: (home / "repository/clusters/dev/__pycache__").mkdir(),
    "a lost cluster": lambda home: shutil.rmtree(home / "repository/clusters"),
    "the generator": lambda home: (home / "generator/render.py").write_text("pass  # new\n", "utf-8"),
    "a template": lambda home: (home / "generator/templates/service.yaml.j2").write_text("kind: Pod\n", "utf-8"),
    "swapped files": _swap,
    "a renamed file": _rename,
    "bytes of the next file": _move_a_line,
    "a link": _link,
    "a link to a folder": _link_to_folder,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_any_change_is_looked_at_again(home: Path, change: Callable[[Path], object]) -> None:
    memory(home).keep_clean()
    change(home)
    assert not remembered(home)


@pytest.mark.parametrize("change", [_link, _link_to_folder])
def test_what_lies_behind_a_link_is_never_remembered(home: Path, change: Callable[[Path], object]) -> None:
    change(home)
    memory(home).keep_clean()
    assert not remembered(home)


def test_other_packages_and_another_python_are_another_generator(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = home / "site-packages"
    (site / "jinja2-3.1.6.dist-info").mkdir(parents=True)
    monkeypatch.setattr("sys.path", [str(site)])
    memory(home).keep_clean()
    assert remembered(home)
    (site / "jinja2-3.1.6.dist-info").rename(site / "jinja2-3.1.7.dist-info")
    assert not remembered(home)
    memory(home).keep_clean()
    monkeypatch.setattr("sys.version", "3.99.0")
    assert not remembered(home)


def test_compiled_python_is_no_change(home: Path) -> None:
    memory(home).keep_clean()
    (home / "generator" / "__pycache__").mkdir()
    assert remembered(home)


def test_an_edit_during_the_check_is_not_taken_for_clean(home: Path) -> None:
    running = memory(home)
    (home / "repository/catalog/models/small.yaml").write_text("name: other\n", "utf-8")
    running.keep_clean()
    assert not remembered(home)
    (home / "repository/catalog/models/small.yaml").write_text(PARTS["repository/catalog/models/small.yaml"], "utf-8")
    assert not remembered(home)


def test_a_cache_that_cannot_be_used_costs_no_result(home: Path) -> None:
    (home / "repository/.cache").write_text("a file where the folder would be", "utf-8")
    memory(home).keep_clean()
    assert not remembered(home)


def test_a_damaged_cache_is_no_answer(home: Path) -> None:
    memory(home).keep_clean()
    (home / "repository/.cache/kaitops/clean").write_bytes(b"\xff")
    assert not remembered(home)


def test_ci_believes_no_memory(home: Path) -> None:
    repository = Repository(home / "repository")
    assert memory_of(repository, {"CI": "true"}) is None
    assert memory_of(repository, {}) is not None


Check = Callable[..., int]


@pytest.fixture
def check(workshop: Repository, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Run `render --check`, or another command, in a copy of the committed catalog; the exit code."""
    monkeypatch.delenv("CI", raising=False)

    def run(*words: str) -> int:
        with pytest.raises(SystemExit) as stop:
            main(["-C", str(workshop.root), "render", *words])
        return int(stop.value.code or 0)

    return run


def test_an_unchanged_repository_is_compared_once(
    check: Check, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check() == 0
    capsys.readouterr()
    assert check("--check") == 0
    compared = capsys.readouterr()
    runs = []
    monkeypatch.setattr(rendering, "run", lambda *_words, **_options: runs.append(1))
    assert check("--check") == 0
    assert capsys.readouterr() == compared
    assert not runs
    for more in ("--no-cache", "--diff", "--cluster=dev"):
        check("--check", more)
    assert len(runs) == 3


def test_a_difference_is_never_remembered(check: Check, workshop: Repository) -> None:
    assert check() == 0
    assert check("--check") == 0
    file = workshop.root / "clusters/dev/phi-4-mini/service.yaml"
    committed = file.read_bytes()
    file.write_bytes(committed + b"# by hand\n")
    assert [check("--check"), check("--check")] == [1, 1]
    file.write_bytes(committed)
    assert check("--check") == 0
