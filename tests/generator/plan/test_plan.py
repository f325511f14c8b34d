"""Plans of real edits to the committed fleet: what happens, which line causes it, what people notice, what it takes."""

from collections.abc import Callable

import pytest

from generator.finding import CannotRunError, Finding
from generator.plan import Plan
from generator.plan.change import Amount, UnitChange, Verb
from generator.plan.make import BrokenHeadError
from generator.plan.words import capacity, notice

from .conftest import Project

PHI = "catalog/models/phi-4.yaml"
MINI = "catalog/models/phi-4-mini.yaml"
Find = Callable[[Plan, str, str], UnitChange]


def amount(plan: Plan, cluster: str, what: str) -> Amount:
    return next(row for one in plan.clusters if one.name == cluster for row in one.amounts if row.what == what)


def rules(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.rule for finding in findings}


def line_of(project: Project, file: str, text: str) -> int:
    lines = (project.root / file).read_text("utf-8").split("\n")
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_nothing_changed(project: Project) -> None:
    plan = project.plan()
    assert plan.empty
    assert (plan.dangers, plan.findings, plan.notes) == ((), (), ())
    assert amount(plan, "prod", "A100 GPUs").before == amount(plan, "prod", "A100 GPUs").during


def test_a_new_revision_beside_the_old_one(project: Project, unit_of: Find) -> None:
    before = amount(project.plan(), "prod", "A100 GPUs").after
    project.edit(PHI, ("context: 16384", "context: 8192"))
    project.render()
    plan = project.plan()
    unit = unit_of(plan, "prod", "phi-4")
    (cause,) = unit.causes
    assert unit.verb is Verb.BLUE_GREEN
    assert (cause.where.file, cause.where.line) == (PHI, line_of(project, PHI, "context:"))
    assert cause.text == "`serving.context` 16384 → 8192"
    assert not unit.gone_endpoints + unit.new_endpoints
    gpus = amount(plan, "prod", "A100 GPUs")
    assert (gpus.before, gpus.after, gpus.during) == (before, before, before + 2)
    assert unit.before.headroom_gib is not None
    assert unit.after.headroom_gib is not None
    assert unit.after.headroom_gib > unit.before.headroom_gib
    assert plan.notes == ()


def test_replicas_change_in_place(project: Project, unit_of: Find) -> None:
    project.edit(PHI, ("replicas: 2", "replicas: 3"))
    project.render()
    plan = project.plan()
    unit = unit_of(plan, "prod", "phi-4")
    assert unit.verb is Verb.LIVE
    assert [field.path for change in unit.objects for field in change.fields] == ["spec.replicas"]
    money = amount(plan, "prod", "USD per hour")
    assert money.before is not None
    assert money.after - money.before == pytest.approx(3.673, abs=0.01)


def test_recreate_is_a_danger(project: Project, unit_of: Find) -> None:
    project.edit(MINI, ("  serving:", "  rollout: Recreate\n  serving:\n    maxConcurrency: 7"))
    project.render()
    plan = project.plan()
    assert unit_of(plan, "dev", "phi-4-mini").verb is Verb.RECREATE
    assert rules(plan.dangers) == {"plan/downtime"}
    assert {finding.where.file for finding in plan.dangers} == {MINI}
    gpus = amount(plan, "dev", "A10 GPUs")
    assert gpus.during == gpus.after


def test_only_the_cluster_that_an_override_names(project: Project) -> None:
    project.edit(PHI, ("replicas: 2, host: phi-4.models.example.com", "replicas: 2, host: new.models.example.com"))
    project.render()
    plan = project.plan()
    assert {cluster.name: len(cluster.units) for cluster in plan.clusters} == {"dev": 0, "prod": 1}
    assert rules(plan.dangers) == {"plan/endpoint"}
    assert "no longer at https://phi-4.models.example.com" in plan.dangers[0].message
    assert "https://new.models.example.com" in plan.dangers[0].hint


