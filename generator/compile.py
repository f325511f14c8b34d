"""The whole way from the catalog on disk to documents in memory, as every command needs it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from generator.facts import load_kaito_facts
from generator.finding import Finding, Severity
from generator.load import Catalog, load_catalog
from generator.monitoring.library import Library, load_library
from generator.monitoring.metrics import load_metrics
from generator.render import Rendering, kaito_paths, render
from generator.repository import Repository
from generator.resolve import Resolution, resolve
from generator.resolve.context import Facts
from generator.skus import load_skus


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
    if not has_errors(found):
        held = _held_texts(repository, resolution, request or Request())
        compiled.rendering = render(catalog, resolution, held, library)
        compiled.findings = sorted({*found, *compiled.rendering.findings})
    return compiled


def load_facts(repository: Repository) -> Facts:
    folder = repository.facts
    return Facts(
        load_kaito_facts(folder / "kaito.yaml"), load_skus(folder / "skus.yaml"), load_metrics(folder / "metrics.yaml")
    )


def has_errors(findings: Iterable[Finding]) -> bool:
    return any(finding.severity is Severity.ERROR for finding in findings)


def _held_texts(repository: Repository, resolution: Resolution, request: Request) -> dict[str, str]:
    """The committed files that decide what runs, of models with `roll: manual`."""
    texts = {}
    for model in resolution.models:
        if model.held and model.name not in request.rolled:
            for path in kaito_paths(model):
                file = repository.root / path
                if file.is_file() and not file.is_symlink():
                    texts[path] = file.read_text("utf-8", errors="replace")
    return texts
