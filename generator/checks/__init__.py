"""Checks: one question per file, each yields findings. This is the list of them, and how they are run together."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from generator.checks import build, drift, schema, webhook
from generator.checks.subject import Subject
from generator.compile import Compiled
from generator.document import Document
from generator.finding import Finding
from generator.repository import Repository

CHECKS = ("catalog", "drift", "schema", "webhook", "build")
"""In the order in which they run."""
SKIPPED = {"build": "not selected; the objects of hand-written bases were not looked at"}
"""What else is not seen when a check is left out."""


@dataclass(slots=True)
class Outcome:
    """What was found, and what was not looked at."""

    findings: list[Finding] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Name of a check → why it did not run."""
    objects: int = 0


Progress = Callable[[str], None]


def run_checks(
    repository: Repository, compiled: Compiled, wanted: Collection[str], progress: Progress | None = None
) -> Outcome:
    """Run the wanted checks; after an error in the catalog there is nothing that the others could look at."""
    outcome = Outcome()
    for name in CHECKS:
        if name not in wanted:
            outcome.skipped[name] = SKIPPED.get(name, "not selected")
        elif name == "catalog":
            outcome.findings += compiled.findings
            outcome.ran.append(name)
        elif compiled.rendering is None:
            outcome.skipped[name] = "the catalog has errors"
    if compiled.rendering is None:
        return outcome
    subject = Subject(repository, compiled, compiled.rendering.documents)
    outcome.objects = len(subject.objects)
    for name, check in _runners(subject, with_bases="build" in wanted).items():
        if name in wanted:
            if progress:
                progress(f"checking {name} ...")
            outcome.findings += check()
            outcome.ran.append(name)
    outcome.findings = sorted(set(outcome.findings))
    return outcome


def _runners(subject: Subject, *, with_bases: bool) -> dict[str, Callable[[], Iterator[Finding]]]:
    return {
        "drift": lambda: drift.check(subject),
        "schema": lambda: _schema(subject, with_bases=with_bases),
        "webhook": lambda: webhook.check(subject.objects, subject.compiled.facts.kaito, _byo(subject)),
        "build": lambda: build.check(subject),
    }


def _schema(subject: Subject, *, with_bases: bool) -> Iterator[Finding]:
    """Rendered files by themselves, and the objects of units with a base as kustomize builds them."""
    by_minor: dict[str, list[Document]] = {}
    built = build.platform_objects(subject) if with_bases else ()
    for document in (*subject.documents, *built):
        by_minor.setdefault(subject.minor(document), []).append(document)
    for minor, documents in by_minor.items():
        yield from schema.check(documents, minor)


def _byo(subject: Subject) -> frozenset[str]:
    """Clusters where KAITO provisions no nodes."""
    clusters = subject.compiled.catalog.clusters
    return frozenset(name for name, entry in clusters.items() if entry.value.spec.kaito.provisioner == "byo")
