"""Is every difference told, with the way out, and does the printed diff lead to the very tree?"""

import subprocess
from pathlib import Path

import pytest

from generator.finding import Finding
from generator.tree import diff, findings, plan, write
from generator.tree.index import INDEX, JOURNAL
from generator.tree.report import MANY

DEV = ["dev"]
OLD = {
    "clusters/dev/m/changed.yaml": "a: 1\nb: 2\n",
    "clusters/dev/m/stale.yaml": "old: true\n",
    "clusters/dev/m/same.yaml": "same: true\n",
    "clusters/dev/m/no-end.yaml": "no: end",
    "clusters/dev/m/odd.yaml": "odd: \u2028 \x0c \r x\n",
}
NEW = {
    "clusters/dev/m/changed.yaml": "a: 1\nb: 3\n",
    "clusters/dev/m/same.yaml": "same: true\n",
    "clusters/dev/m/no-end.yaml": "no: end\nnow: more",
    "clusters/dev/m/odd.yaml": "odd: \u2028 \x0c \r y\n",
    "clusters/dev/new/added.yaml": "new: true\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, plan(tmp_path, OLD, DEV))
    return tmp_path


def told(found: list[Finding]) -> dict[str, str]:
    return {finding.where.file.removeprefix("clusters/dev/"): finding.rule for finding in found}


def test_every_rule_names_its_file_and_the_command(root: Path) -> None:
    folder = root / "clusters/dev"
    (folder / "m/same.yaml").write_text("by hand\n")
    (folder / "m/notes.md").write_text("mine\n")
    (folder / "m/odd.yaml").unlink()
    (folder / JOURNAL).write_bytes((folder / INDEX).read_bytes())
    found = findings(plan(root, NEW, DEV))
    assert told(found) == {
        JOURNAL: "drift/unfinished",
        "m/changed.yaml": "drift/changed",
        "m/no-end.yaml": "drift/changed",
        "m/notes.md": "drift/foreign",
        "m/odd.yaml": "drift/missing",
        "m/same.yaml": "drift/edited",
        "m/stale.yaml": "drift/stale",
        "new/added.yaml": "drift/missing",
    }
    assert found == sorted(found)
    hints = {finding.rule: finding.hint for finding in found}
    assert "kaitops render --force" in hints["drift/edited"]
    assert all("`kaitops render`" in hints[rule] for rule in ("drift/changed", "drift/stale", "drift/unfinished"))


def test_line_endings_of_windows_are_called_by_name(root: Path) -> None:
    (root / "clusters/dev/m/same.yaml").write_bytes(b"same: true\r\n")
    (finding,) = findings(plan(root, OLD, DEV))
    assert finding.rule == "drift/edited"
    assert "CRLF" in finding.message
    assert "eol=lf" in finding.hint


def test_a_name_that_is_not_utf8_can_be_printed(root: Path) -> None:
    (root / "clusters/dev" / b"\xff.yaml".decode(errors="surrogateescape")).write_text("mine\n")
    (finding,) = findings(plan(root, OLD, DEV))
    assert finding.where.file.encode().startswith(b"clusters/dev/")


def test_a_big_drift_is_told_by_folder_and_loses_no_file(tmp_path: Path) -> None:
    files = [f"clusters/dev/unit-{n // 6}/file-{n}.yaml" for n in range(6 * MANY)]
    write(tmp_path, plan(tmp_path, dict.fromkeys(files, "a\n"), DEV))
    found = findings(plan(tmp_path, dict.fromkeys(files, "b\n"), DEV))
    assert len(found) == MANY
    assert {finding.where.file for finding in found} <= set(files)
    text = " ".join(f"{finding.where} {finding.message}" for finding in found)
    assert all(path.rpartition("/")[2] in text for path in files)


def test_few_findings_stay_one_per_file(tmp_path: Path) -> None:
    files = [f"clusters/dev/unit/file-{n}.yaml" for n in range(MANY)]
    found = findings(plan(tmp_path, dict.fromkeys(files, "a\n"), DEV))
    assert {finding.where.file for finding in found} == set(files)


def test_the_diff_is_a_plain_unified_diff(root: Path) -> None:
    assert "".join(diff(plan(root, OLD | {"clusters/dev/m/changed.yaml": "a: 1\nb: 3\n"}, DEV))) == (
        "--- a/clusters/dev/m/changed.yaml\n+++ b/clusters/dev/m/changed.yaml\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n"
    )


def test_git_applies_the_diff_and_gets_the_tree(root: Path) -> None:
    patch = "".join(diff(plan(root, NEW, DEV)))
    subprocess.run(["git", "apply", "-p1"], input=patch.encode(), cwd=root, check=True)
    files = {str(path.relative_to(root)): path.read_bytes().decode() for path in root.rglob("*.yaml")}
    assert files == NEW


def test_a_clean_tree_has_no_diff(root: Path) -> None:
    assert list(diff(plan(root, OLD, DEV))) == []


def test_bytes_that_are_no_text_are_named_instead_of_shown(root: Path) -> None:
    (root / "clusters/dev/m/same.yaml").write_bytes(b"\xff\x00")
    (line,) = diff(plan(root, OLD, DEV))
    assert line.startswith("Binary files a/clusters/dev/m/same.yaml and b/")
