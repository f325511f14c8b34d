"""What a rendered fleet must hold, whatever the templates look like."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from generator.compile import Compiled, compile_catalog
from generator.document import Document
from generator.finding import Severity
from generator.repository import Repository

WAVES = {
    "ConfigMap": -10,
    "PersistentVolumeClaim": 0,
    "Workspace": 0,
    "InferenceSet": 0,
    "RAGEngine": 0,
    "Service": 10,
    "HTTPRoute": 10,
    "PodMonitor": 20,
}
KAITO = {"Workspace", "InferenceSet", "RAGEngine"}
Edit = Callable[[dict[str, Any]], None]


def documents(compiled: Compiled, folder: str = "clusters/") -> list[Document]:
    assert compiled.rendering is not None, compiled.findings
    return [document for document in compiled.rendering.documents if document.path.startswith(folder)]


def one(compiled: Compiled, path: str) -> dict[str, Any]:
    (document,) = [document for document in documents(compiled) if document.path == path]
    return document.body


def edit(repository: Repository, entry: str, change: Edit) -> None:
    """Change one entry of a workshop as a person would."""
    path = repository.root / "catalog" / entry
    data = yaml.safe_load(path.read_text("utf-8"))
    change(data["spec"])
    path.write_text(yaml.safe_dump(data), "utf-8")


def kaito_name(compiled: Compiled, folder: str) -> str:
    (body,) = [document.body for document in documents(compiled, folder) if document.body["kind"] in KAITO]
    name: str = body["metadata"]["name"]
    return name


def test_each_text_reads_as_its_body(fleet: Compiled) -> None:
    for document in documents(fleet):
        assert yaml.safe_load(document.text) == document.body, document.path


def test_each_file_holds_one_object_of_the_kind_in_its_name(fleet: Compiled) -> None:
    for document in documents(fleet):
        kind = Path(document.path).stem.split("-")[0]
        assert document.body["kind"].lower() == kind, document.path


def test_each_file_names_its_schema_and_the_entry_it_comes_from(fleet: Compiled) -> None:
    root = Path(__file__).parents[2]
    for document in documents(fleet):
        schema, origin, *_ = document.text.splitlines()
        assert schema.startswith("# yaml-language-server: $schema="), document.path
        target = schema.partition("$schema=")[2]
        if not target.startswith("https://"):
            assert ((root / document.path).parent / target).resolve().is_relative_to(root / "generator" / "schemas")
        assert f"Rendered from {document.source.file} by kaitops" in origin
        assert (root / document.source.file).is_file()


def test_no_object_is_rendered_twice_on_a_cluster(fleet: Compiled) -> None:
    for cluster in fleet.catalog.clusters:
        objects = [one for one in documents(fleet, f"clusters/{cluster}/") if one.body["kind"] != "Kustomization"]
        counts = Counter(document.identity for document in objects)
        assert [identity for identity, count in counts.items() if count > 1] == []


def test_a_kustomization_lists_exactly_the_files_beside_it(fleet: Compiled) -> None:
    folders: dict[str, set[str]] = {}
    for document in documents(fleet):
        folder, _, name = document.path.rpartition("/")
        folders.setdefault(folder, set()).add(name)
    for folder, names in folders.items():
        listed = one(fleet, f"{folder}/kustomization.yaml")["resources"]
        local = {name for name in listed if name.endswith(".yaml")}
        assert local == names - {"kustomization.yaml"}, folder


def test_waves_put_config_before_models_and_routes_after_them(fleet: Compiled) -> None:
    for document in documents(fleet):
        if document.path.split("/")[2] in {"gitops", "gateway", "monitoring", "namespaces"}:
            continue
        wave = int(document.body.get("metadata", {}).get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0))
        expected = WAVES.get(document.body["kind"])
        assert document.body["kind"] == "Kustomization" or expected is None or wave == expected, document.path


def test_every_unit_has_its_application(fleet: Compiled) -> None:
    for cluster in fleet.catalog.clusters:
        units = {document.path.split("/")[2] for document in documents(fleet, f"clusters/{cluster}/")}
        applications = {
            document.body["spec"]["source"]["path"]: document.body
            for document in documents(fleet, f"clusters/{cluster}/gitops/")
            if document.body["kind"] == "Application"
        }
        assert set(applications) == {f"clusters/{cluster}/{unit}" for unit in units}
        for path, body in applications.items():
            retry = body["spec"]["syncPolicy"]["retry"]
            assert (retry["limit"], retry["refresh"]) == (-1, True)
            assert body["spec"]["project"] == f"kaitops-{cluster}" + "-root" * path.endswith("/gitops")


def test_no_unit_reaches_argo_cd_s_own_objects(fleet: Compiled) -> None:
    """Else a commit to one model could widen its own project, or point an Application at another repository."""
    for cluster, entry in fleet.catalog.clusters.items():
        gitops = entry.value.spec.gitops
        units = one(fleet, f"clusters/{cluster}/gitops/appproject-kaitops-{cluster}.yaml")["spec"]
        assert gitops.namespace not in [place["namespace"] for place in units["destinations"]]
        root = one(fleet, f"clusters/{cluster}/gitops/appproject-kaitops-{cluster}-root.yaml")["spec"]
        assert [place["namespace"] for place in root["destinations"]] == [gitops.namespace]
        assert "clusterResourceWhitelist" not in root


def test_a_retry_waits_again_for_what_is_there_already(fleet: Compiled) -> None:
    for document in documents(fleet):
        if document.body["kind"] == "Application":
            only_differing = "ApplyOutOfSyncOnly=true" in document.body["spec"]["syncPolicy"]["syncOptions"]
            assert only_differing == (document.body["metadata"]["labels"]["kaitops.dev/unit"] == "gitops")


def test_each_application_goes_only_where_its_project_lets_it(fleet: Compiled) -> None:
    for cluster in fleet.catalog.clusters:
        for document in documents(fleet, f"clusters/{cluster}/gitops/"):
            if document.body["kind"] == "Application":
                name = document.body["spec"]["project"]
                project = one(fleet, f"clusters/{cluster}/gitops/appproject-{name}.yaml")["spec"]
                allowed = {(place["server"], place["namespace"]) for place in project["destinations"]}
                target = document.body["spec"]["destination"]
                assert (target["server"], target["namespace"]) in allowed, document.path
                assert document.body["spec"]["source"]["repoURL"] in project["sourceRepos"]


def test_images_of_our_own_are_by_digest(fleet: Compiled) -> None:
    for document in documents(fleet):
        template = document.body.get("inference", {}).get("template")
        for container in template["spec"]["containers"] if template else []:
            assert "@sha256:" in container["image"]


def test_our_own_pods_have_no_privilege(fleet: Compiled) -> None:
    for document in documents(fleet):
        template = document.body.get("inference", {}).get("template")
        if not template:
            continue
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        for container in (*spec["containers"], *spec.get("initContainers", [])):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_a_service_selects_the_object_that_runs(fleet: Compiled) -> None:
    assert one(fleet, "clusters/dev/phi-4-mini/service.yaml")["spec"]["selector"] == {
        "kaito.sh/workspace": kaito_name(fleet, "clusters/dev/phi-4-mini/")
    }
    assert one(fleet, "clusters/prod/phi-4/service.yaml")["spec"]["selector"] == {
        "inferenceset.kaito.sh/created-by": kaito_name(fleet, "clusters/prod/phi-4/")
    }


def test_a_model_over_several_nodes_answers_from_the_first_of_them(workshop: Repository) -> None:
    def smaller(spec: dict[str, Any]) -> None:
        spec["clusters"] = {"prod": {"sku": "Standard_NC24ads_A100_v4", "host": "coder.models.example.com"}}

    edit(workshop, "models/qwen2-5-coder-32b.yaml", smaller)
    compiled = compile_catalog(workshop)
    service = one(compiled, "clusters/prod/qwen2-5-coder-32b/service.yaml")
    assert service["spec"]["selector"]["apps.kubernetes.io/pod-index"] == "0"
    monitor = one(compiled, "clusters/prod/qwen2-5-coder-32b/podmonitor.yaml")
    assert monitor["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]  # workers answer no scrape either


def test_revisions_never_share_a_node(fleet: Compiled) -> None:
    workspace = one(fleet, "clusters/dev/phi-4-mini/workspace.yaml")
    labels = workspace["resource"]["labelSelector"]["matchLabels"]
    assert labels["apps"] == "phi-4-mini"
    assert workspace["metadata"]["name"] == f"phi-4-mini-{labels['kaitops.dev/revision']}"


def test_nodes_of_ones_own_are_found_by_exactly_their_labels(fleet: Compiled) -> None:
    workspace = one(fleet, "clusters/dev/mistral-7b-own-nodes/workspace.yaml")
    assert workspace["resource"]["labelSelector"]["matchLabels"] == {"apps": "mistral-7b", "pool": "search-gpus"}


def test_nodes_of_ones_own_may_be_labelled_as_ours_would_be(workshop: Repository) -> None:
    """Their label is the seed's, `apps: <name>`; a revision beside it would match no node that exists."""
    labels = {"apps": "mistral-7b-own-nodes"}
    edit(workshop, "models/mistral-7b-own-nodes.yaml", lambda spec: spec["serving"].update(nodeLabels=labels))
    workspace = one(compile_catalog(workshop), "clusters/dev/mistral-7b-own-nodes/workspace.yaml")
    assert workspace["resource"]["labelSelector"]["matchLabels"] == labels


