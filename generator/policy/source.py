"""The files of `policies/` become typed policies, whose every expression knows its line and column.

A file holds one policy and its binding, and is named after the policy. What is wrong in it is found here or by the
compiler of its expressions; what the API server knows and we cannot judge is listed with the policy.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TypeVar

from pydantic import ValidationError

from generator.explain import explain
from generator.finding import Finding, Place
from generator.policy.shape import BindingObject, Match, Named, PolicyObject, Rule
from generator.source import Path, SourceFile, read_source

FOLDER = "policies"
SUFFIX = ".kaitops.dev"
"""Policies have no namespace: a domain keeps their names apart from those of others."""
POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
NOTE = "kaitops.dev/"
SEPARATOR = re.compile(r"^---[ \t]*$", re.MULTILINE)
Shape = TypeVar("Shape", PolicyObject, BindingObject)


@dataclass(frozen=True, slots=True)
class Expression:
    """One CEL expression, and where it stands."""

    text: str
    key: Place
    """Place of the field that holds it."""
    first: Place
    """Place of its first character; the same as `key` where its lines cannot be told apart."""
    indent: int = 0
    """Spaces before each further line."""

    def place(self, line: int, column: int) -> Place:
        """The place in the file of a position in the expression; both count from 1."""
        if self.first == self.key:
            return self.key
        if line == 1:
            return Place(self.first.file, self.first.line, self.first.column + column - 1)
        return Place(self.first.file, self.first.line + line - 1, self.indent + column)


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    expression: Expression


@dataclass(frozen=True, slots=True)
class Demand:
    """One validation: what must be true, and what is said where it is not."""

    expression: Expression
    message: str
    message_expression: Expression | None


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    """The file's name without its suffix."""
    file: str
    description: str
    catalog_fields: tuple[str, ...]
    """Paths in a catalog entry that the policy is about; `{cluster}` and `{namespace}` stand for names."""
    cluster_fields: tuple[str, ...]
    """Fields of the cluster's entry that set its parameters."""
    comment: str
    rules: tuple[Rule, ...]
    fails_closed: bool
    conditions: tuple[Variable, ...]
    variables: tuple[Variable, ...]
    demands: tuple[Demand, ...]
    unjudged: tuple[tuple[Place, str], ...]
    """What it uses that only an API server can judge."""


@dataclass(slots=True)
class Policies:
    policies: list[Policy] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def read_policies(root: FilePath) -> Policies:
    """Every policy below `root`/policies, and what is wrong with the files."""
    found = Policies()
    for path in sorted((root / FOLDER).glob("*.yaml")):
        name = f"{FOLDER}/{path.name}"
        documents = list(_documents(name, path.read_bytes(), found.findings))
        kinds = [document.data.get("kind") for document in documents]
        if POLICY in kinds or BINDING in kinds:
            _add(found, name, documents)
    return found


