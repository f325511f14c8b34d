"""The kinds ValidatingAdmissionPolicy and its binding, as far as the API knows them; an unknown field is refused.

What the API knows and we cannot judge has a field too: a policy that uses one is said not to be evaluated here.
"""

from typing import Any, Literal

from pydantic import Field, field_validator

from generator.model.base import Strict

RESERVED = frozenset(
    {
        *("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop"),
        *("namespace", "null", "package", "return", "true", "var", "void", "while"),
    }
)
"""Words of CEL's own, of now or of later."""


class Rule(Strict):
    api_groups: tuple[str, ...]
    api_versions: tuple[str, ...]
    operations: tuple[str, ...]
    resources: tuple[str, ...]
    scope: Literal["*", "Cluster", "Namespaced"] = "*"
    resource_names: tuple[str, ...] = ()


class Match(Strict):
    resource_rules: tuple[Rule, ...] = ()
    exclude_resource_rules: tuple[Rule, ...] = ()
    namespace_selector: dict[str, Any] = Field(default_factory=dict)
    object_selector: dict[str, Any] = Field(default_factory=dict)
    match_policy: Literal["Exact", "Equivalent"] = "Equivalent"


class Named(Strict):
    """A match condition, or below a variable."""

    name: str
    expression: str


class Variable(Named):
    @field_validator("name")
    @classmethod
    def _is_identifier(cls, name: str) -> str:
        if not name.isidentifier() or not name.isascii() or name in RESERVED:
            raise ValueError(f"`{name}` is no name that CEL can refer to: letters, digits and `_`, no word of its own")
        return name


class Validation(Strict):
    expression: str
    message: str = ""
    message_expression: str = ""
    reason: str = ""


class Kind(Strict):
    api_version: str
    kind: str


class PolicySpec(Strict):
    match_constraints: Match
    validations: tuple[Validation, ...] = Field(min_length=1)
    failure_policy: Literal["Fail", "Ignore"] = "Fail"
    param_kind: Kind | None = None
    match_conditions: tuple[Named, ...] = ()
    variables: tuple[Variable, ...] = ()
    audit_annotations: tuple[dict[str, str], ...] = ()


class Meta(Strict):
    name: str
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class PolicyObject(Strict):
    api_version: Literal["admissionregistration.k8s.io/v1"]
    kind: Literal["ValidatingAdmissionPolicy"]
    metadata: Meta
    spec: PolicySpec


class Reference(Strict):
    name: str = ""
    namespace: str = ""
    selector: dict[str, Any] | None = None
    parameter_not_found_action: Literal["Allow", "Deny"]


class BindingSpec(Strict):
    policy_name: str
    validation_actions: tuple[Literal["Deny", "Warn", "Audit"], ...] = Field(min_length=1)
    param_ref: Reference | None = None
    match_resources: Match | None = None


class BindingObject(Strict):
    api_version: Literal["admissionregistration.k8s.io/v1"]
    kind: Literal["ValidatingAdmissionPolicyBinding"]
    metadata: Meta
    spec: BindingSpec
