"""Would the cluster's policies let every rendered object in? Judged in process, by the files that the cluster gets.

A finding stands at the line of the catalog that the policy is about. What breaking it leads to on the cluster decides
its weight: where the cluster refuses, it is an error, where it only warns, a warning.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from generator.document import Body, Document
from generator.finding import Finding, Place, Severity
from generator.load import Catalog, Entry
from generator.policy import Admission, Judge, Policy, compile_policies, read_policies
from generator.policy.admission import service_account
from generator.policy.source import PARAMETERS
from generator.repository import Repository
from generator.source import Path, SourceFile

WEIGHTS = {"Deny": Severity.ERROR, "Warn": Severity.WARNING}
GITOPS_ACCOUNT = "argocd-application-controller"


def check(
    repository: Repository, catalog: Catalog, documents: Iterable[Document], limits: Mapping[str, dict[str, str]]
) -> Iterator[Finding]:
    """Judge each object by the policies of its own cluster, and say what cannot be judged.

    Args:
        repository: Where the policies are.
        catalog: Where findings stand.
        documents: The objects of any clusters.
        limits: Name of a cluster → what its policies are measured with.
    """
    read = read_policies(repository.root)
    findings = [*read.findings]
    compiled = compile_policies(read.policies, findings)
    yield from findings
    if not read.policies and not read.findings:
        message = "there are no policies: no cluster would refuse anything"
        yield Finding(Place("policies"), "policy/none", message, "take them from the project", Severity.WARNING)
    sources = {entry.file.name: entry.file for entry in _entries(catalog)}
    for cluster, objects in _by_cluster(documents).items():
        spec = catalog.clusters[cluster].value.spec
        judge = Judge(compiled, _parameters(limits[cluster]))
        user = service_account(spec.gitops.namespace, GITOPS_ACCOUNT)
        for document in objects:
            for refusal in judge.refusals(Admission(document.body, user=user)):
                where = _place(document, sources.get(document.source.file), refusal.policy, cluster)
                yield _finding(document, where, refusal.policy, refusal.message, WEIGHTS[spec.policies])


def _parameters(limits: dict[str, str]) -> Body:
    """The ConfigMap that is rendered from the limits."""
    namespace, name = PARAMETERS
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": limits}


def _entries(catalog: Catalog) -> Iterator[Entry[Any]]:
    for entries in (catalog.clusters, catalog.models, catalog.tunings, catalog.rag_engines):
        yield from entries.values()


def _by_cluster(documents: Iterable[Document]) -> dict[str, list[Document]]:
    found: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        found[document.path.split("/")[1]].append(document)
    return found


def _finding(document: Document, where: Place, policy: Policy, message: str, severity: Severity) -> Finding:
    kind, name = document.body["kind"], document.identity[3]
    said = f"{kind} `{name}`: {message}"
    return Finding(where, f"policy/{policy.name}", said, f"`{policy.file}` says why", severity)


def _place(document: Document, source: SourceFile | None, policy: Policy, cluster: str) -> Place:
    """The line of the entry that the policy is about: the first of its fields that is written, or what is above it."""
    if source is None or document.source.line:
        return document.source
    namespace = document.identity[2]
    paths = [_path(field, cluster=cluster, namespace=namespace) for field in policy.catalog_fields]
    written = [path for path in paths if path in source.places]
    above = [path[:-1] for path in paths if path[:-1] in source.places]
    return source.place(next(iter([*written, *above]), ("spec",)))


def _path(field: str, *, cluster: str, namespace: str) -> Path:
    """`spec.clusters.{cluster}.sku` as a path; names have no dots."""
    return tuple(field.format(cluster=cluster, namespace=namespace).split("."))
