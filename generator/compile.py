"""The whole way from the catalog on disk to documents in memory, as every command needs it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from generator.facts import load_kaito_facts
from generator.finding import Finding, Place, Severity
from generator.load import Catalog, load_catalog
from generator.monitoring.library import Library, load_library
from generator.monitoring.metrics import load_metrics
from generator.placement import ModelPlacement
from generator.render import Rendering, kaito_paths, render
from generator.repository import Repository
from generator.resolve import Resolution, resolve
from generator.resolve.context import Facts
from generator.skus import load_skus
from generator.tree import Ours


@dataclass(slots=True)
class Compiled:
    """What the catalog says. `rendering` is None where errors forbid one."""

    catalog: Catalog
    facts: Facts
    resolution: Resolution
    findings: list[Finding]
    rendering: Rendering | None = None
    library: Library | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """`rolled` names models whose hold is lifted this once."""

    rolled: frozenset[str] = field(default_factory=frozenset)


def compile_catalog(repository: Repository, request: Request | None = None) -> Compiled:
    """Load, resolve and render; all problems of all files are in `findings`."""
    facts = load_facts(repository)
    catalog, findings = load_catalog(repository.root)
    resolution = resolve(catalog, facts)
    library, more = load_library(repository.root, facts.metrics)
    found = sorted({*findings, *more, *resolution.findings})
    compiled = Compiled(catalog, facts, resolution, found, library=library)
    held = _held_files(repository, resolution, request or Request())
    compiled.findings = sorted({*found, *_edited_by_hand(repository, held)})
    if not has_errors(compiled.findings):
        texts = {file.path: file.content.decode() for file in held}
        rendering = render(catalog, resolution, texts, library)
        compiled.findings = sorted({*found, *rendering.findings})
        compiled.rendering = None if has_errors(compiled.findings) else rendering
    return compiled


def load_facts(repository: Repository) -> Facts:
    folder = repository.facts
    return Facts(
        load_kaito_facts(folder / "kaito.yaml"), load_skus(folder / "skus.yaml"), load_metrics(folder / "metrics.yaml")
    )


def has_errors(findings: Iterable[Finding]) -> bool:
    return any(finding.severity is Severity.ERROR for finding in findings)


@dataclass(frozen=True, slots=True)
class _Held:
    """A committed file that decides what runs, of a model with `roll: manual`."""

    path: str
    content: bytes
    model: ModelPlacement


def _held_files(repository: Repository, resolution: Resolution, request: Request) -> list[_Held]:
    found = []
    for model in resolution.models:
        if model.held and model.name not in request.rolled:
            for path in kaito_paths(model):
                file = repository.root / path
                if file.is_file() and not file.is_symlink():
                    found.append(_Held(path, file.read_bytes(), model))
    return found


def _edited_by_hand(repository: Repository, held: Iterable[_Held]) -> Iterator[Finding]:
    """A held model is what its files say, so a change to them by hand would go to the cluster unseen."""
    ours = Ours(repository.root)
    for file in held:
        if not ours.wrote(file.path, file.content):
            message = f"`{file.path}` is not as it was rendered, and `{file.model.name}` is held at it"
            hint = f"restore it (`git checkout -- {file.path}`), or resolve its conflict"
            yield Finding(Place(file.model.source), "catalog/held", message, hint)
