"""Would this very cluster take every object that is rendered for it, and are its kinds those that we know?

Each object is applied as a server-side dry run, which runs everything that a real apply would, the cluster's own
policies and webhooks included, and keeps nothing. What could not be judged is said, never passed.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from generator.checks.server.definitions import Difference, differences, published_schema
from generator.checks.server.dry_run import STAND_IN, Name, Result, Verdict, try_object
from generator.checks.server.served import Kind, Resource, find_resources, served_versions
from generator.document import Document
from generator.finding import CannotRunError, Finding, Place, Severity
from generator.kinds import custom_schema
from generator.kube import Kube

AT_ONCE = 8
"""Questions under way: enough to hide a distant cluster's round trip, few enough for any server."""
NAMED = 3
"""Differences that are spelled out where no object is touched by them."""

Differences = dict[Kind, list[Difference]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster of the catalog, where its entry says so, and the live cluster that it is."""

    name: str
    where: Place
    minor: str
    """The Kubernetes minor that the catalog names."""
    kube: Kube
    progress: Progress | None = None


def check(documents: Sequence[Document], target: Target) -> Iterator[Finding]:
    """Ask the cluster about every document.

    Raises:
        CannotRunError: it does not answer, or lets this user ask about nothing.
    """
    yield from _version(target)
    resources = find_resources(target.kube, {_kind(document) for document in documents})
    yield from _missing(documents, resources, target)
    served = [document for document in documents if _kind(document) in resources]
    found = _differences(target.kube, served)
    verdicts = _ask(served, resources, target)
    _refuse_if_nothing_may_be_asked(verdicts, target)
    yield from _absent_namespaces(verdicts, target)
    yield from _lacking_rights(verdicts, target)
    for verdict in verdicts:
        yield from _say(verdict, target, _held(verdict, found))
    yield from _unused(served, found, target)


def _kind(document: Document) -> Kind:
    return document.body["apiVersion"], document.body["kind"]


def _version(target: Target) -> Iterator[Finding]:
    version = target.kube.get("/version").body
    live = f"{version['major']}.{version['minor'].rstrip('+')}"
    if live != target.minor:
        message = f"cluster `{target.kube.context}` runs Kubernetes {live}, and the catalog says {target.minor}"
        yield Finding(target.where, "server/version", message, "say what it runs", Severity.WARNING)


def _missing(documents: Sequence[Document], resources: dict[Kind, Resource], target: Target) -> Iterator[Finding]:
    """Kinds that the cluster does not serve, each once, at the first entry that needs it."""
    first: dict[Kind, Document] = {}
    for document in documents:
        first.setdefault(_kind(document), document)
    counts = Counter(map(_kind, documents))
    for kind in sorted(first.keys() - resources.keys()):
        api_version, name = kind
        served = [f"`{version}`" for version in served_versions(target.kube, api_version.rpartition("/")[0])]
        message = (
            f"cluster `{target.kube.context}` does not serve `{name}` of `{api_version}`, "
            f"which {_objects(counts[kind])} here {'needs' if counts[kind] == 1 else 'need'}"
        )
        hint = f"of that group it serves {', '.join(served)}" if served else "install what brings that kind first"
        yield Finding(first[kind].source, "server/missing-kind", message, hint)


def _differences(kube: Kube, documents: Iterable[Document]) -> Differences:
    """For each custom kind in use, where the cluster's description of it differs from our schema."""
    found: Differences = {}
    for kind in sorted(set(map(_kind, documents))):
        ours = custom_schema(*kind)
        theirs = published_schema(kube, kind) if ours is not None else None
        if ours is not None and theirs is not None:
            found[kind] = list(differences(ours, theirs))
    return found


def _ask(documents: Sequence[Document], resources: dict[Kind, Resource], target: Target) -> list[Verdict]:
    rendered = {_name(document, resources[_kind(document)]) for document in documents}
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        asked = [
            pool.submit(try_object, target.kube, document, resources[_kind(document)], rendered)
            for document in documents
        ]
        verdicts = []
        for future in asked:
            verdicts.append(future.result())
            if target.progress:
                target.progress(len(verdicts), len(documents))
        return verdicts
    finally:
        pool.shutdown(cancel_futures=True)


def _name(document: Document, resource: Resource) -> Name:
    metadata = document.body["metadata"]
    return resource.plural, metadata.get("namespace", STAND_IN), metadata["name"]


def _refuse_if_nothing_may_be_asked(verdicts: Sequence[Verdict], target: Target) -> None:
    if verdicts and all(verdict.result is Result.FORBIDDEN for verdict in verdicts):
        raise CannotRunError(
            f"cluster `{target.kube.context}` lets us try none of {_objects(len(verdicts))}: {verdicts[0].message}",
            "a dry run needs the rights `patch` and `create` on what it asks about, though it changes nothing",
        )


def _absent_namespaces(verdicts: Sequence[Verdict], target: Target) -> Iterator[Finding]:
    made = {
        verdict.document.body["metadata"]["name"] for verdict in verdicts if _kind(verdict.document)[1] == "Namespace"
    }
    for namespace, count in sorted(Counter(verdict.absent for verdict in verdicts if verdict.absent).items()):
        message = (
            f"namespace `{namespace}` is not on cluster `{target.kube.context}`: {_objects(count)} of it were tried in "
            f"`{STAND_IN}`, without the quota, the policies and the rights of `{namespace}`"
        )
        if namespace in made:
            yield Finding(target.where, "server/namespace", message, "", Severity.NOTE)
        else:
            hint = "nothing here makes that namespace: install what brings it first"
            yield Finding(target.where, "server/namespace", message, hint, Severity.WARNING)


def _lacking_rights(verdicts: Sequence[Verdict], target: Target) -> Iterator[Finding]:
    """What this user may not ask about, each right once."""
    counts = Counter(verdict.message for verdict in verdicts if verdict.result is Result.FORBIDDEN)
    for message, count in sorted(counts.items()):
        text = f"{message} on cluster `{target.kube.context}`: {_objects(count)} could not be tried"
        hint = "a dry run needs the rights `patch` and `create`, though it changes nothing"
        yield Finding(target.where, "server/forbidden", text, hint, Severity.WARNING)


def _held(verdict: Verdict, found: Differences) -> str:
    """The differences that an object would be refused for, as a sentence."""
    known = found.get(_kind(verdict.document), ())
    return "; ".join(each.message for each in known if each.is_held_by(verdict.document.body))


def _say(verdict: Verdict, target: Target, held: str) -> Iterator[Finding]:
    where, cluster = verdict.document.source, f"cluster `{target.kube.context}`"
    start = f"{verdict.document.path}: {cluster}"
    if verdict.result is Result.REFUSED:
        hint = f"its `{_kind(verdict.document)[1]}` is not the one that we know: {held}" if held else ""
        yield Finding(where, "server/refused", f"{start} refuses it: {verdict.message}", hint)
    elif verdict.result is not Result.ACCEPTED and held:
        yield Finding(where, "server/definition", f"{start} would refuse it: {held}")
    if verdict.result is Result.WAITS:
        message = f"{start} cannot judge it before that other object is there: {verdict.message}"
        yield Finding(where, "server/waits", message, "", Severity.NOTE)
    for warning in verdict.warnings:
        yield Finding(where, "server/warning", f"{start} warns: {' '.join(warning.split())}", "", Severity.WARNING)


def _unused(documents: Sequence[Document], found: Differences, target: Target) -> Iterator[Finding]:
    """Differences that no object meets: an edit of the catalog could."""
    by_kind: dict[Kind, list[Document]] = defaultdict(list)
    for document in documents:
        by_kind[_kind(document)].append(document)
    for kind, known in found.items():
        free = [each for each in known if not any(each.is_held_by(document.body) for document in by_kind[kind])]
        if free:
            said = "; ".join(each.message for each in free[:NAMED])
            more = f"; and {len(free) - NAMED} more" if len(free) > NAMED else ""
            message = f"`{kind[1]}` of `{kind[0]}` on cluster `{target.kube.context}` is not the one that we know: "
            hint = "nothing rendered meets that yet, and an edit of the catalog could"
            yield Finding(target.where, "server/definition", f"{message}{said}{more}", hint, Severity.NOTE)


def _objects(count: int) -> str:
    return f"{count} object{'' if count == 1 else 's'}"
