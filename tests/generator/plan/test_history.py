"""Revisions that are not there, shallow clones, repositories in a folder of another, and files that lead elsewhere."""

import shutil
from pathlib import Path

import git
import pytest

from generator.finding import CannotRunError
from generator.history import blob_id, open_history

from .conftest import Project


def test_a_revision_that_does_not_exist(project: Project) -> None:
    with project.repo as repo:
        repo.create_head("release-1.2")
    with pytest.raises(CannotRunError, match=r"no commit `relase-1\.2`") as raised:
        project.plan("relase-1.2")
    assert "release-1.2" in raised.value.hint


@pytest.mark.parametrize("odd", ["--output=/tmp/x", "", "HEAD~999", "HEAD:catalog", "a..b", "\0", "é" * 300])
def test_odd_revisions_are_refused(project: Project, odd: str) -> None:
    with pytest.raises(CannotRunError):
        project.plan(odd)


def test_a_shallow_clone_says_so(project: Project, tmp_path: Path) -> None:
    with project.repo as repo:
        first = repo.head.commit.hexsha
    project.edit("catalog/models/phi-4.yaml", ("context: 16384", "context: 8192"))
    project.commit("Shorter")
    git.Repo.clone_from(project.root.as_uri(), tmp_path / "shallow", depth=1).close()
    for revision in (first, "HEAD~1"):
        with pytest.raises(CannotRunError, match="no commit") as raised:
            Project(tmp_path / "shallow").plan(revision)
        assert "git fetch --unshallow" in raised.value.hint


def test_a_file_that_git_has_lost_is_named(project: Project) -> None:
    with open_history(project.root) as history:
        snapshot = history.snapshot("HEAD")
        sha = snapshot.blobs["catalog/models/phi-4.yaml"]
        (Path(history.repo.common_dir) / "objects" / sha[:2] / sha[2:]).unlink()
        with pytest.raises(CannotRunError, match=r"`catalog/models/phi-4\.yaml` of `HEAD") as raised:
            snapshot.read("catalog/models/phi-4.yaml")
    assert "git fsck" in raised.value.hint


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="not in a Git repository"), open_history(tmp_path):
        pass


def test_a_catalog_in_a_folder_of_the_repository(template: Path, tmp_path: Path) -> None:
    inner = tmp_path / "mono" / "platform" / "models"
    shutil.copytree(template, inner, ignore=shutil.ignore_patterns(".git"))
    git.Repo.init(tmp_path / "mono", initial_branch="main").close()
    project = Project(inner)
    project.commit("All of it")
    assert project.plan().empty
    project.edit("catalog/models/phi-4.yaml", ("context: 16384", "context: 8192"))
    assert not project.plan().empty


def test_links_are_not_followed_out_of_a_commit(project: Project, tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("token: abc", "utf-8")
    (project.root / "catalog/models/link.yaml").symlink_to(secret)
    project.commit("A link")
    with open_history(project.root) as history:
        assert "catalog/models/link.yaml" not in history.snapshot("HEAD").blobs


def test_the_hash_is_gits_own(project: Project) -> None:
    with project.repo as repo:
        blob = repo.head.commit.tree / "catalog/models/phi-4.yaml"
    data = (project.root / "catalog/models/phi-4.yaml").read_bytes()
    assert blob_id(data, blob.hexsha) == blob.hexsha
    assert len(blob_id(data, "0" * 64)) == 64


def test_git_ends_with_a_refusal(project: Project) -> None:
    with open_history(project.root) as history:
        assert history.snapshot("HEAD").read("catalog/models/phi-4.yaml")
        asked = history.repo.git
        processes = [running.proc for running in (asked.cat_file_header, asked.cat_file_all) if running]
        with pytest.raises(CannotRunError) as raised:
            history.snapshot("nowhere")
    assert raised.tb, "its frames are held, and with them whatever they name"
    assert [process.poll() is not None for process in processes if process] == [True, True]
