"""Is every behaviour that upstream's suites demand demanded here too, by a test that exists?"""

import ast
from pathlib import Path

import yaml

HERE = Path(__file__).parent
AT_LEAST = 110


def _behaviours() -> dict[str, str]:
    """Each with the test that demands it."""
    suites = yaml.safe_load((HERE / "conformance.yaml").read_text("utf-8"))
    return {f"{suite}: {behaviour}": test for suite, rows in suites.items() for behaviour, test in rows.items()}


def _tests() -> set[str]:
    found = set()
    for path in HERE.glob("test_*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        functions = [each.name for each in tree.body if isinstance(each, ast.FunctionDef)]
        found |= {f"{path.stem.removeprefix('test_')}.{name.removeprefix('test_')}" for name in functions}
    return found


def test_every_behaviour_has_its_test() -> None:
    tests = _tests()
    assert {behaviour: test for behaviour, test in _behaviours().items() if test not in tests} == {}


def test_there_are_enough_of_them() -> None:
    behaviours = _behaviours()
    assert len(behaviours) >= AT_LEAST, f"{len(behaviours)} behaviours in {len(set(behaviours.values()))} tests"
