"""Does `validate` say at the catalog's line what does not fit, and is it silent where all is well?"""

import shutil
import time
from pathlib import Path

import pytest

from generator.checks import fit
from generator.checks.subject import Subject
from generator.compile import Compiled, compile_catalog
from generator.finding import Finding, Severity
from generator.repository import Repository
from tests.bench.fleet import write_fleet

ROOT = Path(__file__).parents[2]
PHI_4 = "catalog/models/phi-4.yaml"


def found(repository: Repository) -> list[Finding]:
    compiled = compile_catalog(repository)
    assert compiled.rendering is not None, compiled.findings
    return list(fit.check(Subject(repository, compiled, compiled.rendering.documents)))


def edit(repository: Repository, file: str, old: str, new: str) -> None:
    path = repository.root / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def of(findings: list[Finding], file: str) -> list[Finding]:
    return [finding for finding in findings if finding.where.file == file]


def test_the_committed_fleet_fits(fleet: Compiled) -> None:
    assert fleet.rendering is not None
    findings = list(fit.check(Subject(Repository(ROOT), fleet, fleet.rendering.documents)))
    assert [finding for finding in findings if finding.severity is Severity.ERROR] == []


def test_a_context_that_does_not_fit_is_an_error_at_its_line(workshop: Repository) -> None:
    """KAITO would place it: by its count 7.15 GiB of weights and 9.8 of cache leave enough of 24."""
    file = "catalog/models/phi-4-mini.yaml"
    edit(workshop, file, "context: 8192}", "context: 80000}")
    (error,) = of(found(workshop), file)
    assert (error.rule, error.severity) == ("fit/memory", Severity.ERROR)
    assert error.where.line == 23
    assert error.message.startswith("does not fit on `Standard_NV36ads_A10_v5`: on one node a GPU lacks ")
    assert error.hint.startswith("at most 7")
    assert error.hint.endswith("or `Standard_NC24ads_A100_v4` holds it")


def test_an_entry_s_own_shape_counts(workshop: Repository) -> None:
    """A cache in 10 of 40 layers takes a quarter: what phi-4 cannot do here, such a model can."""
    edit(workshop, PHI_4, "context: 16384\n    maxConcurrency: 64", "context: 16384\n    maxConcurrency: 32")
    assert [finding.rule for finding in of(found(workshop), PHI_4)] == ["fit/concurrency"]
    shape = (
        "  architecture:\n    weightsGiB: 27.31\n    layers: 40\n    attentionHeads: 40\n    kvHeads: 10\n"
        "    headDim: 128\n    tokenLimit: 16384\n    cache:\n      - {kind: full, layers: 10}\n"
        "      - {kind: sliding, layers: 30, window: 512}\n"
    )
    edit(workshop, PHI_4, "  serving:\n", shape + "  serving:\n")
    assert of(found(workshop), PHI_4) == []


def test_little_headroom_is_a_warning(workshop: Repository) -> None:
    file = "catalog/models/phi-4-mini.yaml"
    edit(workshop, file, "context: 8192}", "context: 75000}")
    (warning,) = of(found(workshop), file)
    assert (warning.rule, warning.severity) == ("fit/headroom", Severity.WARNING)


def test_nodes_that_kaito_plans_in_vain_are_a_warning(workshop: Repository) -> None:
    """Qwen2.5-Coder-32B on single A100s: KAITO's divisor makes it two, and one would do."""
    file = "catalog/models/qwen2-5-coder-32b.yaml"
    edit(workshop, file, "context: 32768", "context: 2048")
    edit(workshop, file, "Standard_NC48ads_A100_v4", "Standard_NC24ads_A100_v4")
    (warning,) = of(found(workshop), file)
    assert (warning.rule, warning.severity) == ("fit/nodes", Severity.WARNING)
    assert warning.message == "KAITO plans 2 nodes of `Standard_NC24ads_A100_v4`, where 1 would do"


def test_an_unknown_architecture_is_a_note(workshop: Repository) -> None:
    edit(workshop, PHI_4, "name: phi-4\n      #", "name: ibm-granite/granite-4.1-8b\n      #")
    (note,) = of(found(workshop), PHI_4)
    assert (note.rule, note.severity) == ("fit/unknown", Severity.NOTE)
    assert note.message == (
        "cannot tell whether it fits: the facts do not hold the layers of `ibm-granite/granite-4.1-8b`"
    )


def test_a_pod_on_a_cpu_that_is_too_small(workshop: Repository) -> None:
    file = "catalog/models/bloomz-560m.yaml"
    edit(workshop, file, 'limits: {cpu: "4", memory: 16Gi}', 'limits: {cpu: "4", memory: 2Gi}')
    edit(workshop, file, 'requests: {cpu: "2", memory: 8Gi}', 'requests: {cpu: "2", memory: 2Gi}')
    findings = of(found(workshop), file)
    assert {finding.rule for finding in findings} == {"fit/memory"}
    assert len(findings) == 2, "once for each cluster's line"
    assert "the pod lacks " in findings[0].message


def test_a_tuning_run_that_does_not_fit(workshop: Repository) -> None:
    file = "catalog/tuning/phi-3-dolly-tuning.yaml"
    edit(workshop, file, "per_device_train_batch_size: 1", "per_device_train_batch_size: 32")
    (error,) = of(found(workshop), file)
    assert (error.rule, error.severity) == ("fit/memory", Severity.ERROR)
    assert "activations of 32 x 1,024 tokens" in error.message


def test_suspended_models_are_not_judged(workshop: Repository) -> None:
    edit(workshop, PHI_4, "  clusters:\n", "  suspended: true\n  clusters:\n")
    assert of(found(workshop), PHI_4) == []


@pytest.mark.slow
def test_a_fleet_is_judged_in_a_tenth_of_a_second(tmp_path: Path) -> None:
    """200 models on two clusters, the best of five runs."""
    repository = write_fleet(tmp_path, 200)
    compiled = compile_catalog(repository)
    assert compiled.rendering is not None
    subject = Subject(repository, compiled, compiled.rendering.documents)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        list(fit.check(subject))
        times.append(time.perf_counter() - started)
    assert min(times) < 0.1


def test_nodes_of_one_s_own_without_a_size(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests" / "generator" / "cases" / "byo" / "catalog", tmp_path / "catalog")
    (tmp_path / "catalog" / "facts").symlink_to(ROOT / "catalog" / "facts")
    (note,) = found(Repository(tmp_path))
    assert (note.rule, note.severity) == ("fit/unknown", Severity.NOTE)
    assert note.message.endswith("runs it on nodes of your own, whose size is not written")
