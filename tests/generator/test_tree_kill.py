"""Is the tree sound after `kill -9` at any moment of a write, and does the next write complete it?

A driver process forks one child for each moment, on a fresh copy of the same repository. The child counts every
system call that changes the disk, and kills itself at the n-th one, in the middle of the bytes where that is a
write. So each moment is really died at, and what is then on the disk is what a person would find.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from generator.tree import State, Tree, findings, plan, write
from generator.tree.index import INDEX, JOURNAL, TEMPORARY

OLD = {
    "clusters/dev/gateway/gateway.yaml": "kind: Gateway\n",
    "clusters/dev/phi/httproute.yaml": "kind: HTTPRoute\n",
    "clusters/dev/phi/kustomization.yaml": "resources: [one]\n",
    "clusters/dev/phi/service.yaml": "kind: Service\n",
    "clusters/dev/phi/workspace.yaml": "kind: Workspace\n",
    "clusters/dev/retired/workspace.yaml": "kind: Workspace\n",
    "clusters/dev/swap": "a file\n",
}
NEW = {
    "clusters/dev/gateway/gateway.yaml": "kind: Gateway\n",
    "clusters/dev/llama/service.yaml": "kind: Service\nname: llama\n",
    "clusters/dev/llama/workspace.yaml": "kind: Workspace\nname: llama\n",
    "clusters/dev/phi/httproute.yaml": "kind: HTTPRoute\nrule: 1\n",
    "clusters/dev/phi/kustomization.yaml": "resources: [one, two]\n",
    "clusters/dev/phi/service.yaml": "kind: Service\nport: 80\n",
    "clusters/dev/phi/workspace.yaml": "kind: InferenceSet\n",
    "clusters/dev/swap/a.yaml": "now a folder\n",
}
EDITED = {path: f"{text}edited: true\n" for path, text in NEW.items() if "llama/service" not in path}
AGAIN = {path: f"{text}again: true\n" for path, text in EDITED.items() if "httproute" not in path}

DRIVER = """
import json, os, shutil, signal, sys
from pathlib import Path
import generator.tree.writer as writer
from generator.tree import plan

