"""Is an object judged by each policy as if the policy were alone, and by the request as it is?"""

from pathlib import Path

import pytest
import yaml

from generator.policy import Admission, Judge, compile_policies, read_policies

PARAMETERS = {"data": {"allowed": 'a "quoted" \\ text\nover lines'}}


def policy(name: str, variable: str, demand: str, **match: object) -> str:
    """A policy over ConfigMaps with one variable called `value`."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"], **match}
    spec = {
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": {"resourceRules": [rule]},
        "variables": [{"name": "value", "expression": variable}],
        "validations": [{"expression": demand, "message": name}],
    }
    reference = {"name": "kaitops-policies", "namespace": "kaitops-policies", "parameterNotFoundAction": "Deny"}
    bound = {"policyName": f"{name}.kaitops.dev", "validationActions": ["Deny"], "paramRef": reference}
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": f"{name}.kaitops.dev"}}
    kinds = (("ValidatingAdmissionPolicy", spec), ("ValidatingAdmissionPolicyBinding", bound))
    return yaml.safe_dump_all([{**head, "kind": kind, "spec": body} for kind, body in kinds])


def refused(folder: Path, policies: dict[str, str], admission: Admission) -> list[str]:
    (folder / "policies").mkdir()
    for name, text in policies.items():
        (folder / "policies" / f"{name}.yaml").write_text(text, "utf-8")
    read = read_policies(folder)
    findings = [*read.findings]
    compiled = compile_policies(read.policies, findings)
    assert findings == []
    return [refusal.message for refusal in Judge(compiled, PARAMETERS).refusals(admission)]


def config_map(**more: object) -> Admission:
    return Admission({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "chat"}, **more})


def test_variables_of_one_name_are_each_policys_own(tmp_path: Path) -> None:
    policies = {
        "first": policy("first", "object.metadata.name", "variables.value == 'chat'"),
        "second": policy("second", "object.metadata.namespace", "variables.value == 'chat'"),
        "third": policy("third", "object.metadata.namespace", "variables.value == 'chat'"),
    }
    assert refused(tmp_path, policies, config_map()) == ["first"]


def test_parameters_are_what_they_are_whatever_they_hold(tmp_path: Path) -> None:
    demand = r"""variables.value == 'a "quoted" \\ text\nover lines'"""
    assert refused(tmp_path, {"only": policy("only", "params.data.allowed", demand)}, config_map()) == []


@pytest.mark.parametrize(
    "demand",
    [
        "request.operation == 'CREATE' && request.kind.kind == 'ConfigMap'",
        "request.resource.resource == 'configmaps'",
        "request.namespace == 'chat' && request.name == 'a' && request['dryRun'] == false",
        "'system:authenticated' in request.userInfo.groups && request.userInfo.username == 'somebody'",
        "oldObject == null",
    ],
)
def test_the_request_is_known(tmp_path: Path, demand: str) -> None:
    assert refused(tmp_path, {"only": policy("only", "1", demand)}, config_map()) == []


@pytest.mark.parametrize(
    ("match", "is_matched"),
    [
        ({}, True),
        ({"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}, True),
        ({"apiGroups": ["apps"]}, False),
        ({"apiVersions": ["v1beta1"]}, False),
        ({"operations": ["UPDATE"]}, False),
        ({"resources": ["configmaps/status", "pods/*", "secrets"]}, False),
    ],
)
def test_only_what_the_rules_name_is_judged(tmp_path: Path, match: dict[str, object], is_matched: bool) -> None:
    found = refused(tmp_path, {"only": policy("only", "1", "variables.value == 2", **match)}, config_map())
    assert found == (["only"] if is_matched else [])


def test_an_error_counts_as_refused_even_beside_a_demand_that_holds(tmp_path: Path) -> None:
    """CEL's `||` swallows an error beside a truth; a demand of its own is not beside anything."""
    policies = {
        "fails": policy("fails", "1", "object.data.missing == 'a'"),
        "holds": policy("holds", "1", "true"),
    }
    (message,) = refused(tmp_path, policies, config_map())
    assert message.startswith("cannot be judged, and is refused therefore: ")


def test_more_policies_than_one_expression_carries_are_judged_all_the_same(tmp_path: Path) -> None:
    names = [f"policy-{number}" for number in range(40)]
    chain = "".join(f"[{number}].exists(x{number}, " for number in range(28)) + "object.metadata.name == 'b'" + ")" * 28
    policies = {name: policy(name, "1", "object.metadata.name == 'a'") for name in names}
    policies["deep"] = policy("deep", "object.metadata.name", chain)
    assert refused(tmp_path, policies, config_map()) == ["deep"]
