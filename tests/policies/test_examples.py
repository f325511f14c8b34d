"""Does each policy let its accepted examples in, and refuse the refused ones, it and no other?"""

import pytest

from generator.policy import Judge, compile_policies, read_policies
from generator.policy import judge as judge_module
from generator.policy.compiler import CompiledPolicy
from tests.policies.examples import ROOT, Example, parameters, read_examples

EXAMPLES = list(read_examples())


@pytest.fixture(scope="module")
def policies() -> list[CompiledPolicy]:
    read = read_policies(ROOT)
    findings = [*read.findings]
    compiled = compile_policies(read.policies, findings)
    assert findings == []
    return compiled


@pytest.fixture(scope="module")
def judge(policies: list[CompiledPolicy]) -> Judge:
    return Judge(policies, parameters())


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_is_judged_as_its_name_says(judge: Judge, example: Example) -> None:
    found = {refusal.policy.name: refusal.message for refusal in judge.refusals(example.admission)}
    assert found.keys() == example.expected, found
    assert not any("cannot be judged" in message for message in found.values()), found


def test_each_policy_has_examples_of_both_kinds(policies: list[CompiledPolicy]) -> None:
    wanted = {(each.policy.name, accepted) for each in policies for accepted in (True, False)}
    assert {(each.policy, each.is_accepted) for each in EXAMPLES} == wanted


def test_each_demand_is_broken_by_an_example(policies: list[CompiledPolicy], judge: Judge) -> None:
    """A demand that no example breaks could be deleted without a test that fails."""
    broken = {(each.policy.name, each.demand) for example in EXAMPLES for each in judge.refusals(example.admission)}
    wanted = {(each.policy.name, index) for each in policies for index in range(len(each.demands))}
    assert broken == wanted


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each.is_accepted], ids=str)
def test_an_accepted_object_is_looked_at_once(judge: Judge, example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    """What breaks nothing, nearly everything, must not be judged policy by policy: that is several times as slow."""
    monkeypatch.setattr(judge_module, "_judged", lambda *_: pytest.fail("looked at twice"))
    assert judge.refusals(example.admission) == []