def deadly(name, alive):
    real, left = getattr(os, name), alive
    def call(*arguments, **options):
        creates = name != "open" or arguments[1] & os.O_CREAT
        if creates:
            left[0] -= 1
        if creates and left[0] < 0:
            if name == "write":
                real(arguments[0], arguments[1][: len(arguments[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    setattr(os, name, call)

def die_while_writing(root, tree, clusters, calls):
    child = os.fork()
    if not child:
        changes = plan(root, tree, clusters)
        alive = [calls]
        for name in ("mkdir", "open", "write", "replace", "unlink", "rmdir"):
            deadly(name, alive)
        writer.write(root, changes, allow_prune=True)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

start, goal, task = (Path(argument) for argument in sys.argv[1:])
task = json.loads(task.read_text())
writer._WORTH_A_THREAD = task["threads_from"]
for calls in range(1000):
    root = goal / str(calls)
    shutil.copytree(start, root)
    first, *later = task["trees"]
    code = die_while_writing(root, first, task["clusters"], calls)
    for number, tree in enumerate(later, start=2):
        die_while_writing(root, tree, task["clusters"], calls * number % 17)
    if code == 0:
        break
    assert code == -signal.SIGKILL, code
"""


def killed(
    folder: Path, trees: list[Tree], clusters: list[str], *, before: Tree = OLD, threads_from: int = 500
) -> list[Path]:
    """Die at every moment of the first write, then at some moment of each later one; give the repositories."""
    start, goal, task = folder / "start", folder / "killed", folder / "task.json"
    start.mkdir()
    write(start, plan(start, before, ["dev"]))
    task.write_text(json.dumps({"trees": trees, "clusters": clusters, "threads_from": threads_from}))
    goal.mkdir()
    subprocess.run([sys.executable, "-c", DRIVER, str(start), str(goal), str(task)], check=True, timeout=60)
    roots = sorted(goal.iterdir(), key=lambda path: int(path.name))
    assert len(roots) > len(OLD)
    return roots


def rendered_files(root: Path) -> Iterator[tuple[str, str]]:
    for path in root.rglob("*"):
        if path.is_file() and path.name not in (INDEX, JOURNAL) and not path.name.startswith(TEMPORARY):
            yield str(path.relative_to(root)), path.read_text()


def assert_completes(root: Path, tree: Tree, clusters: list[str]) -> None:
    changes = plan(root, tree, clusters)
    assert not changes.of(State.EDITED, State.CONFLICTED)
    assert not changes.foreign
    write(root, changes, allow_prune=True)
    assert plan(root, tree, clusters).clean
    assert dict(rendered_files(root)) == tree
    assert not [path for path in root.rglob(".kaitops-*") if path.name != INDEX]


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Repositories that died on the way from OLD to NEW, the last one complete; only to be read."""
    return killed(tmp_path_factory.mktemp("dead"), [NEW], ["dev"])


def test_no_file_is_ever_half_written(dead: list[Path]) -> None:
    for root in dead:
        for path, text in rendered_files(root):
            assert text in (OLD.get(path), NEW.get(path))


def test_the_check_names_what_is_unfinished(dead: list[Path]) -> None:
    *roots, last = dead
    assert findings(plan(last, NEW, ["dev"])) == []
    for root in roots:
        begun = dict(rendered_files(root)) != OLD or any(root.rglob(f"{TEMPORARY}*")) or any(root.rglob(JOURNAL))
        rules = {finding.rule for finding in findings(plan(root, NEW, ["dev"]))}
        assert ("drift/unfinished" in rules) == begun
        # Going back to the old catalog must not make the half-written tree pass either.
        assert bool(findings(plan(root, OLD, ["dev"]))) == begun


@pytest.mark.parametrize("wanted", [NEW, OLD, EDITED], ids=["the-same", "the-old", "edited-since"])
def test_the_next_write_completes_it(tmp_path: Path, wanted: Tree) -> None:
    for root in killed(tmp_path, [NEW], ["dev"]):
        assert_completes(root, wanted, ["dev"])


def test_two_threads_are_no_less_sound(tmp_path: Path) -> None:
    for root in killed(tmp_path, [NEW], ["dev"], threads_from=1):
        assert all(text in (OLD.get(path), NEW.get(path)) for path, text in rendered_files(root))
        assert_completes(root, EDITED, ["dev"])


@pytest.mark.parametrize("wanted", [AGAIN, NEW], ids=["edited-since", "back"])
def test_a_second_kill_after_an_edit_is_healed_as_well(tmp_path: Path, wanted: Tree) -> None:
    for root in killed(tmp_path, [NEW, EDITED], ["dev"]):
        assert_completes(root, wanted, ["dev"])


def test_a_first_render_that_was_killed_is_completed(tmp_path: Path) -> None:
    both = OLD | {"clusters/prod/a.yaml": "a\n"}
    for root in killed(tmp_path, [both], ["dev", "prod"], before={}):
        assert_completes(root, EDITED | {"clusters/prod/a.yaml": "b\n"}, ["dev", "prod"])


def test_a_cluster_that_was_half_deleted_goes_in_the_end(tmp_path: Path) -> None:
    for root in killed(tmp_path, [{}], []):
        assert_completes(root, {}, [])
        assert not any((root / "clusters").glob("dev/*"))


def test_a_hand_edit_after_the_kill_is_still_protected(dead: list[Path], tmp_path: Path) -> None:
    edited = "clusters/dev/phi/service.yaml"
    for root in dead[::6]:
        copy = tmp_path / root.name
        shutil.copytree(root, copy)
        (copy / edited).write_text("by hand\n")
        assert [change.path for change in plan(copy, NEW, ["dev"]).of(State.EDITED)] == [edited]
