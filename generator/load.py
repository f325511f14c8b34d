"""The catalog on disk becomes typed entries; every mistake of every file is reported at once."""

import copy
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from generator.explain import explain, is_noise, shown
from generator.finding import CannotRunError, Finding, Place
from generator.model import API_VERSION, FOLDERS, KINDS, Cluster, EntryBase, Model, RagEngine, Tuning
from generator.model.base import DNS_LABEL
from generator.source import MAX_BYTES, Path, SourceFile, read_source
from generator.words import did_you_mean

OTHER_FOLDERS = frozenset({"facts", "schema"})
"""Folders of the catalog that hold no entries."""
TRAINING: Path = ("spec", "config")
"""Of a tuning: KAITO's own words, where a name without a value means something."""
EntryT_co = TypeVar("EntryT_co", bound=EntryBase, covariant=True)


@dataclass(frozen=True, slots=True)
class Entry(Generic[EntryT_co]):
    """A typed entry together with the file that it was read from."""

    value: EntryT_co
    file: SourceFile

    @property
    def name(self) -> str:
        return self.value.metadata.name

    def place(self, *path: str | int) -> Place:
        """Where the field at `path` below `spec` stands, or the nearest one above it."""
        return self.file.place(("spec", *path))


@dataclass(slots=True)
class Catalog:
    """Everything that people wrote, by name."""

    models: dict[str, Entry[Model]] = field(default_factory=dict)
    tunings: dict[str, Entry[Tuning]] = field(default_factory=dict)
    rag_engines: dict[str, Entry[RagEngine]] = field(default_factory=dict)
    clusters: dict[str, Entry[Cluster]] = field(default_factory=dict)
    broken: set[tuple[str, str]] = field(default_factory=set)
    """Kind and name of the files that could not be read: they exist, so nobody complains that they are missing."""

    def of_kind(self, kind: str) -> dict[str, Entry[Any]]:
        entries: dict[str, dict[str, Entry[Any]]] = {
            "Model": self.models,
            "Tuning": self.tunings,
            "RagEngine": self.rag_engines,
            "Cluster": self.clusters,
        }
        return entries[kind]


def load_catalog(root: FilePath, known: Catalog | None = None) -> tuple[Catalog, list[Finding]]:
    """Read `catalog/` below `root`; entries with mistakes are left out and reported.

    `known` is the catalog at another commit: what reads the same there is not typed again.

    Raises:
        CannotRunError: there is no catalog.
    """
    folder = root / "catalog"
    if not folder.is_dir():
        raise CannotRunError(f"no `catalog` folder in `{root}`", "run inside the repository, or name it with `-C`")
    catalog, findings = Catalog(), [*_strays(folder)]
    known = known or Catalog()
    for kind, name in FOLDERS.items():
        for path in sorted((folder / name).glob("*")):
            findings += _load_file(catalog, kind, path, path.relative_to(root).as_posix(), known)
    return catalog, sorted(findings)


def _strays(folder: FilePath) -> Iterator[Finding]:
    """What lies beside the folders of entries, where nobody would ever read it."""
    known = {*FOLDERS.values(), *OTHER_FOLDERS}
    for path in sorted(folder.iterdir()):
        if path.name not in known and not _is_ignored(path):
            hint = did_you_mean(path.name, known) or f"entries lie in {_listed(FOLDERS.values())}"
            yield Finding(Place(f"catalog/{path.name}"), "catalog/file", "nothing reads this", hint)


def _is_ignored(path: FilePath) -> bool:
    """Words for people, and what editors and file managers leave behind."""
    return path.suffix == ".md" or path.name.startswith(".")


def _listed(folders: Iterable[str]) -> str:
    return ", ".join(f"`catalog/{name}/`" for name in folders)


def _load_file(catalog: Catalog, kind: str, path: FilePath, name: str, known: Catalog) -> list[Finding]:
    if _is_ignored(path):
        return []
    raw, findings = _read(path, name)
    same = known.of_kind(kind).get(path.stem)
    if raw is not None and same and same.file.name == name and same.file.text.encode() == raw:
        catalog.of_kind(kind)[path.stem] = same
        return []
    file, more = read_source(name, raw) if raw is not None else (None, [])
    findings += more
    value, more = parse_entry(file, kind) if file is not None and file.data is not None else (None, [])
    if file is None or value is None or findings:
        catalog.broken.add((kind, path.stem))
    else:
        catalog.of_kind(kind)[value.metadata.name] = Entry(value, file)
    said = {finding.where for finding in findings}
    return findings + [finding for finding in more if finding.where not in said]


def _read(path: FilePath, name: str) -> tuple[bytes | None, list[Finding]]:
    if path.suffix != ".yaml":
        hint = "entries are `.yaml` files; move anything else out of the catalog"
        return None, [Finding(Place(name), "catalog/file", "not a catalog entry", hint)]
    try:
        mode = path.lstat()
        if not stat.S_ISREG(mode.st_mode):
            message = "not a regular file; a link could lead out of the repository"
            return None, [Finding(Place(name), "catalog/file", message, "put the entry itself here")]
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1), []
    except OSError as error:
        return None, [Finding(Place(name), "catalog/file", f"cannot be read: {error.strerror}")]