def _documents(name: str, raw: bytes, findings: list[Finding]) -> Iterator[SourceFile]:
    """Each document of a file, at the lines where it stands."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        findings += read_source(name, raw)[1]
        return
    start = 0
    for end in [*(match.start() for match in SEPARATOR.finditer(text)), len(text)]:
        chunk = text[start:end]
        if chunk.strip("- \n"):
            before = "\n" * text.count("\n", 0, start)
            document, found = read_source(name, (before + chunk.replace("---", "   ", 1 if start else 0)).encode())
            findings += found
            if isinstance(document.data, dict) and not found:
                yield document
        start = end


def _add(found: Policies, name: str, documents: list[SourceFile]) -> None:
    of_kind: dict[str, SourceFile] = {}
    for each in documents:
        kind = str(each.data.get("kind"))
        if of_kind.setdefault(kind, each) is not each:
            message = f"a file holds one {kind}, this is another"
            found.findings.append(Finding(each.place(("kind",)), "policy/file", message, "give it its own file"))
    binding = _typed(of_kind.get(BINDING), BindingObject, found.findings)
    policy, document = _typed(of_kind.get(POLICY), PolicyObject, found.findings), of_kind.get(POLICY)
    if policy and document:
        found.findings += _unbound(document, policy, binding)
        found.policies.append(_policy(name, document, policy, binding))


def _typed(document: SourceFile | None, shape: type[Shape], findings: list[Finding]) -> Shape | None:
    if document is None:
        return None
    try:
        return shape.model_validate(document.data)
    except ValidationError as error:
        for record in error.errors():
            location, message, hint = explain(dict(record), shape)
            path: Path = location[:-1] if record["type"] == "missing" else location
            findings.append(Finding(document.place(path), "policy/shape", message, hint))
        return None


def _unbound(document: SourceFile, policy: PolicyObject, binding: BindingObject | None) -> Iterator[Finding]:
    where, stem = document.place(("metadata", "name")), FilePath(document.name).stem
    if policy.metadata.name != stem + SUFFIX:
        message = f"the policy is called `{policy.metadata.name}`, but its file is `{stem}.yaml`"
        yield Finding(where, "policy/name", message, f"call it `{stem}{SUFFIX}`")
    if binding is None or binding.spec.policy_name != policy.metadata.name:
        message = f"no binding beside the policy names `{policy.metadata.name}`: no cluster would enforce it"
        yield Finding(where, "policy/unbound", message, f"add a {BINDING} to the file")


def _policy(name: str, document: SourceFile, policy: PolicyObject, binding: BindingObject | None) -> Policy:
    spec, notes = policy.spec, policy.metadata.annotations
    at = _Expressions(document)
    return Policy(
        name=FilePath(name).stem,
        file=name,
        description=notes.get(f"{NOTE}description", ""),
        catalog_fields=tuple(notes.get(f"{NOTE}catalog-fields", "").split()),
        cluster_fields=tuple(notes.get(f"{NOTE}cluster-fields", "").split()),
        comment=_comment(document.text),
        rules=spec.match_constraints.resource_rules,
        fails_closed=spec.failure_policy == "Fail",
        conditions=at.named("matchConditions", spec.match_conditions),
        variables=at.named("variables", spec.variables),
        demands=tuple(
            Demand(
                at.expression(("spec", "validations", index, "expression"), each.expression),
                each.message,
                at.expression(("spec", "validations", index, "messageExpression"), each.message_expression)
                if each.message_expression
                else None,
            )
            for index, each in enumerate(spec.validations)
        ),
        unjudged=(*_unjudged(document, spec.match_constraints), *_unjudged_binding(document, policy, binding)),
    )


def _comment(text: str) -> str:
    """The comment at the head of the file, as one line."""
    head = [
        line[1:].strip() for line in text.lstrip("\n").split("\napiVersion:")[0].split("\n") if line.startswith("#")
    ]
    return " ".join(head)


def _unjudged(document: SourceFile, match: Match) -> Iterator[tuple[Place, str]]:
    """Selections that need the cluster's namespaces, or that nobody has needed yet."""
    where = ("spec", "matchConstraints")
    for spelled, is_used in (
        ("excludeResourceRules", bool(match.exclude_resource_rules)),
        ("namespaceSelector", bool(match.namespace_selector)),
        ("objectSelector", bool(match.object_selector)),
        ("resourceNames", any(rule.resource_names for rule in match.resource_rules)),
        ("scope", any(rule.scope != "*" for rule in match.resource_rules)),
    ):
        if is_used:
            yield document.place((*where, spelled)), f"`{spelled}`"


def _unjudged_binding(
    document: SourceFile, policy: PolicyObject, binding: BindingObject | None
) -> Iterator[tuple[Place, str]]:
    if binding is None:
        return
    where = document.place(("spec",))
    if binding.spec.match_resources is not None:
        yield where, "`matchResources` of its binding"
    reference, kind = binding.spec.param_ref, policy.spec.param_kind
    if (reference is None) != (kind is None):
        yield where, "a `paramKind` without a `paramRef`, or the reverse"
    elif kind and (kind.api_version, kind.kind) != ("v1", "ConfigMap"):
        yield where, f"parameters of the kind `{kind.kind}`"
    elif reference and (reference.selector is not None or (reference.namespace, reference.name) != PARAMETERS):
        yield where, "parameters other than those of the cluster's entry"


PARAMETERS = ("kaitops-policies", "kaitops-policies")
"""Namespace and name of the ConfigMap that is rendered from the cluster's entry."""


class _Expressions:
    """Finds where the text of an expression begins, by how it is written."""

    def __init__(self, document: SourceFile) -> None:
        self.document = document
        self.lines = document.text.split("\n")

    def named(self, part: str, things: tuple[Named, ...]) -> tuple[Variable, ...]:
        return tuple(
            Variable(each.name, self.expression(("spec", part, index, "expression"), each.expression))
            for index, each in enumerate(things)
        )

    def expression(self, path: Path, text: str) -> Expression:
        key = self.document.place(path)
        line = self.lines[key.line - 1]
        after = line[key.column - 1 + len(str(path[-1])) :].lstrip(": ")
        if after.startswith("|"):
            indent = len(self.lines[key.line]) - len(self.lines[key.line].lstrip())
            return Expression(text, key, Place(key.file, key.line + 1, indent + 1), indent)
        if after.startswith(">") or "\n" in text or text not in line:
            return Expression(text, key, key)
        return Expression(text, key, Place(key.file, key.line, line.index(text) + 1))
