"""Can the index be read by people, by Git and by `sha256sum`, and what if one of them damaged it?"""

import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from generator.tree import RefusedError, State, findings, plan, write
from generator.tree.index import INDEX, JOURNAL, format_index, format_journal, parse

A, B = (sha256(text).hexdigest() for text in (b"a", b"b"))
TREE = {"clusters/dev/m/a.yaml": "a\n", "clusters/dev/m/b.yaml": "b\n"}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    write(tmp_path, plan(tmp_path, TREE, ["dev"]))
    return tmp_path / "clusters/dev" / INDEX


def git(root: Path, *arguments: str, check: bool = True) -> None:
    name = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "core.autocrlf=false"]
    subprocess.run(["git", *name, *arguments], cwd=root, check=check, capture_output=True)


def test_an_index_reads_back_sorted_and_explained() -> None:
    data = format_index({"m/b.yaml": B, "m/a.yaml": A})
    lines = data.decode().splitlines()
    assert "kaitops render" in lines[0]
    assert lines[1:] == [f"{A}  m/a.yaml", f"{B}  m/b.yaml"]
    assert parse(data).hashes == {"m/a.yaml": {A}, "m/b.yaml": {B}}


def test_a_journal_may_hold_several_contents_of_a_file() -> None:
    assert parse(format_journal({"m/a.yaml": {B, A}})).hashes == {"m/a.yaml": {A, B}}


def test_sha256sum_accepts_the_index(index: Path) -> None:
    command = ["sha256sum", "--check", "--strict", "--quiet", INDEX]
    assert subprocess.run(command, cwd=index.parent, check=False).returncode == 0


def test_windows_line_endings_are_read() -> None:
    assert parse(f"# x\r\n{A}  m/a.yaml\r\n".encode()).hashes == {"m/a.yaml": {A}}


@pytest.mark.parametrize(
    "path", ["../other/a.yaml", "/etc/passwd", "m/../../a", "m//a", "", ".", "a\\b", INDEX, f"m/{JOURNAL}", "\udcff"]
)
def test_a_path_that_leads_out_of_the_folder_is_damage(path: str) -> None:
    read = parse(f"# x\n{A}  {path}\n".encode(errors="surrogateescape"))
    assert not read.hashes
    assert read.damaged == (2,)


def test_both_sides_of_a_merge_conflict_are_ours() -> None:
    text = f"<<<<<<< HEAD\n{A}  m/a.yaml\n||||||| base\n=======\n{B}  m/a.yaml\n>>>>>>> other branch\n"
    read = parse(text.encode())
    assert read.conflicted
    assert read.hashes == {"m/a.yaml": {A, B}}
    assert not read.damaged


def test_two_branches_that_change_one_file_merge_by_rendering_again(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    for branch, text in (("main", "base\n"), ("one", "one\n"), ("two", "two\n")):
        if branch != "main":
            git(tmp_path, "checkout", "-q", "-b", branch, "main")
        tree = TREE | {"clusters/dev/m/b.yaml": text, f"clusters/dev/{branch}/new.yaml": text}
        write(tmp_path, plan(tmp_path, tree, ["dev"]), allow_prune=True)
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-q", "-m", branch)
    git(tmp_path, "merge", "-q", "one", check=False)

    merged = TREE | {f"clusters/dev/{name}/new.yaml": f"{name}\n" for name in ("one", "two")}
    changes = plan(tmp_path, merged, ["dev"])
    found = findings(changes)
    assert [change.path for change in changes.of(State.CONFLICTED)] == ["clusters/dev/m/b.yaml"]
    assert [finding.where.file for finding in found if finding.rule == "drift/conflict"] == [
        f"clusters/dev/{INDEX}",
        "clusters/dev/m/b.yaml",
    ]
    assert all("kaitops render" in finding.hint for finding in found)
    write(tmp_path, changes)
    assert plan(tmp_path, merged, ["dev"]).clean


def test_a_file_of_somebody_else_with_conflict_markers_is_theirs(index: Path) -> None:
    root = index.parents[2]
    theirs = root / "clusters/dev/m/new.yaml"
    theirs.write_text("<<<<<<< HEAD\na\n=======\nb\n>>>>>>> x\n")
    (change,) = plan(root, TREE | {"clusters/dev/m/new.yaml": "c\n"}, ["dev"]).files
    assert change.state is State.EDITED


def test_a_damaged_line_is_an_error_that_only_force_overrides(index: Path) -> None:
    root = index.parents[2]
    index.write_text(index.read_text().replace("  m/a.yaml", " what is this"))
    before = index.read_bytes()
    damage = [finding for finding in findings(plan(root, TREE, ["dev"])) if finding.where.line]
    assert [(finding.rule, finding.where.line) for finding in damage] == [("drift/conflict", 2)]
    assert f"git checkout -- clusters/dev/{INDEX}" in damage[0].hint
    with pytest.raises(RefusedError):
        write(root, plan(root, TREE, ["dev"]))
    assert index.read_bytes() == before
    write(root, plan(root, TREE, ["dev"]), force=True)
    assert plan(root, TREE, ["dev"]).clean