def parse_entry(file: SourceFile, kind: str) -> tuple[EntryBase | None, list[Finding]]:
    """Type one file's data as an entry of `kind`, the kind that its folder holds.

    Where unknown fields are the only mistakes, the entry is typed without them, so that what its other fields get wrong
    is said in the same run.
    """
    data = file.data
    if not isinstance(data, dict):
        hint = "an entry starts with `apiVersion`, `kind`, `metadata` and `spec`"
        return None, [Finding(file.place(()), "catalog/shape", "the entry must be a mapping of fields", hint)]
    findings = [*_head(file, kind, data)]
    if findings:
        return None, findings
    model = KINDS[kind]
    findings = [*_empties(file, data)]
    try:
        return model.model_validate(data), findings
    except ValidationError as error:
        records: list[Any] = [*error.errors(include_url=False)]
        wrong = {_finding(file, record, model) for record in records if not is_noise(record)}
        said = {finding.where for finding in wrong}
        findings = sorted({*wrong, *(finding for finding in findings if finding.where not in said)})
        only_unknown = all(record["type"] == "extra_forbidden" for record in records)
        return _typed_without(model, data, [record["loc"] for record in records]) if only_unknown else None, findings


def _empties(file: SourceFile, node: Any, path: Path = ()) -> Iterator[Finding]:
    """A name without a value: it would count as left out, which is seldom what its author meant."""
    if path == TRAINING or not isinstance(node, dict):
        return
    for name, value in node.items():
        here = (*path, name)
        if value is None:
            yield Finding(
                file.place(here), "catalog/shape", f"`{name}` is empty", "write its value, or delete the line"
            )
        yield from _empties(file, value, here)


def _typed_without(model: type[EntryBase], data: dict[str, Any], unknown: list[Path]) -> EntryBase | None:
    """The entry without its unknown fields; None where it is wrong without them too."""
    known = copy.deepcopy(data)
    for *above, name in unknown:
        node: Any = known
        for part in above:
            node = node[part]
        del node[name]
    try:
        return model.model_validate(known)
    except ValidationError:
        return None


def _finding(file: SourceFile, record: Any, model: type[EntryBase]) -> Finding:
    location, message, hint = explain(record, model)
    path: Path = location[:-1] if record["type"] == "missing" else location
    within = ".".join(str(part) for part in location[:-1])
    suffix = f" in `{within}`" if within and record["type"] in {"missing", "extra_forbidden"} else ""
    return Finding(file.place(path), "catalog/shape", message + suffix, hint)


def _head(file: SourceFile, kind: str, data: dict[str, Any]) -> list[Finding]:
    """`apiVersion`, `kind` and the name are judged first: a wrong kind would make every field look wrong."""
    findings = []
    if data.get("apiVersion") != API_VERSION:
        message = f"`apiVersion` must be `{API_VERSION}`" + _instead(data.get("apiVersion"))
        hint = _version_hint(data.get("apiVersion"))
        findings.append(Finding(file.place(("apiVersion",)), "catalog/api-version", message, hint))
    if data.get("kind") != kind:
        message = f"`kind` must be `{kind}` in `catalog/{FOLDERS[kind]}/`" + _instead(data.get("kind"))
        findings.append(Finding(file.place(("kind",)), "catalog/kind", message, _kind_hint(data.get("kind"))))
    metadata = data.get("metadata")
    stem = FilePath(file.name).stem
    if isinstance(metadata, dict) and isinstance(metadata.get("name"), str) and metadata["name"] != stem:
        message = f"the name is {shown(metadata['name'])}, but the file is `{stem}.yaml`"
        renamed = f"rename the file to `{metadata['name']}.yaml`"
        hint = renamed if re.fullmatch(DNS_LABEL, metadata["name"]) else f"call the entry `{stem}`"
        findings.append(Finding(file.place(("metadata", "name")), "catalog/name", message, hint))
    return findings


def _instead(value: Any) -> str:
    if value is None:
        return ", but is missing"
    return f", but is {shown(value)}" if isinstance(value, str) else ", but is no text"


def _version_hint(value: Any) -> str:
    if isinstance(value, str) and value.startswith("kaito.sh/"):
        return (
            "a KAITO object is no entry; it is rendered from one, with a `Model`, `Tuning` or `RagEngine` as its source"
        )
    return f"this release reads `{API_VERSION}` only"


def _kind_hint(value: Any) -> str:
    if isinstance(value, str) and value in FOLDERS:
        return f"a `{value}` belongs in `catalog/{FOLDERS[value]}/`"
    if value in ("Workspace", "InferenceSet"):
        return "the catalog holds `Model` entries; Workspaces are rendered from them"
    if value == "RAGEngine":
        return "the catalog holds `RagEngine` entries; RAGEngines are rendered from them"
    known = "kinds: " + ", ".join(f"`{kind}` in `catalog/{folder}/`" for kind, folder in FOLDERS.items())
    return (did_you_mean(value, FOLDERS) if isinstance(value, str) else "") or known
