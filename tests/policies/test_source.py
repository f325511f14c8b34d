"""Is a mistake in a policy said at its file, line and column, and what we cannot judge said instead of passed?"""

import re
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent

import pytest

from generator.finding import Finding, Severity
from generator.policy import NOT_EVALUATED, compile_policies, read_policies

FILE = """\
# Why.
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: case.kaitops.dev
spec:
  paramKind: {apiVersion: v1, kind: ConfigMap}
  matchConstraints:
    resourceRules:
      - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps], scope: "*"}
  matchConditions:
    - name: always
      expression: "true"
  variables:
    - name: data
      expression: object.?data.orValue({})
  validations:
    - expression: |-
        variables.data.all(each,
          each != 'a')
      message: no a
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: case.kaitops.dev
spec:
  policyName: case.kaitops.dev
  validationActions: [Deny]
  paramRef: {name: kaitops-policies, namespace: kaitops-policies, parameterNotFoundAction: Deny}
"""

Found = Callable[[str, str], list[Finding]]


@pytest.fixture
def found(tmp_path: Path) -> Found:
    """What is said about the file after one text in it is replaced."""

    def look(old: str, new: str) -> list[Finding]:
        assert FILE.count(old) == 1 or not old
        (tmp_path / "policies").mkdir(exist_ok=True)
        (tmp_path / "policies" / "case.yaml").write_text(FILE.replace(old, new) if old else FILE, "utf-8")
        read = read_policies(tmp_path)
        findings = [*read.findings]
        compile_policies(read.policies, findings)
        return findings

    return look


def test_a_good_file_has_no_findings(found: Found) -> None:
    assert found("", "") == []


WRONG = "policy/cel: the expression is wrong: "
HEAD = "metadata:\n  name: case.kaitops.dev\nspec:\n  paramKind"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("each != 'a')", "each !== 'a')", f"20:18 {WRONG}Syntax error: "),
        ("each != 'a')", "eahc != 'a')", f"20:11 {WRONG}undeclared reference to 'eahc'"),
        ("each != 'a')", "each != 'a' + 1)", f"20:23 {WRONG}found no matching overload"),
        ("variables.data.all", "variables.dta.all", f"19:9 {WRONG}undeclared reference to 'variables.dta'"),
        ("object.?data.orValue({})", "objct.data", f"16:24 {WRONG}undeclared reference to 'objct.data'"),
        ("object.?data.orValue({})", '"object.data[1 + 1 + true]"', f"16:38 {WRONG}found no matching overload"),
        ("object.?data.orValue({})", ">-\n        object.data[true + 1]", f"16:7 {WRONG}found no matching overload"),
        ('expression: "true"', "expression: object.data.flag", f"13:19 {WRONG}must be of the type bool, not dyn"),
        ('"true"', "variables.data.size() == 0", f"13:28 {WRONG}undeclared reference to 'variables.data'"),
        ("message: no a", "messageExpression: 1 + 1", f"21:26 {WRONG}must be of the type string, not int"),
        ("- name: data", "- name: namespace", "15:7 policy/shape: `namespace` is no name that CEL can refer to"),
        ("      message: no a", "      mesage: no a", "21:7 policy/shape: unknown field `mesage`"),
        ("  validationActions: [Deny]\n", "", "27:1 policy/shape: `validationActions` is missing"),
        (
            HEAD,
            HEAD.replace("case.kaitops.dev", "other"),
            "5:3 policy/name: the policy is called `other`, but its file",
        ),
        ("  policyName: case", "  policyName: caes", "5:3 policy/unbound: no binding beside the policy names `case."),
        ("PolicyBinding", "Policy", "24:1 policy/file: a file holds one ValidatingAdmissionPolicy, this is another"),
        (HEAD, HEAD.replace("case.kaitops.dev", "case: x"), "5:13 yaml/syntax: "),
    ],
)
def test_a_mistake_has_its_place(found: Found, old: str, new: str, expected: str) -> None:
    place, rule, message = re.split(" |: ", expected, maxsplit=2)
    matching = [each for each in found(old, new) if each.rule == rule and each.message.startswith(message)]
    assert [str(each.where) for each in matching][:1] == [f"policies/case.yaml:{place}"]
    assert matching[0].severity is Severity.ERROR


@pytest.mark.parametrize(
    ("old", "new", "place", "what"),
    [
        ("each != 'a')", "url(each).getHost() != 'a')", "20:14", "`getHost` and `url`"),
        ("each != 'a')", "authorizer.path(each).check('get').allowed())", "20:11", "`authorizer`"),
        ("    resourceRules:", "    objectSelector: {a: {}}\n    resourceRules:", "9:5", "`objectSelector`"),
        ("{name: kaitops-policies,", "{name: others,", "6:1", "parameters other than those of the cluster's entry"),
        ('scope: "*"', "scope: Namespaced", "8:3", "`scope`"),
        ("  policyName:", "  matchResources: {}\n  policyName:", "6:1", "`matchResources` of its binding"),
    ],
)
def test_what_only_a_server_can_judge_is_said(found: Found, old: str, new: str, place: str, what: str) -> None:
    (finding,) = found(old, new)
    assert (str(finding.where), finding.rule) == (f"policies/case.yaml:{place}", NOT_EVALUATED)
    assert finding.message.startswith(f"`case` is not evaluated here, because it uses {what}")
    assert finding.severity is Severity.WARNING


def test_a_variable_that_is_wrong_is_blamed_alone(found: Found) -> None:
    findings = found("object.?data.orValue({})", "object.?data.orValu({})")
    assert [str(each.where) for each in findings] == ["policies/case.yaml:16:38"]


def test_names_in_texts_and_comments_are_no_variables(found: Found) -> None:
    text = """
        // variables.none is not meant
        'variables.none' != "variables.none" + r'variables.none\\d' || variables.data.size() == 0"""
    assert found("        variables.data.all(each,\n          each != 'a')", indent(dedent(text), "        ")[1:]) == []


def test_bytes_that_are_no_text_are_a_finding(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "case.yaml").write_bytes(b"kind: \xff\xfe\n")
    assert [each.rule for each in read_policies(tmp_path).findings] == ["yaml/encoding"]
