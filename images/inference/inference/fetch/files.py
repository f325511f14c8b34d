"""Which files of a source does a server read, and how do we know that their bytes are right?

Weights are read as safetensors alone: a pickle runs code when it is opened. What comes with them is a fixed list of
kinds, so that a source cannot place anything else in the pod.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from inference.errors import CANNOT_HEAL, StartError

Algorithm = Literal["sha256", "md5", "git"]
WEIGHTS = ".safetensors"
BESIDE = frozenset({".json", ".model", ".txt", ".jinja", ".tiktoken", ".py"})
"""Configuration, tokenizers, chat templates, and the model's own code, which the server runs only when told to."""
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack"})
READ_BYTES = 1 << 22
LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the source says about a file's content."""

    algorithm: Algorithm
    value: str

    def matches(self, path: Path) -> bool:
        digest = hashlib.new("sha1" if self.algorithm == "git" else self.algorithm, usedforsecurity=False)
        if self.algorithm == "git":
            digest.update(b"blob %d\0" % path.stat().st_size)
        with path.open("rb") as file:
            while block := file.read(READ_BYTES):
                digest.update(block)
        return digest.hexdigest() == self.value.lower()


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of the model; `headers` hold the answers to the version that was listed."""

    path: str
    size: int
    url: str
    checksum: Checksum | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Tells one content of the file from another, as far as the source does."""
        sum_ = f"{self.checksum.algorithm}:{self.checksum.value}" if self.checksum else ""
        return f"{self.size} {sum_ or self.headers.get('If-Match', '')}"


Authorize = Callable[[], Mapping[str, str]]
"""The headers that prove who asks, fresh for each request: tokens run out during long downloads."""


class Source(Protocol):
    """A place that holds models."""

    @property
    def title(self) -> str:
        """What it is in a message."""

    def files(self) -> Sequence[RemoteFile]: ...

    def authorization(self) -> Mapping[str, str]: ...


def chosen(files: Sequence[RemoteFile], title: str) -> list[RemoteFile]:
    """The files that a server reads; a model without safetensors is refused, since nothing else is loaded."""
    kept = [file for file in files if _wanted(PurePosixPath(file.path))]
    names = {file.path for file in kept}
    if not files:
        raise StartError(f"{title} holds no file", "check the names in the entry")
    if not any(name.endswith(WEIGHTS) for name in names):
        pickled = next((file.path for file in files if PurePosixPath(file.path).suffix in PICKLES), None)
        found = f", only pickled weights such as `{pickled}`" if pickled else ""
        raise StartError(f"{title} holds no `*{WEIGHTS}`{found}", "convert the model to safetensors")
    if "config.json" not in names:
        raise StartError(f"{title} holds no `config.json` at its top", "name the folder that holds it")
    for file in kept:
        _check_path(file.path)
    return [file for file in kept if not _repeated(file.path, names)]


def _wanted(path: PurePosixPath) -> bool:
    return not path.name.startswith(".") and (path.suffix == WEIGHTS or path.suffix in BESIDE)


def _repeated(path: str, names: set[str]) -> bool:
    """Some publishers keep the same weights twice: in their own layout beside the one that is loaded."""
    own = path.startswith("consolidated") and path.endswith(WEIGHTS)
    return own and bool(names & {"model.safetensors", "model.safetensors.index.json"})


def _check_path(path: str) -> None:
    parts = PurePosixPath(path)
    strange = parts.is_absolute() or ".." in parts.parts or str(parts) != path
    too_long = any(len(part.encode()) > LONGEST_NAME for part in parts.parts)
    if strange or too_long or "\\" in path or not path.isprintable():
        shown = path if path.isprintable() else repr(path)
        raise StartError(f"the source names the file `{shown}`, which is no plain path below the folder",
                         "rename it there", CANNOT_HEAL)  # fmt: skip