def test_an_entry_that_goes_and_one_that_comes(project: Project, unit_of: Find) -> None:
    text = (project.root / PHI).read_text("utf-8")
    (project.root / PHI).unlink()
    (project.root / "catalog/models/other.yaml").write_text(
        text.replace("name: phi-4\nspec", "name: other\nspec").replace("phi-4.models", "other.models"), "utf-8"
    )
    project.render()
    plan = project.plan()
    gone, new = unit_of(plan, "prod", "phi-4"), unit_of(plan, "prod", "other")
    assert (gone.verb, new.verb) == (Verb.DELETE, Verb.CREATE)
    assert gone.causes[0].text == "the entry was removed"
    assert (new.causes[0].where.file, new.causes[0].text) == ("catalog/models/other.yaml", "a new entry")
    assert "plan/deleted" in rules(plan.dangers)
    gpus = amount(plan, "prod", "A100 GPUs")
    assert gpus.before == gpus.after
    assert gpus.during == gpus.after + 2
    assert {change.kind for change in new.objects} >= {"InferenceSet", "Service", "HTTPRoute", "Application"}


def test_an_image_of_the_cluster_rolls_models_that_nobody_edited(project: Project, unit_of: Find) -> None:
    file = "catalog/clusters/dev.yaml"
    text = (project.root / file).read_text("utf-8")
    (project.root / file).write_text(text.replace("sha256:" + "0" * 64, "sha256:" + "1" * 64), "utf-8")
    project.render()
    unit = unit_of(project.plan(), "dev", "bloomz-560m")
    assert unit.verb is Verb.BLUE_GREEN
    assert unit.by_surprise
    assert unit.causes[0].where.file == file
    assert unit.causes[0].text.startswith("`images.")


def test_a_template_of_another_release_is_the_release(project: Project, unit_of: Find) -> None:
    """What was committed by an older release differs from what this one renders, and no entry was edited."""
    path = project.root / "clusters/dev/phi-4-mini/service.yaml"
    path.write_text(path.read_text("utf-8").replace("port: 80\n", "port: 8080\n"), "utf-8")
    project.commit("As an older release rendered it")
    plan = project.plan()
    unit = unit_of(plan, "dev", "phi-4-mini")
    assert unit.verb is Verb.LIVE
    assert not unit.causes[0].of_entry
    assert "this release of kaitops" in unit.causes[0].text
    assert "1 committed files are not as the catalog" in plan.notes[0]


def test_a_base_is_built_on_both_sides(project: Project, unit_of: Find) -> None:
    file = next((project.root / "clusters/base/namespace").glob("*networkpolicy*.yaml"))
    text = file.read_text("utf-8")
    file.write_text(text.replace("metadata:\n", "metadata:\n  annotations: {team: platform}\n", 1), "utf-8")
    plan = project.plan()
    unit = unit_of(plan, "dev", "namespaces")
    assert unit.verb is Verb.LIVE
    assert {field.path for change in unit.objects for field in change.fields} == {"metadata.annotations"}
    (cause,) = unit.causes
    assert (cause.where.file, cause.text) == (file.relative_to(project.root).as_posix(), "edited by hand")


def test_a_base_that_cannot_be_built_is_named_with_its_side(project: Project, unit_of: Find) -> None:
    file = project.root / "clusters/base/gateway/kustomization.yaml"
    good = file.read_text("utf-8")
    file.write_text(good.replace("gateway.yaml", "no-such-file.yaml"), "utf-8")
    with pytest.raises(CannotRunError, match="`clusters/dev/gateway` of the work tree") as refused:
        project.plan()
    assert str(project.root) not in str(refused.value)
    project.commit("Broken")
    file.write_text(good, "utf-8")
    plan = project.plan()
    assert {change.verb for change in unit_of(plan, "dev", "gateway").objects} == {Verb.CREATE}
    assert len(plan.notes) == 2, "one for each cluster"
    assert all(note.startswith("kustomize cannot build a unit of the base `HEAD") for note in plan.notes)


def test_a_namespace_more_is_an_edit_of_its_unit(project: Project, unit_of: Find) -> None:
    file = "catalog/clusters/dev.yaml"
    project.edit(file, ("  namespaces:\n", "  namespaces:\n    extra: {owners: [extra], quota: {gpus: 1}}\n"))
    project.render()
    unit = unit_of(project.plan(), "dev", "namespaces")
    assert unit.verb is Verb.LIVE
    assert {(change.verb, change.name) for change in unit.objects if change.kind == "Namespace"} == {
        (Verb.CREATE, "extra")
    }
    assert unit.causes[0].text.startswith("`namespaces.extra` set to")


