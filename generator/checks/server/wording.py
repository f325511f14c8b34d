"""What the answers of a cluster mean to the person who asked, as findings."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from generator.checks.server.definitions import Difference
from generator.checks.server.dry_run import STAND_IN, Result, Verdict
from generator.checks.server.served import Kind, kind_of
from generator.document import Document
from generator.finding import Finding, Place, Severity

Differences = dict[Kind, list[Difference]]

RIGHTS = "a dry run needs the rights `patch` and `create` on what it tries, though it changes nothing"
NAMED = 3
"""Differences that are spelled out where no object meets them."""


def version(context: str, where: Place, live: str, said: str) -> Finding:
    message = f"cluster `{context}` runs Kubernetes {live}, and the catalog says {said}"
    return Finding(where, "server/version", message, "put the cluster's own minor here", Severity.WARNING)


def missing_kind(context: str, kind: Kind, documents: Sequence[Document], served: Sequence[str]) -> Finding:
    count = _objects(len(documents))
    message = f"cluster `{context}` does not serve `{kind[1]}` of `{kind[0]}`: {count} of that kind cannot be applied"
    others = ", ".join(f"`{each}`" for each in served)
    hint = f"it serves that kind as {others}" if served else "install what brings that kind first"
    return Finding(documents[0].source, "server/missing-kind", message, hint)


def absent_namespaces(context: str, where: Place, verdicts: Sequence[Verdict]) -> Iterator[Finding]:
    """Namespaces for which another stood in; one that nothing here makes will be missing at the sync too."""
    bodies = [each.document.body for each in verdicts]
    made = {body["metadata"]["name"] for body in bodies if body["kind"] == "Namespace"}
    tried = Counter(each.absent for each in verdicts if each.absent and each.result is not Result.FORBIDDEN)
    for namespace, count in sorted(tried.items()):
        message = (
            f"cluster `{context}` has no namespace `{namespace}`: {_objects(count)} of it tried in `{STAND_IN}`, where "
            f"other quotas, policies and rights hold"
        )
        if namespace in made:
            yield Finding(where, "server/namespace", message, "", Severity.NOTE)
        else:
            hint = "nothing here makes that namespace: install what brings it first"
            yield Finding(where, "server/namespace", message, hint, Severity.WARNING)


def lacking_rights(context: str, where: Place, verdicts: Iterable[Verdict]) -> Iterator[Finding]:
    """What this user may not try, each right once."""
    counts = Counter(verdict.message for verdict in verdicts if verdict.result is Result.FORBIDDEN)
    for message, count in sorted(counts.items()):
        text = f"{message} on cluster `{context}`: {_objects(count)} not tried"
        yield Finding(where, "server/forbidden", text, RIGHTS, Severity.WARNING)


def verdict(context: str, verdict: Verdict, found: Differences) -> Iterator[Finding]:
    """What is to be said of one object."""
    document = verdict.document
    start = f"{document.path}: cluster `{context}`"
    met = [each.message for each in found.get(kind_of(document), ()) if each.is_met_by(document.body)]
    if verdict.result is Result.REFUSED:
        hint = f"its `{document.body['kind']}` is not the one that we know: it {', '.join(met)}" if met else ""
        yield Finding(document.source, "server/refused", f"{start} refuses it: {verdict.message}", hint)
    elif verdict.result is not Result.ACCEPTED and met:
        yield Finding(
            document.source,
            "server/definition",
            f"{start} would refuse it: its `{document.body['kind']}` {', '.join(met)}",
        )
    if verdict.result is Result.WAITS:
        message = f"{start} cannot judge it before that other object is there: {verdict.message}"
        yield Finding(document.source, "server/waits", message, "", Severity.NOTE)
    for warning in verdict.warnings:
        message = f"{start} warns: {' '.join(warning.split())}"
        yield Finding(document.source, "server/warning", message, "", Severity.WARNING)


def unmet_differences(
    context: str, where: Place, documents: Iterable[Document], found: Differences
) -> Iterator[Finding]:
    """Differences that no object meets yet."""
    bodies: dict[Kind, list[object]] = {}
    for document in documents:
        bodies.setdefault(kind_of(document), []).append(document.body)
    for kind, known in found.items():
        unmet = [each.message for each in known if not any(map(each.is_met_by, bodies[kind]))]
        if unmet:
            more = f" and {len(unmet) - NAMED} more" if len(unmet) > NAMED else ""
            start = f"`{kind[1]}` of `{kind[0]}` on cluster `{context}` is not the one that we know"
            message = f"{start}: it {', '.join(unmet[:NAMED])}{more}"
            hint = "nothing rendered meets that yet; an edit of the catalog could"
            yield Finding(where, "server/definition", message, hint, Severity.NOTE)


def _objects(count: int) -> str:
    return f"{count} object{'' if count == 1 else 's'}"
