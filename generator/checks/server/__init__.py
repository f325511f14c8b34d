"""Would this very cluster take every object that is rendered for it, and are its kinds those that we know?

Each object is applied as a server-side dry run, which runs everything that a real apply would, the cluster's own
policies and webhooks included, and keeps nothing. What could not be judged is said, never passed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from generator.checks.server import wording
from generator.checks.server.definitions import differences, published_schema
from generator.checks.server.dry_run import STAND_IN, Name, Result, Verdict, try_object
from generator.checks.server.served import Kind, Resource, find_resources, kind_of, other_versions
from generator.checks.server.wording import Differences
from generator.document import Document
from generator.finding import CannotRunError, Finding, Place
from generator.kinds import custom_schema
from generator.kube import Kube

AT_ONCE = 8
"""Questions under way: enough to hide a distant cluster's round trip, few enough for any server."""


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster of the catalog, and the live one that it is."""

    name: str
    where: Place
    """Where the catalog says which Kubernetes the cluster runs."""
    minor: str
    kube: Kube
    progress: Callable[[int, int], None] | None = None
    """Told how many objects of how many were tried."""


def check(documents: Sequence[Document], target: Target) -> Iterator[Finding]:
    """Ask the cluster about every document.

    Raises:
        CannotRunError: it does not answer, or lets this user ask about nothing.
    """
    kube, context = target.kube, target.kube.context
    if kube.minor != target.minor:
        yield wording.version(context, target.where, kube.minor, target.minor)
    resources = find_resources(kube, map(kind_of, documents))
    yield from _missing(documents, resources, kube)
    served = [document for document in documents if kind_of(document) in resources]
    verdicts = _try_all(served, resources, target)
    if verdicts and all(verdict.result is Result.FORBIDDEN for verdict in verdicts):
        message = f"cluster `{context}` lets us try nothing: {verdicts[0].message}"
        raise CannotRunError(message, wording.RIGHTS)
    found = _differences(kube, set(map(kind_of, served)))
    yield from wording.absent_namespaces(context, target.where, verdicts)
    yield from wording.lacking_rights(context, target.where, verdicts)
    for verdict in verdicts:
        yield from wording.verdict(context, verdict, found)
    yield from wording.unmet_differences(context, target.where, served, found)


def _missing(documents: Iterable[Document], resources: dict[Kind, Resource], kube: Kube) -> Iterator[Finding]:
    """Kinds that the cluster does not serve, each once, at the first entry that needs it."""
    needing: dict[Kind, list[Document]] = {}
    for document in documents:
        if kind_of(document) not in resources:
            needing.setdefault(kind_of(document), []).append(document)
    for kind, those in sorted(needing.items()):
        yield wording.missing_kind(kube.context, kind, those, other_versions(kube, kind))


def _differences(kube: Kube, kinds: Iterable[Kind]) -> Differences:
    """For each custom kind in use, where the cluster's description of it differs from our schema."""
    found: Differences = {}
    for kind in sorted(kinds):
        ours = custom_schema(*kind)
        theirs = published_schema(kube, kind) if ours is not None else None
        if ours is not None and theirs is not None:
            found[kind] = list(differences(ours, theirs))
    return found


def _try_all(documents: Sequence[Document], resources: dict[Kind, Resource], target: Target) -> list[Verdict]:
    found = [resources[kind_of(document)] for document in documents]
    rendered = frozenset(map(_name, documents, found))
    verdicts: list[Verdict] = []
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for verdict in pool.map(
            lambda document, resource: try_object(target.kube, document, resource, rendered), documents, found
        ):
            verdicts.append(verdict)
            if target.progress:
                target.progress(len(verdicts), len(documents))
    finally:
        pool.shutdown(cancel_futures=True)
    return verdicts


def _name(document: Document, resource: Resource) -> Name:
    metadata = document.body["metadata"]
    return resource.plural, metadata.get("namespace", STAND_IN), metadata["name"]
