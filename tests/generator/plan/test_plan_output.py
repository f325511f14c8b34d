"""The forms of a plan, and the command: what a terminal, a comment, a program and a shell get."""

import json
import re
from pathlib import Path

import pytest

from generator.cli import main
from generator.finding import Finding, Place
from generator.plan import Plan
from generator.plan.change import Cause, ClusterPlan, FieldChange, ObjectChange, UnitChange, Verb
from generator.plan.machine import write_json, write_sarif
from generator.plan.markdown import LIMIT, write_markdown
from generator.plan.text import write_text

from .conftest import Project

PHI = "catalog/models/phi-4.yaml"
EVIL = "a`b|c<script>alert(1)</script> @team\n# heading ]( http://x )"


def unit(name: str, value: str) -> UnitChange:
    change = ObjectChange(
        f"clusters/dev/{name}/s.yaml", "Service", "chat", name, Verb.LIVE, (FieldChange("spec.a", value, value),)
    )
    cause = Cause(Place("catalog/models/m.yaml", 3, 5), value)
    return UnitChange(cluster="dev", name=name, kind="Model", verb=Verb.LIVE, objects=(change,), causes=(cause,))


def plan_of(*units: UnitChange) -> Plan:
    danger = Finding(Place("catalog/models/m.yaml", 3, 5), "plan/deleted", EVIL, EVIL)
    return Plan("main", "the work tree", (ClusterPlan("dev", units, ()),), (danger,), (), (EVIL,))


def test_a_value_cannot_drive_a_comment() -> None:
    text = write_markdown(plan_of(unit(EVIL, EVIL)))
    outside_code = re.sub(r"`[^`]*`", "", text.replace("a`b", "ab"))
    assert "<script" not in outside_code
    assert "@team" not in outside_code
    assert "\n# heading" not in text
    table = [line for line in text.splitlines() if line.startswith("| **")]
    assert [line.replace("\\|", "").count("|") for line in table] == [6]


def test_a_comment_is_never_too_long_and_ends_with_a_word() -> None:
    text = write_markdown(plan_of(*(unit(f"model-{index}", "x" * 500) for index in range(500))))
    assert len(text) <= LIMIT - len("<!-- kaitops plan -->\n")
    assert text.endswith("`kaitops plan` shows all of it.\n")
    assert text.count("<details>") == text.count("</details>")
    assert "plan/deleted" in text


def test_every_form_says_the_same(project: Project) -> None:
    project.edit(PHI, ("context: 16384", "context: 8192"))
    project.render()
    plan = project.plan()
    record = json.loads(write_json(plan))
    (prod,) = [cluster for cluster in record["clusters"] if cluster["name"] == "prod"]
    assert [(one["name"], one["verb"]) for one in prod["units"]] == [("phi-4", "blue-green")]
    assert prod["units"][0]["causes"][0]["file"] == PHI
    assert {"before", "after", "during", "limit", "what"} == set(prod["amounts"][0])
    results = json.loads(write_sarif(plan))["runs"][0]["results"]
    assert "plan/blue-green" in {result["ruleId"] for result in results}
    for text in (write_text(plan), write_markdown(plan)):
        for word in ("phi-4", "blue-green", f"{PHI}:16", "no downtime", "unchanged: https://phi-4.models.example.com"):
            assert word in text


@pytest.mark.parametrize(
    ("edit", "arguments", "code"),
    [
        (("context: 16384", "context: 8192"), (), 0),
        (("replicas: 2,", "replicas: 2, retired: true,"), (), 1),
        (("  serving:", "  rollout: Recreate\n  serving:\n    dtype: bfloat16"), (), 0),
        (("  serving:", "  rollout: Recreate\n  serving:\n    dtype: bfloat16"), ("--fail-on-danger",), 1),
        (("context: 16384", "context: 999999"), (), 1),
    ],
    ids=["fine", "a mistake", "danger", "danger is not accepted", "does not fit"],
)
def test_exit_codes(
    project: Project, capsys: pytest.CaptureFixture[str], edit: tuple[str, str], arguments: tuple[str, ...], code: int
) -> None:
    project.edit(PHI, edit)
    with pytest.raises(SystemExit) as raised:
        main(["-C", str(project.root), "plan", "--base", "HEAD", *arguments])
    assert (raised.value.code or 0) == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_revision_that_is_not_there_is_exit_2(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["-C", str(project.root), "plan", "--base", "nowhere"])
    assert raised.value.code == 2
    assert "no commit `nowhere`" in capsys.readouterr().err


def test_outside_git_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "catalog" / "clusters").mkdir(parents=True)
    with pytest.raises(SystemExit) as raised:
        main(["-C", str(tmp_path), "plan", "--base", "HEAD"])
    assert raised.value.code == 2
    assert "not in a Git repository" in capsys.readouterr().err
