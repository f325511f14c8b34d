"""One commit of the repository as files: what was the catalog, and what was rendered, at a revision?

Git knows each file by a hash of its bytes. A listing of a commit is one call, and tells which of thousands of files
differ from what is rendered now without reading any of them.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import git
from git.exc import BadName, BadObject, GitCommandError, InvalidGitRepositoryError, NoSuchPathError

from generator.finding import CannotRunError
from generator.words import did_you_mean

REGULAR = frozenset({"100644", "100755"})
"""Modes of plain files. Links and submodules are left out: nothing that is read may lead out of the repository."""
FOLDERS = ("catalog", "clusters", "policies")
SHORT = 10


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of one commit below the folder that holds the catalog."""

    label: str
    """The revision as it was asked for."""
    commit: git.Commit
    prefix: str
    """From Git's root to the catalog's repository: empty, or ending in a slash."""
    blobs: Mapping[str, str]
    """Path below the catalog's repository → Git's hash of the content."""

    @property
    def name(self) -> str:
        sha = str(self.commit.hexsha)[:SHORT]
        return self.label if sha.startswith(self.label[:SHORT]) else f"{self.label} ({sha})"

    def read(self, path: str) -> bytes:
        """The bytes of a file that `blobs` names.

        Raises:
            CannotRunError: a partial clone left them where they are, or the repository is damaged.
        """
        try:
            return bytes(self.commit.repo.odb.stream(bytes.fromhex(self.blobs[path])).read())
        except (BadObject, ValueError, OSError) as error:
            hint = "`git fsck` says what is missing; `git fetch --refetch` gets it again"
            raise CannotRunError(f"`{path}` of `{self.name}` cannot be read from Git", hint) from error

    def below(self, *folders: str) -> list[str]:
        starts = tuple(f"{folder}/" for folder in folders)
        return sorted(path for path in self.blobs if path.startswith(starts))

    def export(self, root: Path, paths: Iterable[str]) -> None:
        """Write files below an empty folder of ours, so that whatever reads a repository can read the commit."""
        for path in paths:
            if not _stays_inside(path):
                raise CannotRunError(f"a path in `{self.name}` leads out of the repository: `{path!a}`")
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.read(path))


@dataclass(frozen=True, slots=True)
class History:
    """The Git repository around a catalog."""

    repo: git.Repo
    prefix: str

    def snapshot(self, revision: str) -> Snapshot:
        """The commit that `revision` names.

        Raises:
            CannotRunError: no such commit here.
        """
        commit = self._commit(revision)
        folders = [f"{self.prefix}{folder}" for folder in FOLDERS]
        try:
            listing = self.repo.git.ls_tree("-r", "-z", "--full-tree", commit.hexsha, "--", *folders)
        except GitCommandError as error:  # a parent is known by its name before anybody asks whether it is there
            raise self._unknown(revision) from error
        return Snapshot(revision, commit, self.prefix, dict(_entries(listing, self.prefix)))

    def _commit(self, revision: str) -> git.Commit:
        if revision.startswith("-"):
            raise CannotRunError(f"no revision `{revision}`", "a revision does not start with a dash")
        try:
            return self.repo.commit(revision)
        except (BadName, ValueError, GitCommandError, IndexError, KeyError) as error:
            raise self._unknown(revision) from error

    def _unknown(self, revision: str) -> CannotRunError:
        return CannotRunError(f"no commit `{revision}` in this repository", self._way_out(revision))

    def _way_out(self, revision: str) -> str:
        if (Path(self.repo.common_dir) / "shallow").is_file():
            return "the clone is shallow: fetch the rest with `git fetch --unshallow` (in CI: `fetch-depth: 0`)"
        names = [str(reference.name) for reference in self.repo.references]
        return did_you_mean(revision, names) or "`git fetch` it first, or name a commit, a branch or a tag that is here"

    def missing_from(self, base: Snapshot, head: str) -> int:
        """How many commits of the base the head does not have: what they changed would show as undone."""
        return int(self.repo.git.rev_list("--count", f"{self._commit(head).hexsha}..{base.commit.hexsha}"))


@contextmanager
def open_history(root: Path) -> Iterator[History]:
    """The history that `root`, a repository with a catalog, is under, as long as it is read.

    Git's processes, which answer one question after the other, end with it: a refusal would keep them.

    Raises:
        CannotRunError: it is not under Git, or Git does not let us read it.
    """
    try:
        repo = git.Repo(root, search_parent_directories=True)
    except (InvalidGitRepositoryError, NoSuchPathError) as error:
        raise CannotRunError(f"`{root}` is not in a Git repository", "a plan compares with a commit") from error
    with repo:
        yield History(repo, _prefix(repo, root))


def _prefix(repo: git.Repo, root: Path) -> str:
    try:
        top = Path(repo.git.rev_parse("--show-toplevel"))
    except GitCommandError as error:
        reason = " ".join(str(error.stderr).split())
        raise CannotRunError(f"Git cannot read the repository: {reason}") from error
    inside = root.resolve().relative_to(top.resolve()).as_posix()
    return "" if inside == "." else f"{inside}/"


def blob_id(data: bytes, like: str) -> str:
    """Git's hash of a file with these bytes, in the form of the hash `like`."""
    content = b"blob %d\0" % len(data) + data
    sha1_digits = 40
    if len(like) == sha1_digits:
        return hashlib.sha1(content, usedforsecurity=False).hexdigest()
    return hashlib.sha256(content).hexdigest()


def _entries(listing: str, prefix: str) -> Iterable[tuple[str, str]]:
    for line in listing.split("\0"):
        head, _, path = line.partition("\t")
        if path and path.startswith(prefix):
            mode, _, sha = head.split(" ")
            if mode in REGULAR:
                yield path.removeprefix(prefix), sha


def _stays_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts and ".git" not in pure.parts
