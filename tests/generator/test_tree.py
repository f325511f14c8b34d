"""Does the comparison name every difference, and does the write mend it and touch nothing else?"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.finding import CannotRunError, Severity
from generator.tree import RefusedError, State, Tree, findings, plan, write
from generator.tree.index import INDEX, JOURNAL, TEMPORARY

DEV = ["dev"]
TREE = {
    "clusters/dev/gateway/gateway.yaml": "kind: Gateway\n",
    "clusters/dev/gateway/kustomization.yaml": "resources: [gateway.yaml]\n",
    "clusters/dev/phi/service.yaml": "kind: Service\n",
    "clusters/dev/phi/workspace.yaml": "kind: Workspace\nname: φ\n",
}


def render(root: Path, tree: Tree, *, force: bool = False, allow_prune: bool = False) -> None:
    write(root, plan(root, tree, DEV), force=force, allow_prune=allow_prune)


def content(root: Path) -> dict[str, bytes]:
    """Everything on the disk but the index."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name != INDEX)
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def as_bytes(tree: Tree) -> dict[str, bytes]:
    return {path: text.encode() for path, text in tree.items()}


def states(root: Path, tree: Tree) -> dict[str, State]:
    return {change.path: change.state for change in plan(root, tree, DEV).files}


def test_first_write_makes_exactly_the_tree(tmp_path: Path) -> None:
    assert set(states(tmp_path, TREE).values()) == {State.ADDED}
    render(tmp_path, TREE)
    assert content(tmp_path) == as_bytes(TREE)
    changes = plan(tmp_path, TREE, DEV)
    assert changes.clean
    assert changes.unchanged == len(TREE)
    assert findings(changes) == []


def test_plan_writes_nothing(tmp_path: Path) -> None:
    plan(tmp_path, TREE, DEV)
    assert list(tmp_path.iterdir()) == []


def test_second_write_touches_nothing(tmp_path: Path) -> None:
    render(tmp_path, TREE)
    paths = [tmp_path, *tmp_path.rglob("*")]
    before = [(path, path.stat().st_ino, path.stat().st_mtime_ns) for path in paths]
    render(tmp_path, TREE)
    assert before == [(path, path.stat().st_ino, path.stat().st_mtime_ns) for path in paths]


def test_a_change_touches_only_its_file_and_the_index(tmp_path: Path) -> None:
    render(tmp_path, TREE)
    inodes = {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()}
    render(tmp_path, TREE | {"clusters/dev/phi/service.yaml": "kind: Service\nport: 80\n"})
    touched = {path.name for path, inode in inodes.items() if path.stat().st_ino != inode}
    assert touched == {"service.yaml", INDEX}


def test_every_kind_of_drift_is_told_apart(tmp_path: Path) -> None:
    render(tmp_path, TREE | {"clusters/dev/phi/old.yaml": "old\n", "clusters/dev/phi/old-edited.yaml": "old\n"})
    phi = tmp_path / "clusters/dev/phi"
    (phi / "service.yaml").write_text("by hand\n")
    (phi / "old-edited.yaml").write_text("by hand\n")
    (phi / "notes.md").write_text("mine\n")
    (tmp_path / "clusters/dev/gateway/gateway.yaml").unlink()
    wanted = TREE | {"clusters/dev/phi/workspace.yaml": "kind: InferenceSet\n", "clusters/dev/phi/new.yaml": "new\n"}
    changes = plan(tmp_path, wanted, DEV)
    assert {change.path.removeprefix("clusters/dev/"): change.state for change in changes.files} == {
        "gateway/gateway.yaml": State.MISSING,
        "phi/new.yaml": State.ADDED,
        "phi/old-edited.yaml": State.EDITED,
        "phi/old.yaml": State.STALE,
        "phi/service.yaml": State.EDITED,
        "phi/workspace.yaml": State.CHANGED,
    }
    assert changes.foreign == ["clusters/dev/phi/notes.md"]
    assert changes.unchanged == 1


