"""The workflows: pinned actions, no right that is not needed, and none at all beside the code of a pull request."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [A-Za-z0-9_./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


def load(path: Path) -> dict[Any, Any]:
    data: dict[Any, Any] = yaml.safe_load(path.read_text("utf-8"))
    return data


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_every_action_is_pinned_to_a_commit(path: Path) -> None:
    for line in path.read_text("utf-8").splitlines():
        if "uses:" in line:
            assert PINNED.search(line), line


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_no_workflow_has_rights_by_default(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert isinstance(job["permissions"], dict)
        assert job["timeout-minutes"] <= 120


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_code_of_a_pull_request_meets_no_right_to_write(path: Path) -> None:
    workflow = load(path)
    events = workflow[True]  # YAML 1.1 reads the key `on` so
    assert "pull_request_target" not in events
    checks_out = any("checkout" in step.get("uses", "") for step in steps(workflow))
    if "pull_request" in events:
        assert all(job["permissions"] == {"contents": "read"} for job in workflow["jobs"].values())
    if "workflow_run" in events:
        assert not checks_out
    for step in steps(workflow):
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_no_expression_is_pasted_into_a_script(path: Path) -> None:
    """A title or a branch name would be run as a command; scripts read the environment instead."""
    assert not [step for step in steps(load(path)) if "${{" in step.get("run", "")]