def test_a_second_revision_on_nodes_of_ones_own_is_warned_of(workshop: Repository, fleet: Compiled) -> None:
    edit(workshop, "models/mistral-7b-own-nodes.yaml", lambda spec: spec.update(rollout="BlueGreen"))
    found = [finding for finding in compile_catalog(workshop).findings if finding.rule == "catalog/own-nodes"]
    assert [(finding.where.file, finding.severity) for finding in found] == [
        ("catalog/models/mistral-7b-own-nodes.yaml", Severity.WARNING)
    ]
    assert not [finding for finding in fleet.findings if finding.rule == "catalog/own-nodes"]


def test_production_fills_secrets_from_the_vault_and_dev_has_them(fleet: Compiled) -> None:
    secret = one(fleet, "clusters/prod/llama-3-1-8b/externalsecret.yaml")
    assert secret["spec"]["target"]["name"] == "hub-token"
    assert secret["spec"]["data"][0]["remoteRef"]["key"] == "hub-token-llama"
    assert "clusters/dev/llama-3-1-8b/externalsecret.yaml" not in {document.path for document in documents(fleet)}


def test_objects_that_exist_may_be_named_as_kubernetes_allows(workshop: Repository) -> None:
    """Secrets and claims are named like hosts: certificates are called `models.example.com` more often than not."""
    edit(workshop, "clusters/prod.yaml", lambda spec: spec["gateway"]["tls"].update({"secret": "models.example.com"}))
    claim = {"name": "0weights.v2"}
    edit(workshop, "models/files-volume.yaml", lambda spec: spec["source"]["azureVolume"].update(claim=claim))
    compiled = compile_catalog(workshop)
    gateway = one(compiled, "clusters/prod/gateway/kustomization.yaml")
    assert "value: models.example.com" in gateway["patches"][0]["patch"]
    spec = one(compiled, "clusters/dev/files-volume/workspace.yaml")["inference"]["template"]["spec"]
    assert {"claimName": "0weights.v2", "readOnly": True} in [
        volume.get("persistentVolumeClaim") for volume in spec["volumes"]
    ]


