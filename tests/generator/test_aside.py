"""A check in a process of its own: the same findings, the same errors, and nothing of the parent's done twice."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from generator.checks import CHECKS, LARGE, run_checks
from generator.checks.aside import aside, can_be_aside
from generator.compile import Compiled, compile_catalog
from generator.finding import CannotRunError, Finding, Place
from generator.repository import Repository

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not can_be_aside(), reason="this machine has one core, or no fork")


def test_its_findings_come_back() -> None:
    wanted = [Finding(Place("a.yaml", 3, 1), "policy/a", "wrong", "right"), Finding(Place("b.yaml"), "policy/b", "ü")]
    assert aside(lambda: iter(wanted))() == wanted


def test_it_runs_elsewhere_and_at_once() -> None:
    def check() -> Iterator[Finding]:
        yield Finding(Place(str(os.getpid())), "policy/a", "here")

    first, second = aside(check), aside(check)
    places = {found.where.file for waiting in (first, second) for found in waiting()}
    assert len(places - {str(os.getpid())}) == 2


def test_what_cannot_run_is_said_as_ever() -> None:
    def check() -> list[Finding]:
        raise CannotRunError("no policies", "add some")

    with pytest.raises(CannotRunError, match="no policies") as stop:
        aside(check)()
    assert stop.value.hint == "add some"


def test_a_fault_is_seen_and_never_taken_for_a_pass(capfd: pytest.CaptureFixture[str]) -> None:
    def check() -> list[Finding]:
        raise ZeroDivisionError("a fault of ours")

    with pytest.raises(ChildProcessError):
        aside(check)()
    assert "a fault of ours" in capfd.readouterr().err


def test_a_large_fleet_is_judged_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository(ROOT)
    compiled: Compiled = compile_catalog(repository)
    wanted = set(CHECKS) - {"build", "drift"}
    alone = run_checks(repository, compiled, wanted)
    assert alone.objects < LARGE
    monkeypatch.setattr("generator.checks.LARGE", 10)
    beside = run_checks(repository, compiled, wanted)
    assert (beside.findings, beside.ran) == (alone.findings, alone.ran)
    assert [finding for finding in beside.findings if finding.rule.startswith("policy/")]
