"""Is what a cluster's entries take counted whole, and said where it is more than there is?"""

from datetime import date
from pathlib import Path

import pytest

from generator.budget import usage
from generator.checks import budget
from generator.checks.subject import Subject
from generator.compile import Compiled, compile_catalog
from generator.finding import Finding, Severity
from generator.repository import Repository

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 7, 1)
DEV = "catalog/clusters/dev.yaml"
PROD = "catalog/clusters/prod.yaml"


def found(repository: Repository, today: date = TODAY) -> list[Finding]:
    compiled = compile_catalog(repository)
    assert compiled.rendering is not None, compiled.findings
    return list(budget.check(Subject(repository, compiled, compiled.rendering.documents), today))


def edit(repository: Repository, file: str, old: str, new: str) -> None:
    path = repository.root / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def loud(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is not Severity.NOTE]


def test_the_committed_fleet_is_within_its_budget(fleet: Compiled) -> None:
    assert fleet.rendering is not None
    assert loud(list(budget.check(Subject(Repository(ROOT), fleet, fleet.rendering.documents), TODAY))) == []


def test_the_whole_of_prod_by_hand(fleet: Compiled) -> None:
    """Llama 1 to 3, mistral 1 (Recreate), phi-4 two, phi-4-mini 1, the coder two on one node, bloomz on a CPU."""
    cluster = fleet.catalog.clusters["prod"].value.spec
    resolution = fleet.resolution
    here = [placement for placement in resolution.models if placement.cluster == "prod"]
    engines = [placement for placement in resolution.rag_engines if placement.cluster == "prod"]
    models = {name: entry.value.spec for name, entry in fleet.catalog.models.items()}
    taken = usage(cluster, [*here, *engines], models, fleet.facts.skus)
    gpus = taken.gpus("A100")
    rag = sum(share.gpus_per_node for share in taken.shares if share.name in {one.name for one in engines})
    assert gpus.at_rest == 1 + 1 + 2 + 1 + 2 + rag
    assert gpus.at_full_scale == gpus.at_rest + 2, "llama may grow by two"
    assert gpus.surge == 2
    assert gpus.surging in {"phi-4", "qwen2-5-coder-32b"}
    assert taken.unpriced() == {"Standard_D16s_v5": 1}
    assert taken.usd_per_hour().at_rest == pytest.approx(3.673 * gpus.at_rest)
    assert taken.node_pools().at_rest == len(here) + len(engines) + 1, "phi-4 has two"


def test_more_gpus_than_the_quota_is_an_error_at_its_line(workshop: Repository) -> None:
    edit(workshop, DEV, "gpus: {A10: 6, A100: 24}", "gpus: {A10: 4, A100: 24}")
    (error,) = loud(found(workshop))
    assert (error.rule, error.severity, error.where.file) == ("budget/gpus", Severity.ERROR, DEV)
    line = (workshop.root / DEV).read_text("utf-8").splitlines()[error.where.line - 1]
    assert "A10: 4" in line
    assert error.message == "entries take 5 A10 GPUs, and the cluster has 4"
    assert "`bloomz-8bit` 1" in error.hint


def test_a_quota_that_just_suffices_leaves_no_room_to_replace(workshop: Repository) -> None:
    edit(workshop, DEV, "gpus: {A10: 6, A100: 24}", "gpus: {A10: 5, A100: 24}")
    (warning,) = loud(found(workshop))
    assert warning.severity is Severity.WARNING
    assert warning.message.endswith("entries take 6 A10 GPUs of 5: a blue-green edit of it would hang")


def test_recreate_needs_no_room(workshop: Repository) -> None:
    """With one A100 for a model that frees its GPU first, nothing else on it, an edit never needs a second."""
    for path in (workshop.root / "catalog" / "models").glob("*.yaml"):
        if path.stem != "mistral-7b-own-nodes":
            path.unlink()
    for folder in ("rag", "tuning"):
        for path in (workshop.root / "catalog" / folder).glob("*.yaml"):
            path.unlink()
    edit(workshop, DEV, "gpus: {A10: 6, A100: 24}", "gpus: {A100: 1}")
    edit(workshop, PROD, "gpus: {A100: 32}", "gpus: {A100: 1}")
    assert loud(found(workshop)) == []
    edit(workshop, "catalog/models/mistral-7b-own-nodes.yaml", "rollout: Recreate", "rollout: BlueGreen")
    assert [finding.rule for finding in loud(found(workshop))] == ["budget/gpus", "budget/gpus"]


def test_autoscaling_beyond_the_quota_is_a_warning(workshop: Repository) -> None:
    edit(workshop, "catalog/models/llama-3-1-8b.yaml", "max: 3", "max: 90")
    findings = loud(found(workshop))
    assert {finding.severity for finding in findings} == {Severity.WARNING}
    rules = {finding.rule for finding in findings}
    assert rules == {"budget/gpus", "budget/namespace", "budget/node-pools", "budget/usd"}
    assert all("at full scale" in finding.message for finding in findings)


def test_money_pools_and_namespaces(workshop: Repository) -> None:
    edit(workshop, PROD, "usdPerHour: 150", "usdPerHour: 10")
    edit(workshop, PROD, "nodePools: 60", "nodePools: 3")
    edit(workshop, PROD, "quota: {gpus: 16}", "quota: {gpus: 2}")
    errors = [finding for finding in found(workshop) if finding.severity is Severity.ERROR]
    assert [finding.rule for finding in errors] == ["budget/namespace", "budget/node-pools", "budget/usd"]
    assert errors[2].hint == "list prices of 2026-06-18, without reservations or spot"


def test_a_family_without_a_quota_is_named(workshop: Repository) -> None:
    edit(workshop, DEV, "gpus: {A10: 6, A100: 24}", "gpus: {A100: 24}")
    (warning,) = loud(found(workshop))
    assert warning.rule == "budget/no-quota"
    assert warning.message == "entries take 5 A10 GPUs, and `quota.gpus` names no A10"


def test_prices_that_are_missing_or_old_are_said(workshop: Repository) -> None:
    rules = [finding.rule for finding in found(workshop)]
    assert rules == ["budget/unpriced", "budget/unpriced"]
    late = found(workshop, date(2026, 12, 18))
    (old, _) = [finding for finding in late if finding.rule == "budget/old-prices"]
    assert old.message == "the prices are of 2026-06-18, 183 days ago"
    edit(workshop, DEV, "region: eastus", "region: westeurope")
    unpriced = [finding.message for finding in found(workshop) if finding.where.file == DEV]
    assert any("`Standard_NC24ads_A100_v4` are not in the sum" in message for message in unpriced)


def test_karpenter_makes_no_pool_of_each_node(workshop: Repository) -> None:
    ours = "    clientId: 00000000-0000-0000-0000-000000000000\n"
    edit(workshop, PROD, "provisioner: kaitops", "provisioner: karpenter")
    edit(workshop, PROD, "  reconciler:\n", "")
    edit(workshop, PROD, ours, "")
    edit(workshop, PROD, "nodePools: 60", "nodePools: 1")
    assert loud(found(workshop)) == []