def test_stale_files_and_their_folders_go_and_foreign_files_stay(tmp_path: Path) -> None:
    render(tmp_path, TREE | {"clusters/dev/old/deep/a.yaml": "a\n", "clusters/dev/kept/b.yaml": "b\n"})
    (tmp_path / "clusters/dev/kept/notes.md").write_text("mine\n")
    render(tmp_path, TREE)
    assert content(tmp_path) == as_bytes(TREE) | {"clusters/dev/kept/notes.md": b"mine\n"}
    assert not (tmp_path / "clusters/dev/old").exists()
    (finding,) = findings(plan(tmp_path, TREE, DEV))
    assert (finding.rule, finding.severity) == ("drift/foreign", Severity.WARNING)


def test_a_file_becomes_a_folder_and_back(tmp_path: Path) -> None:
    file = TREE | {"clusters/dev/unit": "a file\n"}
    folder = TREE | {"clusters/dev/unit/deep/a.yaml": "a\n", "clusters/dev/unit/b.yaml": "b\n"}
    for tree in (file, folder, file):
        render(tmp_path, tree)
        assert content(tmp_path) == as_bytes(tree)


def test_an_empty_folder_gives_way_to_a_file(tmp_path: Path) -> None:
    render(tmp_path, TREE)
    (tmp_path / "clusters/dev/unit/empty").mkdir(parents=True)
    assert plan(tmp_path, TREE, DEV).clean
    render(tmp_path, TREE | {"clusters/dev/unit": "a file\n"})
    assert (tmp_path / "clusters/dev/unit").read_text() == "a file\n"


def test_existing_files_are_adopted_where_they_are_as_rendered(tmp_path: Path) -> None:
    render(tmp_path, TREE)
    (tmp_path / "clusters/dev" / INDEX).unlink()
    assert [finding.message for finding in findings(plan(tmp_path, TREE, DEV))] == ["the index is missing"]
    render(tmp_path, TREE)
    assert plan(tmp_path, TREE, DEV).clean


def test_a_file_deleted_by_hand_and_from_the_catalog_leaves_only_the_index_behind(tmp_path: Path) -> None:
    render(tmp_path, TREE | {"clusters/dev/phi/old.yaml": "old\n"})
    (tmp_path / "clusters/dev/phi/old.yaml").unlink()
    (finding,) = findings(plan(tmp_path, TREE, DEV))
    assert (finding.rule, finding.where.file) == ("drift/unfinished", f"clusters/dev/{INDEX}")
    render(tmp_path, TREE)
    assert plan(tmp_path, TREE, DEV).clean


def test_a_file_emptied_by_a_power_cut_is_written_again_without_force(tmp_path: Path) -> None:
    render(tmp_path, TREE)
    (tmp_path / "clusters/dev/phi/service.yaml").write_bytes(b"")
    render(tmp_path, TREE)
    assert content(tmp_path) == as_bytes(TREE)


@pytest.mark.parametrize("damage", [b"\xff\xfe\x00", b"kind: Service\r\n", b"kind: Service\n" + b"x" * 200_000])
def test_bytes_are_compared(tmp_path: Path, damage: bytes) -> None:
    render(tmp_path, TREE)
    (tmp_path / "clusters/dev/phi/service.yaml").write_bytes(damage)
    (change,) = plan(tmp_path, TREE, DEV).files
    assert (change.state, change.before) == (State.EDITED, damage)


def test_leftovers_of_a_killed_write_are_reported_and_removed(tmp_path: Path) -> None:
    render(tmp_path, TREE)
    left = tmp_path / f"clusters/dev/phi/{TEMPORARY}4711"
    left.write_text("half")
    (finding,) = findings(plan(tmp_path, TREE, DEV))
    assert (finding.rule, finding.where.file) == ("drift/unfinished", str(left.relative_to(tmp_path)))
    render(tmp_path, TREE)
    assert not left.exists()


def test_a_leftover_under_the_name_that_this_write_uses_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generator.tree.writer.get_native_id", lambda: 7)
    folder = tmp_path / "clusters/dev/unit"
    folder.mkdir(parents=True)
    for path in (folder.parent, folder):
        (path / f"{TEMPORARY}7").write_text("half")
    render(tmp_path, TREE | {"clusters/dev/unit": "a file where the leftover's folder was\n"})
    assert plan(tmp_path, TREE | {"clusters/dev/unit": "a file where the leftover's folder was\n"}, DEV).clean


