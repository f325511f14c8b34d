"""Is the committed tree what the catalog renders?"""

from collections.abc import Iterator

from generator import tree
from generator.checks.subject import Subject
from generator.finding import Finding


def check(subject: Subject) -> Iterator[Finding]:
    rendering = subject.compiled.rendering
    rendered = rendering.tree if rendering else {}
    changes = tree.plan(subject.repository.root, rendered, sorted(subject.compiled.catalog.clusters))
    yield from tree.findings(changes)