@pytest.mark.parametrize("old", [None, "engine: unreadable\n"])
@pytest.mark.parametrize("file", ["engines.yaml", "kaito.yaml", "skus.yaml"])
def test_facts_that_the_base_lacks_are_those_of_the_head(
    project: Project, unit_of: Find, file: str, old: str | None
) -> None:
    facts = project.root / "catalog/facts" / file
    text = facts.read_text("utf-8")
    facts.unlink()
    if old:
        facts.write_text(old, "utf-8")
    project.commit("As an older release had it")
    facts.write_text(text, "utf-8")
    project.edit(PHI, ("context: 16384", "context: 8192"))
    project.render()
    plan = project.plan()
    assert unit_of(plan, "prod", "phi-4").before.gpus == 2
    assert plan.notes == ()


def test_what_azure_deploys_is_in_the_plan(project: Project, unit_of: Find) -> None:
    project.edit(PHI, ("thresholdSeconds: 5", "thresholdSeconds: 2.5"))
    project.render()
    unit = unit_of(project.plan(), "prod", "azure")
    assert {(change.kind, change.verb, change.name) for change in unit.objects} == {
        ("AzureTemplate", Verb.LIVE, "prometheus-rules.json")
    }
    assert unit.causes[0].where.file == PHI
    assert unit.causes[0].text == "`slo.ttft.thresholdSeconds` 5 → 2.5"


@pytest.mark.parametrize("switch", ["suspended", "retired"])
def test_what_is_switched_off_is_a_danger_with_its_way_back(project: Project, unit_of: Find, switch: str) -> None:
    project.edit(PHI, ("  owner: chat\n", f"  owner: chat\n  {switch}: true\n"))
    project.render()
    plan = project.plan()
    assert unit_of(plan, "prod", "phi-4").verb is Verb.DELETE
    (danger,) = [finding for finding in plan.dangers if finding.rule == "plan/deleted"]
    assert "taking the edit back" in danger.hint


def test_an_open_gateway_is_a_danger(project: Project) -> None:
    project.edit("catalog/clusters/dev.yaml", ("exposure: internal", "exposure: public"))
    project.render()
    plan = project.plan()
    assert "plan/exposed" in rules(plan.dangers)
    assert "catalog/exposure" in rules(plan.findings)


def test_a_gateway_that_leaves_the_internet_is_a_danger(project: Project) -> None:
    project.edit("catalog/clusters/prod.yaml", ("exposure: public", "exposure: internal"))
    project.render()
    (danger,) = project.plan().dangers
    assert (danger.rule, danger.where.file) == ("plan/endpoint", "catalog/clusters/prod.yaml")
    assert "no longer reachable from the internet" in danger.message


def test_a_move_to_another_namespace_is_no_matter_of_the_rollout(project: Project, unit_of: Find) -> None:
    project.edit(PHI, ("owner: chat", "owner: search"))
    project.render()
    plan = project.plan()
    assert unit_of(plan, "prod", "phi-4").verb is Verb.RECREATE
    (danger,) = [finding for finding in plan.dangers if finding.rule == "plan/downtime"]
    assert "BlueGreen" not in danger.hint, "the entry rolls out so already"
    assert "under another name" in danger.hint


def test_a_policy_that_looks_away_is_a_danger(project: Project) -> None:
    """Each policy loses something in a way of its own; the last one says the same in other words."""
    never = "  matchConditions:\n    - {name: never, expression: 'false'}\n"
    fewer = "  validationActions: [Deny]\n  matchResources: {namespaceSelector: {}}\n"
    project.edit("policies/license-allow-list.yaml", ("failurePolicy: Fail", "failurePolicy: Ignore"))
    project.edit("policies/no-bypass-resource-checks.yaml", ("  matchConditions:\n", never))
    project.edit("policies/image-by-digest.yaml", ("  validationActions: [Deny]\n", fewer))
    project.edit("policies/route-timeout-bound.yaml", ("a rule has no `timeouts", "a rule is without `timeouts"))
    path = project.root / "policies/no-host-path.yaml"
    head, validation, rest = path.read_text("utf-8").partition("    - expression: |-\n        !variables.annotations")
    path.write_text(f"{head}---\n{rest.partition('---')[2].lstrip()}", "utf-8")
    assert validation
    found = [finding for finding in project.plan().dangers if finding.rule == "plan/policy"]
    loosened = {"license-allow-list", "no-bypass-resource-checks", "image-by-digest", "no-host-path"}
    assert {finding.message.split("`")[1] for finding in found} == {f"{name}.kaitops.dev" for name in loosened}


