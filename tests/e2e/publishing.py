"""How does an edit of the catalog become a commit that Argo CD sees?

As in life: the catalog is compiled, the tree of a cluster replaces the one before it, and a commit goes to a bare
repository. One thing differs: the repository's URL, which the catalog only takes as HTTPS or SSH, becomes that of a
folder, so that no certificate is needed.
"""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from generator.compile import compile_catalog
from generator.repository import Repository

ROOT = Path(__file__).parent.parent.parent
CATALOG_URL = "https://git.example.com/platform/models.git"
IDENTITY = {
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@example.com",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@example.com",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}


class Publisher:
    """A copy of the committed catalog, and the Git repository that Argo CD reads its rendering from."""

    def __init__(self, folder: Path) -> None:
        self.workshop = Repository(folder / "workshop")
        self.checkout = folder / "checkout"
        self.bare = folder / "models.git"
        self._copy_sources()
        self.checkout.mkdir()
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", self.bare], check=True, env=IDENTITY)
        self._git("init", "-q", "-b", "main")

    @property
    def url(self) -> str:
        return self.bare.as_uri()

    def _copy_sources(self) -> None:
        root = self.workshop.root
        shutil.copytree(ROOT / "catalog", root / "catalog")
        for folder in ("base", "components"):
            shutil.copytree(ROOT / "clusters" / folder, root / "clusters" / folder)
        shutil.copytree(ROOT / "policies", root / "policies")

    def edit(self, file: str, changes: Mapping[str, str]) -> None:
        """Replace texts in a file of the catalog; each must be there exactly once."""
        text = (self.workshop.root / "catalog" / file).read_text()
        for old, new in changes.items():
            assert text.count(old) == 1, f"`{old}` is in `{file}` {text.count(old)} times"
            text = text.replace(old, new)
        self.put(file, text)

    def put(self, file: str, text: str | None) -> None:
        """Write a file of the catalog, or remove it. What does not compile is undone: later tests need the rest."""
        path = self.workshop.root / "catalog" / file
        before = path.read_text() if path.exists() else None
        _write(path, text)
        try:
            self.render()
        except AssertionError:
            _write(path, before)
            raise

    def publish(self, message: str) -> str:
        """Render, commit and push; the commit's name."""
        self._replace(self.render())
        self._git("add", "--all")
        self._git("commit", "-q", "--allow-empty", "-m", message)
        return self._push()

    def render(self) -> dict[str, str]:
        compiled = compile_catalog(self.workshop)
        assert compiled.rendering is not None, "\n".join(str(finding) for finding in compiled.findings)
        return compiled.rendering.tree

    def _replace(self, tree: Mapping[str, str]) -> None:
        shutil.rmtree(self.checkout / "clusters", ignore_errors=True)
        for folder in ("base", "components"):
            shutil.copytree(self.workshop.root / "clusters" / folder, self.checkout / "clusters" / folder)
        shutil.copytree(self.workshop.root / "policies", self.checkout / "policies", dirs_exist_ok=True)
        for path, text in tree.items():
            file = self.checkout / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace(CATALOG_URL, self.url))

    def _push(self) -> str:
        self._git("push", "-q", str(self.bare), "main")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.checkout), *arguments]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", **IDENTITY}
        )
        return done.stdout


def _write(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
