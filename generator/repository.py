"""Where the repository is, and where things lie in it."""

from dataclasses import dataclass
from pathlib import Path

from generator.finding import CannotRunError


@dataclass(frozen=True, slots=True)
class Repository:
    root: Path

    @property
    def clusters(self) -> Path:
        return self.root / "clusters"

    @property
    def facts(self) -> Path:
        return self.root / "catalog" / "facts"

    @property
    def schemas(self) -> Path:
        return self.root / "catalog" / "schema"

    @property
    def cache(self) -> Path:
        return self.root / ".cache" / "kaitops"


def find_repository(start: Path) -> Repository:
    """The nearest folder at or above `start` that holds a catalog.

    Raises:
        CannotRunError: there is none.
    """
    if not start.is_dir():
        raise CannotRunError(f"`{start}` is not a folder")
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / "catalog" / "clusters").is_dir():
            return Repository(folder)
    raise CannotRunError(
        f"no catalog in `{start.resolve()}` or above it",
        "run inside the repository, or name it with `-C DIR`; a catalog is a folder `catalog/` with `clusters/` in it",
    )
