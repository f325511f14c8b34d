"""Checks: one question per file, each yields findings. This is the list of them, and how they are run together."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from generator.checks import budget, build, drift, fit, metrics, policy, schema, server, webhook
from generator.checks.aside import Check, aside, can_be_aside
from generator.checks.subject import Subject
from generator.compile import Compiled
from generator.document import Document
from generator.finding import Finding
from generator.load import Entry
from generator.model import Cluster
from generator.repository import Repository

CHECKS = ("catalog", "drift", "fit", "budget", "schema", "webhook", "policy", "metrics", "build")
"""In the order in which they run."""
ON_REQUEST = ("server",)
"""Checks that need more than this repository: leaving them out is no gap."""
HEAVY = "policy"
"""The check that takes longest."""
LARGE = 1000
"""Objects from which on that check gets a process of its own."""
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
    repository: Repository,
    compiled: Compiled,
    wanted: Collection[str],
    progress: Progress | None = None,
    target: server.Target | None = None,
) -> Outcome:
    """Run the wanted checks; after an error in the catalog there is nothing that the others could look at."""
    outcome = Outcome()
    for name in (*CHECKS, *(each for each in ON_REQUEST if each in wanted)):
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
    runners = _runners(subject, target, with_bases="build" in wanted)
    if _is_worth_a_process(outcome.objects, wanted):
        runners[HEAVY] = aside(runners.pop(HEAVY))  # asked last, when the others are done
    for name, check in runners.items():
        if name in wanted:
            if progress:
                progress(f"checking {name} ...")
            outcome.findings += check()
            outcome.ran.append(name)
    outcome.ran.sort(key=[*CHECKS, *ON_REQUEST].index)
    outcome.findings = sorted(set(outcome.findings))
    return outcome


def _is_worth_a_process(objects: int, wanted: Collection[str]) -> bool:
    """Where kustomize builds, it has both cores already."""
    return objects > LARGE and HEAVY in wanted and "build" not in wanted and can_be_aside()


def _runners(subject: Subject, target: server.Target | None, *, with_bases: bool) -> dict[str, Check]:
    runners: dict[str, Check] = {
        "drift": lambda: drift.check(subject),
        "fit": lambda: fit.check(subject),
        "budget": lambda: budget.check(subject, datetime.now(tz=UTC).date()),
        "schema": lambda: _schema(subject, with_bases=with_bases),
        "webhook": lambda: webhook.check(subject.objects, subject.compiled.facts.kaito, _byo(subject)),
        "policy": lambda: _policy(subject, with_bases=with_bases),
        "metrics": lambda: metrics.check(subject),
        "build": lambda: build.check(subject),
    }
    return runners if target is None else runners | {"server": lambda: _server(subject, target)}


def _schema(subject: Subject, *, with_bases: bool) -> Iterator[Finding]:
    """Rendered files by themselves, and the objects of units with a base as kustomize builds them."""
    yield from (finding for entry in subject.compiled.catalog.clusters.values() for finding in _minor(entry))
    by_minor: dict[str, list[Document]] = {}
    built = build.platform_objects(subject) if with_bases else ()
    for document in (*subject.documents, *built):
        by_minor.setdefault(subject.minor(document), []).append(document)
    for minor in by_minor.keys() & schema.minors():
        yield from schema.check(by_minor[minor], minor)


def _minor(entry: Entry[Cluster]) -> Iterator[Finding]:
    """A Kubernetes minor that nobody described: its objects cannot be judged, and that is said, not passed."""
    minor, known = entry.value.spec.kubernetes, schema.minors()
    if minor not in known:
        message, hint = f"there are no schemas of Kubernetes `{minor}`", f"known are `{known[0]}` to `{known[-1]}`"
        yield Finding(entry.place("kubernetes"), "schema/kubernetes", message, hint)


def _policy(subject: Subject, *, with_bases: bool) -> Iterator[Finding]:
    """What is rendered, and what kustomize adds to it from bases; the same finding about both is one."""
    built = build.platform_objects(subject) if with_bases else ()
    rendering = subject.compiled.rendering
    limits = rendering.resolution.limits if rendering else {}
    yield from policy.check(subject.repository, subject.compiled.catalog, (*subject.objects, *built), limits)


def _server(subject: Subject, target: server.Target) -> Iterator[Finding]:
    """What the cluster gets: a unit with a base as kustomize builds it, any other as it is rendered."""
    built = [*build.platform_objects(subject)]
    own = [document for document in subject.objects if document.path.split("/")[2] not in build.PLATFORM]
    wanted = [document for document in (*built, *own) if document.path.split("/")[1] == target.name]
    # What kustomize cannot build was not asked about: that must be said by whoever leaves the check of it out.
    yield from (finding for finding in build.check(subject) if finding.rule == build.FAILED)
    yield from server.check(wanted, target)


def _byo(subject: Subject) -> frozenset[str]:
    """Clusters where KAITO provisions no nodes."""
    clusters = subject.compiled.catalog.clusters
    return frozenset(name for name, entry in clusters.items() if entry.value.spec.kaito.provisioner == "byo")