def test_metrics_are_scraped_only_where_they_are_metrics(fleet: Compiled) -> None:
    paths = {document.path for document in documents(fleet)}
    assert "clusters/dev/phi-3-dolly/podmonitor.yaml" in paths
    assert "clusters/dev/phi-3-adapter/podmonitor.yaml" not in paths  # KAITO's transformers runtime answers in JSON
    assert "clusters/dev/phi-3-dolly-tuning/podmonitor.yaml" not in paths


def test_each_cluster_gets_the_monitors_that_its_scraper_reads(fleet: Compiled) -> None:
    dev = one(fleet, "clusters/dev/phi-4-mini/podmonitor.yaml")
    prod = one(fleet, "clusters/prod/phi-4-mini/podmonitor.yaml")
    assert dev["apiVersion"] == "monitoring.coreos.com/v1"
    assert prod["apiVersion"] == "azmonitoring.coreos.com/v1"
    assert prod["spec"]["labelLimit"] == 63


def test_a_blue_green_edit_moves_name_nodes_and_service_together(workshop: Repository) -> None:
    before = compile_catalog(workshop)

    def other_preset(spec: dict[str, Any]) -> None:
        spec["source"]["preset"]["revision"] = "1" * 40

    edit(workshop, "models/phi-4-mini.yaml", other_preset)
    after = compile_catalog(workshop)
    folder = "clusters/dev/phi-4-mini/"
    assert kaito_name(before, folder) != kaito_name(after, folder)
    assert one(after, f"{folder}service.yaml")["spec"]["selector"]["kaito.sh/workspace"] == kaito_name(after, folder)
    monitor = one(after, f"{folder}podmonitor.yaml")["spec"]["selector"]["matchLabels"]
    assert monitor["kaito.sh/workspace"] == kaito_name(after, folder)


