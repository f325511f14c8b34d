"""Does `kaitops validate` say which catalog line breaks which policy, and as heavily as the cluster does?"""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from generator.checks import policy
from generator.compile import compile_catalog
from generator.document import Document
from generator.finding import Finding, Place, Severity
from generator.repository import Repository

MODEL = "catalog/models/phi-4-mini.yaml"


def judged(repository: Repository) -> list[Finding]:
    """What the policies find, as in a whole run."""
    compiled = compile_catalog(repository)
    assert compiled.rendering, compiled.findings
    documents = [each for each in compiled.rendering.documents if not each.path.endswith("/kustomization.yaml")]
    return sorted(set(policy.check(repository, compiled.catalog, documents, compiled.rendering.resolution.limits)))


def edit(repository: Repository, file: str, old: str, new: str) -> None:
    path = repository.root / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def line_of(repository: Repository, file: str, start: str) -> int:
    lines = (repository.root / file).read_text("utf-8").split("\n")
    return next(number for number, line in enumerate(lines, 1) if line.strip().startswith(start))


def test_the_fleet_breaks_no_policy_but_one_that_it_says_itself(workshop: Repository) -> None:
    """KAITO's transformers runtime cannot pin, which the entry's own finding says as well."""
    assert [(each.rule, each.where.file, each.severity) for each in judged(workshop)] == [
        ("policy/model-revision-pinned", "catalog/models/phi-3-adapter.yaml", Severity.WARNING)
    ]


def test_a_finding_stands_at_the_field_that_the_policy_is_about(workshop: Repository) -> None:
    edit(workshop, "catalog/clusters/prod.yaml", "licenses: [", "licenses: [gpl-3.0, ")
    edit(workshop, "catalog/clusters/prod.yaml", "llama3.1, mit]", "llama3.1]")
    edit(workshop, "catalog/clusters/prod.yaml", "class: istio\n", "class: istio\n    maxTimeout: 4m\n")
    found = {(each.rule, each.where): each for each in judged(workshop) if each.severity is Severity.ERROR}
    line = line_of(workshop, MODEL, "license: mit")
    finding = found["policy/license-allow-list", Place(MODEL, line, 3)]
    assert finding.message.startswith("Workspace `phi-4-mini-")
    assert "licence `mit` is not allowed on this cluster" in finding.message
    assert finding.hint == "`policies/license-allow-list.yaml` says why"
    coder = "catalog/models/qwen2-5-coder-32b.yaml"
    assert ("policy/route-timeout-bound", Place(coder, line_of(workshop, coder, "timeout: 300s"), 5)) in found


def test_a_quota_beyond_the_limit_stands_at_the_clusters_entry(workshop: Repository) -> None:
    compiled = compile_catalog(workshop)
    assert compiled.rendering
    documents = compiled.rendering.documents
    quota = next(each for each in documents if each.path == "clusters/prod/namespaces/chat/resourcequota.yaml")
    quota.body["spec"]["hard"]["requests.nvidia.com/gpu"] = 17
    (finding,) = [
        each
        for each in policy.check(workshop, compiled.catalog, documents, compiled.rendering.resolution.limits)
        if each.rule.startswith("policy/gpu")
    ]
    chat = line_of(workshop, "catalog/clusters/prod.yaml", "chat:")
    assert finding.where.file == "catalog/clusters/prod.yaml"
    assert chat < finding.where.line <= chat + 3


@pytest.mark.parametrize(("action", "severity"), [("Deny", Severity.ERROR), ("Warn", Severity.WARNING)])
def test_the_weight_is_what_the_cluster_does(workshop: Repository, action: str, severity: Severity) -> None:
    path = workshop.root / "catalog/clusters/prod.yaml"
    path.write_text(re.sub(r"policies: \w+", f"policies: {action}", path.read_text("utf-8")), "utf-8")
    edit(workshop, "catalog/clusters/prod.yaml", "    remoteCode: [bloomz/bloomz-560m]\n", "    remoteCode: []\n")
    (finding,) = [each for each in judged(workshop) if each.rule == "policy/remote-code-needs-exception"]
    assert (finding.where.file, finding.severity) == ("catalog/models/bloomz-560m.yaml", severity)
    assert finding.where.line == line_of(workshop, "catalog/models/bloomz-560m.yaml", "trustRemoteCode")


def test_what_kustomize_adds_is_judged(workshop: Repository) -> None:
    """An object that no template of ours made still has a cluster whose policies judge it."""
    compiled = compile_catalog(workshop)
    assert compiled.rendering
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "open", "namespace": "chat"}}
    extra = Document(
        "clusters/prod/namespaces/service-open.yaml",
        "",
        {**service, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}},
        Place("catalog/clusters/prod.yaml"),
    )
    documents = [*compiled.rendering.documents, extra]
    rules = [
        each.rule
        for each in policy.check(workshop, compiled.catalog, documents, compiled.rendering.resolution.limits)
        if "open" in each.message
    ]
    assert rules == ["policy/no-public-load-balancer"]


def test_without_policies_nothing_is_passed(workshop: Repository) -> None:
    shutil.rmtree(workshop.root / "policies")
    (finding,) = judged(workshop)
    assert (finding.rule, finding.severity) == ("policy/none", Severity.WARNING)


def test_a_policy_with_a_mistake_is_an_error_and_the_others_go_on(workshop: Repository) -> None:
    edit(workshop, "policies/license-allow-list.yaml", "variables.license != ''", "variables.license !== ''")
    edit(workshop, "catalog/clusters/prod.yaml", "    remoteCode: [bloomz/bloomz-560m]\n", "    remoteCode: []\n")
    found = {each.rule: each for each in judged(workshop) if each.severity is Severity.ERROR}
    assert found.keys() == {"policy/cel", "policy/remote-code-needs-exception"}
    line = line_of(workshop, "policies/license-allow-list.yaml", "variables.license !==")
    assert found["policy/cel"].where.line == line


def test_an_expression_that_fails_refuses(workshop: Repository) -> None:
    edit(workshop, "policies/license-allow-list.yaml", "variables.license != ''", "object.metadata.nothing != ''")
    found = [each for each in judged(workshop) if each.rule == "policy/license-allow-list"]
    assert found
    assert all("cannot be judged, and is refused therefore" in each.message for each in found)
    edit(workshop, "policies/license-allow-list.yaml", "failurePolicy: Fail", "failurePolicy: Ignore")
    assert [each for each in judged(workshop) if each.rule == "policy/license-allow-list"] == []


def test_the_kustomization_lists_every_policy() -> None:
    folder = Path(__file__).parents[2] / "policies"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))["resources"]
    assert listed == sorted(path.name for path in folder.glob("*.yaml") if path.name != "kustomization.yaml")