def test_a_policy_that_no_longer_denies_is_a_danger(project: Project) -> None:
    project.edit("catalog/clusters/prod.yaml", ("policies: Deny", "policies: Warn"))
    project.render()
    found = [finding for finding in project.plan().dangers if finding.rule == "plan/policy"]
    assert found
    assert {finding.where.file for finding in found} == {"catalog/clusters/prod.yaml"}


def test_a_smaller_claim_is_refused(project: Project) -> None:
    project.edit("catalog/models/files-volume.yaml", ("100Gi", "1Gi"))
    refused = [finding for finding in project.plan().dangers if finding.rule == "plan/refused"]
    assert "storage" in refused[0].message


def test_what_was_wrong_before_is_not_new(project: Project) -> None:
    project.edit(MINI, ("  serving:", "  serving:\n    maxConcurrency: 500"))
    project.render()
    assert rules(project.plan().findings) == {"fit/concurrency"}
    project.commit("Take it as it is")
    project.edit(
        MINI, ("  owner:", "  # One more line above.\n  owner:"), ("maxConcurrency: 500", "maxConcurrency: 400")
    )
    project.render()
    assert project.plan().findings == ()


def test_a_limit_that_only_the_rollout_passes(project: Project) -> None:
    taken = amount(project.plan(), "prod", "A100 GPUs").after
    project.edit("catalog/clusters/prod.yaml", ("gpus: {A100: 32}", f"gpus: {{A100: {taken:g}}}"))
    project.edit(PHI, ("context: 16384", "context: 8192"))
    project.render()
    over = [finding for finding in project.plan().dangers if finding.rule == "plan/limit"]
    assert [finding.where.file for finding in over] == ["catalog/clusters/prod.yaml"]
    assert f"takes {taken + 2:g} A100 GPUs of {taken:g}" in over[0].message


def test_two_commits(project: Project, unit_of: Find) -> None:
    with project.repo as repo:
        first = repo.head.commit.hexsha
    project.edit(PHI, ("context: 16384", "context: 8192"))
    project.render()
    second = project.commit("Shorter")
    project.edit(PHI, ("context: 8192", "context: 4096"))
    plan = project.plan(first, second)
    assert unit_of(plan, "prod", "phi-4").causes[0].text == "`serving.context` 16384 → 8192"
    assert plan.notes == ()
    back = project.plan(second, first)
    assert unit_of(back, "prod", "phi-4").causes[0].text == "`serving.context` 8192 → 16384"
    assert "1 commits that the head lacks" in back.notes[0]


def test_a_head_with_mistakes_has_no_plan(project: Project) -> None:
    project.edit(PHI, ("context: 16384", "contxt: 16384"))
    with pytest.raises(BrokenHeadError) as raised:
        project.plan()
    assert PHI in {finding.where.file for finding in raised.value.findings}


def test_a_base_with_mistakes_costs_the_figures_alone(project: Project, unit_of: Find) -> None:
    project.edit(PHI, ("context: 16384", "contxt: 16384"))
    project.commit("Broken")
    project.edit(PHI, ("contxt: 16384", "context: 8192"))
    plan = project.plan()
    assert unit_of(plan, "prod", "phi-4").verb is Verb.BLUE_GREEN
    assert amount(plan, "prod", "A100 GPUs").before is None
    assert plan.notes[0].startswith("the catalog of the base `HEAD")
    assert "contxt" in plan.notes[0]


def test_a_commit_without_a_catalog(project: Project) -> None:
    with project.repo as repo:
        repo.git.rm("-r", "-q", "--cached", "catalog", "clusters")
        empty = str(repo.index.commit("Nothing").hexsha)
    plan = project.plan(empty)
    assert {unit.verb for cluster in plan.clusters for unit in cluster.units} == {Verb.CREATE}
    with pytest.raises(CannotRunError, match="no catalog in"):
        project.plan("HEAD", empty)


def test_a_held_model_waits(project: Project) -> None:
    project.edit(PHI, ("  serving:", "  roll: manual\n  serving:"))
    project.render()
    project.commit("Hold it")
    project.edit(PHI, ("context: 16384", "context: 8192"))
    plan = project.plan()
    assert not [unit for cluster in plan.clusters for unit in cluster.units if unit.verb is Verb.BLUE_GREEN]
    assert any("is held at revision" in note for note in plan.notes)