ELSEWHERE: dict[str, tuple[str, Edit]] = {
    "container": (
        "models/blob-volume.yaml",
        lambda spec: spec["source"]["azureVolume"]["blob"].update(container="other"),
    ),
    "resource group": (
        "models/blob-volume.yaml",
        lambda spec: spec["source"]["azureVolume"]["blob"].update(resourceGroup="other"),
    ),
    "identity": (
        "clusters/dev.yaml",
        lambda spec: spec["identities"].update({"model-loader": "1" * 8 + "-0000-0000-0000-" + "0" * 12}),
    ),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_volume_that_points_elsewhere_is_another_volume_of_another_revision(
    workshop: Repository, fleet: Compiled, name: str
) -> None:
    """Kubernetes refuses every edit of a volume's source, and of the volume that a claim is bound to."""
    folder = "clusters/dev/blob-volume/"
    edit(workshop, *ELSEWHERE[name])
    moved = compile_catalog(workshop)
    for kind in ("persistentvolume", "persistentvolumeclaim", "workspace"):
        names = {one(compiled, f"{folder}{kind}.yaml")["metadata"]["name"] for compiled in (fleet, moved)}
        assert len(names) == 2, kind
    claim = one(moved, f"{folder}persistentvolumeclaim.yaml")
    volume = one(moved, f"{folder}persistentvolume.yaml")
    (mounted,) = [
        source["persistentVolumeClaim"]["claimName"]
        for source in one(moved, f"{folder}workspace.yaml")["inference"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in source
    ]
    assert claim["metadata"]["name"] == mounted == volume["spec"]["claimRef"]["name"]
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]


LIVE: dict[str, Edit] = {
    "description": lambda spec: spec.update(description="other words"),
    "license": lambda spec: spec.update(license="apache-2.0"),
    "timeout": lambda spec: spec.update(route={"timeout": "300s"}),
    "slo": lambda spec: spec.update(slo={}),
}


@pytest.mark.parametrize("name", LIVE)
def test_an_edit_that_needs_no_restart_keeps_the_name(workshop: Repository, fleet: Compiled, name: str) -> None:
    edit(workshop, "models/phi-4-mini.yaml", LIVE[name])
    folder = "clusters/dev/phi-4-mini/"
    assert kaito_name(compile_catalog(workshop), folder) == kaito_name(fleet, folder)


def test_more_replicas_of_a_set_keep_the_name(workshop: Repository, fleet: Compiled) -> None:
    edit(workshop, "models/phi-4.yaml", lambda spec: spec["clusters"]["prod"].update(replicas=3))
    compiled = compile_catalog(workshop)
    assert kaito_name(compiled, "clusters/prod/phi-4/") == kaito_name(fleet, "clusters/prod/phi-4/")
    assert one(compiled, "clusters/prod/phi-4/inferenceset.yaml")["spec"]["replicas"] == 3


def test_a_config_edit_is_blue_green_unless_a_restart_is_accepted(workshop: Repository) -> None:
    folder, entry = "clusters/dev/phi-4-mini/", "models/phi-4-mini.yaml"

    def shorter(spec: dict[str, Any]) -> None:
        spec["clusters"]["dev"]["context"] = 4096

    before = kaito_name(compile_catalog(workshop), folder)
    edit(workshop, entry, shorter)
    assert kaito_name(compile_catalog(workshop), folder) != before
    edit(workshop, entry, lambda spec: spec.update(rollout="Restart"))
    restarting = compile_catalog(workshop)
    edit(workshop, entry, lambda spec: spec["clusters"]["dev"].update(context=6144))
    restarted = compile_catalog(workshop)
    assert kaito_name(restarting, folder) == kaito_name(restarted, folder)
    config = [one(compiled, f"{folder}workspace.yaml")["inference"]["config"] for compiled in (restarting, restarted)]
    assert config[0] != config[1]


def test_recreate_lets_the_old_object_go_first(fleet: Compiled) -> None:
    recreate = one(fleet, "clusters/dev/gitops/application-mistral-7b-own-nodes.yaml")
    blue_green = one(fleet, "clusters/dev/gitops/application-phi-4-mini.yaml")
    assert "PruneLast=true" not in recreate["spec"]["syncPolicy"]["syncOptions"]
    assert "PruneLast=true" in blue_green["spec"]["syncPolicy"]["syncOptions"]


@pytest.mark.parametrize(
    "folder", ["models/files-volume", "models/phi-4-mini", "tuning/phi-3-dolly-tuning", "rag/handbook"]
)
def test_where_a_person_confirms_nothing_goes_without_one(workshop: Repository, folder: str) -> None:
    """An edit prunes the old revision; a retired entry deletes its Application, and that the objects below it."""
    edit(workshop, "clusters/dev.yaml", lambda spec: spec["gitops"].update(prune="confirm"))
    compiled = compile_catalog(workshop)
    unit = f"clusters/dev/{folder.rpartition('/')[2]}/"
    held = [one for one in documents(compiled, unit) if one.body["kind"] in {*KAITO, "PersistentVolumeClaim"}]
    assert held
    for document in held:
        options = document.body["metadata"]["annotations"]["argocd.argoproj.io/sync-options"]
        assert set(options.split(",")) == {"Prune=confirm", "Delete=confirm"}, document.path


def test_a_set_hands_argo_cds_annotations_to_none_of_its_children(fleet: Compiled) -> None:
    template = one(fleet, "clusters/prod/phi-4/inferenceset.yaml")["spec"]["template"]
    assert not [key for key in template["metadata"]["annotations"] if key.startswith("argocd.")]


def test_a_suspended_model_keeps_its_storage_and_runs_nothing(workshop: Repository) -> None:
    edit(workshop, "models/files-volume.yaml", lambda spec: spec.update(suspended=True))
    kinds = {document.body["kind"] for document in documents(compile_catalog(workshop), "clusters/dev/files-volume/")}
    assert kinds == {"Kustomization", "PersistentVolumeClaim"}


def test_a_retired_model_leaves_nothing(workshop: Repository) -> None:
    edit(workshop, "models/files-volume.yaml", lambda spec: spec.update(retired=True))
    compiled = compile_catalog(workshop)
    assert documents(compiled, "clusters/dev/files-volume/") == []
    assert "application-files-volume.yaml" not in one(compiled, "clusters/dev/gitops/kustomization.yaml")["resources"]


def test_a_tuning_edit_moves_its_output_and_the_model_that_uses_it(workshop: Repository, fleet: Compiled) -> None:
    edit(workshop, "tuning/phi-3-dolly-tuning.yaml", lambda spec: spec["config"]["LoraConfig"].update(r=16))
    compiled = compile_catalog(workshop)
    for folder in ("clusters/dev/phi-3-dolly-tuning/", "clusters/dev/phi-3-dolly/"):
        assert kaito_name(compiled, folder) != kaito_name(fleet, folder)


def test_restricted_models_reach_private_ranges_and_nothing_else(fleet: Compiled) -> None:
    policy = one(fleet, "clusters/dev/files-volume/networkpolicy.yaml")["spec"]
    assert policy["policyTypes"] == ["Egress"]
    blocks = [peer["ipBlock"]["cidr"] for rule in policy["egress"] for peer in rule["to"] if "ipBlock" in peer]
    assert blocks == ["10.0.0.0/8"]


def test_a_restricted_model_stays_restricted_while_its_next_revision_starts(workshop: Repository) -> None:
    """The policy comes before the new pods; until they are healthy, the old ones are those that serve."""
    folder = "clusters/dev/files-volume/"
    before = compile_catalog(workshop)
    edit(workshop, "models/files-volume.yaml", lambda spec: spec["serving"]["env"].update(OMP_NUM_THREADS="2"))
    after = compile_catalog(workshop)
    assert kaito_name(before, folder) != kaito_name(after, folder)
    selector = one(after, f"{folder}networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"]
    for compiled in (before, after):
        pod = one(compiled, f"{folder}workspace.yaml")["inference"]["template"]["metadata"]["labels"]
        assert selector.items() <= pod.items()


def test_two_renderings_are_the_same_bytes(fleet: Compiled, workshop: Repository) -> None:
    again = compile_catalog(workshop)
    assert again.rendering is not None
    assert fleet.rendering is not None
    assert again.rendering.tree == fleet.rendering.tree
