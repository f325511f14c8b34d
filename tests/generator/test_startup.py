"""Does the command line start without loading what it does not need, and tell its real version?"""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from generator.cli import VERSION
from generator.repository import Repository

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
SLOW = ("pydantic", "jinja2", "yaml", "generator.compile", "generator.tree", "importlib.metadata")
"""What takes longer to load than the whole of `--help` may take."""
LOADED = """\
import sys
from generator.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sorted(sys.modules))
"""


def loaded_by(*words: str) -> set[str]:
    """The modules that a whole process has loaded at its end."""
    environment = {"PATH": "", "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *words], capture_output=True, text=True, check=True, env=environment
    )
    return set(done.stdout.splitlines()[-1].split())


def test_the_version_is_the_package_s() -> None:
    assert tomllib.loads(PROJECT.read_text("utf-8"))["project"]["version"] == VERSION


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_what_only_tells_loads_nothing_slow(word: str) -> None:
    assert not loaded_by(word) & {*SLOW}


def test_an_unchanged_repository_is_checked_without_the_slow_parts(workshop: Repository) -> None:
    words = ("-C", str(workshop.root), "render")
    loaded_by(*words)
    assert loaded_by(*words, "--check") >= {"pydantic", "jinja2", "yaml"}
    assert not loaded_by(*words, "--check") & {*SLOW}


def test_the_client_of_clusters_is_loaded_only_for_a_cluster(workshop: Repository) -> None:
    assert "generator.checks.server" in loaded_by("-C", str(workshop.root), "validate", "--select", "catalog")
    assert "kubernetes" not in loaded_by("-C", str(workshop.root), "validate", "--select", "catalog")