def test_a_tighter_limit_is_held_against_objects_that_stay_as_they_are(project: Project) -> None:
    """What broke a policy before is no news, and what the limits of the cluster now forbid is."""
    project.edit("catalog/clusters/prod.yaml", ("llama3.1, mit]", "llama3.1]"))
    found = [finding for finding in project.plan().findings if finding.rule.startswith("policy/")]
    assert {finding.rule for finding in found} == {"policy/license-allow-list"}
    assert {finding.where.file for finding in found} == {PHI, "catalog/models/phi-4-mini.yaml"}


def test_a_tighter_policy_is_held_against_objects_that_stay_as_they_are(project: Project) -> None:
    project.edit("policies/license-allow-list.yaml", ("variables.license != ''", "variables.license.startsWith('b')"))
    rules = {finding.rule for finding in project.plan().findings}
    assert rules == {"policy/license-allow-list"}


# ---- a canary

SERVED = "prod: {sku: Standard_NC24ads_A100_v4, host: phi-4-mini.models.example.com}"
TRIED = SERVED.replace("}", ", canary: {weight: 10, context: 32768}}")


def verbs(unit: UnitChange) -> set[tuple[str, Verb]]:
    return {(change.kind, change.verb) for change in unit.objects if change.kind in {"Workspace", "ConfigMap"}}


def test_a_canary_starts_beside_what_serves(project: Project, unit_of: Find) -> None:
    project.edit(MINI, (SERVED, TRIED))
    project.render()
    plan = project.plan()
    unit = unit_of(plan, "prod", "phi-4-mini")
    assert unit.verb is Verb.LIVE
    assert verbs(unit) == {("Workspace", Verb.CREATE), ("ConfigMap", Verb.CREATE)}
    assert notice(unit) == "what serves stays as it is; its canary starts"
    assert capacity(unit).endswith("; canary: nothing → 1 x Standard_NC24ads_A100_v4 (1 GPU)")
    gpus = amount(plan, "prod", "A100 GPUs")
    assert gpus.before is not None
    assert (gpus.after, gpus.during) == (gpus.before + 1, gpus.before + 1)
    assert plan.dangers == ()


def test_a_canary_that_is_promoted_starts_nothing(project: Project, unit_of: Find) -> None:
    project.edit(MINI, (SERVED, TRIED))
    project.render()
    project.commit("a canary")
    project.edit(MINI, (TRIED, SERVED.replace("}", ", context: 32768}")))
    project.render()
    plan = project.plan()
    unit = unit_of(plan, "prod", "phi-4-mini")
    assert unit.verb is Verb.BLUE_GREEN
    assert ("Workspace", Verb.BLUE_GREEN) in verbs(unit)
    assert ("Workspace", Verb.DELETE) not in verbs(unit)
    assert "the canary, which is up, gets every request" in notice(unit)
    assert unit.surge.nodes == 0
    gpus = amount(plan, "prod", "A100 GPUs")
    assert (gpus.after, gpus.during) == (gpus.before - 1 if gpus.before else None, gpus.before)
    assert plan.dangers == ()


def test_a_canary_that_is_given_up_takes_nothing_that_serves(project: Project, unit_of: Find) -> None:
    project.edit(MINI, (SERVED, TRIED))
    project.render()
    project.commit("a canary")
    project.edit(MINI, (TRIED, SERVED))
    project.render()
    plan = project.plan()
    unit = unit_of(plan, "prod", "phi-4-mini")
    assert (unit.verb, notice(unit)) == (Verb.LIVE, "what serves stays as it is; its canary goes")
    assert ("Workspace", Verb.DELETE) in verbs(unit)
    assert plan.dangers == ()


def test_a_model_that_goes_with_its_canary_is_a_danger(project: Project, unit_of: Find) -> None:
    project.edit(PHI, ("replicas: 2", "replicas: 2, canary: {weight: 5, context: 8192}"))
    project.render()
    project.commit("a canary")
    project.edit(PHI, ("  owner:", "  retired: true\n  owner:"))
    project.render()
    plan = project.plan()
    assert unit_of(plan, "prod", "phi-4").verb is Verb.DELETE
    assert [danger.rule for danger in plan.dangers] == ["plan/deleted", "plan/deleted"]
