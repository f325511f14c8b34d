"""What does a write refuse, does it then leave everything alone, and does it ever leave the cluster folder?"""

import os
from hashlib import sha256
from pathlib import Path

import pytest

from generator.tree import RefusedError, State, findings, plan, refusals, write
from generator.tree.guard import PRUNE_FLOOR
from generator.tree.index import INDEX, JOURNAL

DEV = ["dev"]
TREE = {f"clusters/dev/unit-{n // 4}/file-{n}.yaml": f"n: {n}\n" for n in range(24)}
FILE = "clusters/dev/unit-0/file-0.yaml"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    write(folder, plan(folder, TREE, DEV))
    return folder


def everything(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def refused(
    root: Path, tree: dict[str, str], *, force: bool = False, allow_prune: bool = False
) -> list[tuple[str, str]]:
    """Try to write, make sure that nothing happened, and give the rule and place of each reason."""
    before = everything(root)
    with pytest.raises(RefusedError) as caught:
        write(root, plan(root, tree, DEV), force=force, allow_prune=allow_prune)
    assert everything(root) == before
    return [(finding.rule, str(finding.where)) for finding in caught.value.findings]


def first(count: int) -> dict[str, str]:
    return dict(list(TREE.items())[:count])


def test_each_hand_edited_file_is_named_and_nothing_is_written(root: Path) -> None:
    other = "clusters/dev/unit-1/file-4.yaml"
    (root / FILE).write_text("by hand\n")
    (root / other).write_text("by hand\n")
    wanted = TREE | {"clusters/dev/unit-5/file-23.yaml": "a change\n"}
    assert refused(root, wanted) == [("drift/edited", FILE), ("drift/edited", other)]
    write(root, plan(root, wanted, DEV), force=True)
    assert (root / FILE).read_text() == TREE[FILE]
    assert plan(root, wanted, DEV).clean


def test_an_edited_file_that_is_no_longer_rendered_is_not_deleted_without_force(root: Path) -> None:
    (root / FILE).write_text("by hand\n")
    wanted = {path: text for path, text in TREE.items() if path != FILE}
    assert refused(root, wanted) == [("drift/edited", FILE)]
    write(root, plan(root, wanted, DEV), force=True)
    assert not (root / FILE).exists()


def test_a_foreign_file_in_the_place_of_ours_is_not_overwritten_without_force(root: Path) -> None:
    path = "clusters/dev/unit-0/new.yaml"
    (root / path).write_text("mine\n")
    assert refused(root, TREE | {path: "ours\n"}) == [("drift/edited", path)]
    (finding,) = findings(plan(root, TREE | {path: "ours\n"}, DEV))
    assert "not written by kaitops" in finding.message
    write(root, plan(root, TREE | {path: "ours\n"}, DEV), force=True)
    assert (root / path).read_text() == "ours\n"


@pytest.mark.parametrize("kept", [0, 1, 17])
def test_a_tree_that_lost_more_than_a_quarter_needs_permission(root: Path, kept: int) -> None:
    assert refused(root, first(kept), force=True) == [("drift/prune", "clusters/dev")]
    write(root, plan(root, first(kept), DEV), allow_prune=True)
    assert sum(path.suffix == ".yaml" for path in root.rglob("*")) == kept


@pytest.mark.parametrize("kept", [18, 23])
def test_a_quarter_may_go(root: Path, kept: int) -> None:
    write(root, plan(root, first(kept), DEV))
    assert plan(root, first(kept), DEV).clean


def test_a_small_cluster_may_lose_a_few_files_but_not_all(root: Path) -> None:
    write(root, plan(root, first(PRUNE_FLOOR + 1), DEV), allow_prune=True)
    assert refusals(plan(root, first(1), DEV)) == []
    write(root, plan(root, first(1), DEV))
    assert refused(root, {}) == [("drift/prune", "clusters/dev")]


def test_edited_files_count_as_deletions_too(root: Path) -> None:
    for path in TREE:
        (root / path).write_text("by hand\n")
    assert refused(root, first(17), force=True) == [("drift/prune", "clusters/dev")]


def test_a_vanished_cluster_takes_its_folder_along_when_allowed(root: Path) -> None:
    prod = {path.replace("dev", "prod"): text for path, text in TREE.items()}
    write(root, plan(root, TREE | prod, ["dev", "prod"]))
    changes = plan(root, prod, ["prod"])
    assert {change.state for change in changes.files} == {State.STALE}
    assert [finding.rule for finding in refusals(changes)] == ["drift/prune"]
    write(root, changes, allow_prune=True)
    assert not (root / "clusters/dev").exists()
    assert plan(root, prod, ["prod"]).clean


def test_a_vanished_cluster_leaves_foreign_files_and_the_folders_of_others(root: Path) -> None:
    base = root / "clusters/base/a.yaml"
    notes = root / "clusters/dev/notes.md"
    base.parent.mkdir()
    for path in (base, notes):
        path.write_text("mine\n")
    write(root, plan(root, {}, []), allow_prune=True)
    assert {path for path in root.rglob("*") if path.is_file()} == {base, notes}
    assert plan(root, {}, []).clusters == ()


def test_the_index_cannot_make_us_delete_outside_the_folder(root: Path) -> None:
    outside = root / "precious.txt"
    outside.write_text("a\n")
    index = root / "clusters/dev" / INDEX
    digest = sha256(b"a\n").hexdigest()
    index.write_text(index.read_text() + f"{digest}  ../../precious.txt\n")
    write(root, plan(root, TREE, DEV), force=True, allow_prune=True)
    assert outside.read_text() == "a\n"


def linked(root: Path, place: str) -> Path:
    """Replace a place in the repository by a symbolic link to a copy of it that lies outside."""
    outside = root.parent / "outside"
    (root / place).rename(outside)
    (root / place).symlink_to(outside)
    return outside


@pytest.mark.parametrize("place", ["clusters", "clusters/dev", "clusters/dev/unit-0", FILE, f"clusters/dev/{INDEX}"])
def test_a_link_is_never_followed(root: Path, place: str) -> None:
    outside = linked(root, place)
    before = everything(root.parent)
    blocked = "clusters/dev" if place == "clusters" else place
    wanted = {path: f"{text}changed\n" for path, text in TREE.items()}
    for tree in (TREE, wanted, {}):
        rules = refused(root, tree, force=True, allow_prune=True)
        assert rules == [("drift/blocked", blocked)]
    assert everything(root.parent) == before
    assert outside.exists()


def test_a_vanished_cluster_behind_a_link_is_left_alone(root: Path) -> None:
    linked(root, "clusters/dev")
    assert plan(root, {}, []).clusters == ()


def test_a_foreign_link_is_reported_and_left(root: Path) -> None:
    link = root / "clusters/dev/link"
    link.symlink_to("/")
    changes = plan(root, TREE, DEV)
    assert changes.foreign == ["clusters/dev/link"]
    write(root, changes)
    assert link.is_symlink()


def test_a_pipe_in_the_place_of_a_file_is_refused_without_waiting_on_it(root: Path) -> None:
    (root / FILE).unlink()
    os.mkfifo(root / FILE)
    assert refused(root, TREE, force=True) == [("drift/blocked", FILE)]


def test_a_folder_with_foreign_files_in_the_place_of_a_file_is_refused(root: Path) -> None:
    (root / FILE).unlink()
    (root / FILE).mkdir()
    (root / FILE / "notes.md").write_text("mine\n")
    assert refused(root, TREE, force=True) == [("drift/blocked", FILE)]


def test_a_foreign_file_in_the_place_of_a_folder_is_refused_and_names_what_it_blocks(root: Path) -> None:
    (root / "clusters/dev/new").write_text("mine\n")
    wanted = TREE | {f"clusters/dev/new/{n}.yaml": "a\n" for n in range(7)}
    assert refused(root, wanted, force=True) == [("drift/blocked", "clusters/dev/new")]
    (finding,) = (finding for finding in findings(plan(root, wanted, DEV)) if finding.rule == "drift/blocked")
    assert "`clusters/dev/new/0.yaml`" in finding.message
    assert "and 2 more" in finding.message


def test_a_file_in_the_place_of_the_cluster_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters/dev").write_text("mine\n")
    assert refused(tmp_path, TREE, force=True) == [("drift/blocked", "clusters/dev")]


@pytest.mark.parametrize("name", [FILE, f"clusters/dev/{INDEX}"])
def test_an_unreadable_file_is_refused(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def guarded(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if str(path).endswith(name):
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr("generator.tree.disk.os.open", guarded)
    changes = plan(root, TREE, DEV)
    assert [(finding.rule, finding.where.file) for finding in refusals(changes, force=True)] == [
        ("drift/blocked", name)
    ]
    assert "Permission denied" in findings(changes)[0].message


def test_an_unreadable_folder_does_not_hide_its_files_from_the_index(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("unit-0"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr("generator.tree.disk.os.scandir", guarded)
    wanted = {path: text for path, text in TREE.items() if "unit-0" not in path}
    (finding,) = refusals(plan(root, wanted, DEV), force=True)
    assert (finding.rule, finding.where.file) == ("drift/blocked", "clusters/dev/unit-0")


def test_a_journal_alone_still_marks_a_vanished_cluster(root: Path) -> None:
    folder = root / "clusters/dev"
    (folder / INDEX).rename(folder / JOURNAL)
    write(root, plan(root, {}, []), allow_prune=True)
    assert not folder.exists()