def test_a_write_that_the_disk_refuses_says_which_file_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("generator.tree.writer.os.write", full)
        with pytest.raises(CannotRunError, match="No space left on device"):
            render(tmp_path, TREE)
    render(tmp_path, TREE)
    assert plan(tmp_path, TREE, DEV).clean


def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr("generator.tree.writer.os.write", lambda descriptor, data: real(descriptor, data[:3]))
    render(tmp_path, TREE)
    assert content(tmp_path) == as_bytes(TREE)


def test_a_large_tree_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generator.tree.writer._WORTH_A_THREAD", 1)
    tree = {f"clusters/dev/unit-{n % 7}/file-{n}.yaml": f"n: {n}\n" for n in range(60)}
    render(tmp_path, tree)
    assert content(tmp_path) == as_bytes(tree)
    assert plan(tmp_path, tree, DEV).clean


def test_the_order_of_the_input_changes_nothing(tmp_path: Path) -> None:
    backwards = dict(reversed(TREE.items()))
    one, other = tmp_path / "one", tmp_path / "other"
    assert plan(one, TREE, ["dev", "prod"]) == plan(one, backwards, ["prod", "dev"])
    render(one, TREE)
    render(other, backwards)
    assert (one / "clusters/dev" / INDEX).read_bytes() == (other / "clusters/dev" / INDEX).read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "clusters/dev",
        "clusters/prod/a.yaml",
        "clusters/dev/../prod/a.yaml",
        "clusters/dev//a.yaml",
        "clusters/dev/./a.yaml",
        "clusters/dev/a\nb.yaml",
        "/clusters/dev/a.yaml",
        f"clusters/dev/{INDEX}",
        f"clusters/dev/phi/{TEMPORARY}x",
    ],
)
def test_a_rendered_path_outside_the_cluster_folders_is_a_bug_of_the_caller(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="no cluster folder"):
        plan(tmp_path, {path: ""}, DEV)


PATHS = st.sampled_from([f"clusters/dev/{name}" for name in ("a", "a/b", "a/b/c", "d.yaml", "e/f.yaml", "e/é.yaml")])
TEXTS = st.text(alphabet="ab\n\r\u2028é", max_size=6)


def without_nesting(tree: dict[str, str]) -> dict[str, str]:
    """Drop the files that would have to be folders as well."""
    return {path: text for path, text in tree.items() if not any(other.startswith(f"{path}/") for other in tree)}


TREES = st.dictionaries(PATHS, TEXTS, max_size=5).map(without_nesting)
HANDS = st.dictionaries(PATHS, st.none() | st.binary(max_size=4), max_size=3)


def meddle(root: Path, hands: dict[str, bytes | None]) -> dict[str, bytes]:
    """Delete and write files as a person might, and give what was written."""
    written = {}
    for name, data in hands.items():
        path = root / name
        if path.is_dir() or any(parent.is_file() for parent in path.parents):
            continue
        path.unlink(missing_ok=True)
        if data is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            written[name] = data
    return written


@settings(max_examples=100)
@given(old=TREES, hands=HANDS, new=TREES)
def test_nothing_of_a_person_is_lost_and_force_gives_exactly_the_tree(
    old: dict[str, str], hands: dict[str, bytes | None], new: dict[str, str]
) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        render(root, old)
        mine = meddle(root, hands)
        before = content(root)
        try:
            render(root, new, allow_prune=True)
        except RefusedError:
            assert content(root) == before
        ours = {*as_bytes(old).values(), *as_bytes(new).values(), b""}
        kept = content(root)
        assert all(kept[path] == data for path, data in mine.items() if data not in ours)
        foreign = {path: data for path, data in mine.items() if path not in {*old, *new}}
        if not plan(root, new, DEV).clusters[0].obstacles:
            render(root, new, force=True, allow_prune=True)
            assert content(root) == as_bytes(new) | foreign
            assert plan(root, new, DEV).clean
        assert not (root / "clusters/dev" / JOURNAL).exists()
