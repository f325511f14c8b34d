"""What single objects must say to work: the spellings and the order that no schema knows."""

from typing import Any

import yaml

from generator.checks.build import PLATFORM
from generator.compile import Compiled, compile_catalog
from generator.repository import Repository
from generator.resolve.routing import listens_for
from tests.generator.test_render import documents, edit, one

Body = dict[str, Any]


def inference_config(compiled: Compiled, unit: str) -> Body:
    text = one(compiled, f"clusters/{unit}/configmap.yaml")["data"]["inference_config.yaml"]
    flags: Body = yaml.safe_load(text)["vllm"]
    return flags


def test_a_pod_signs_in_as_its_service_account(fleet: Compiled) -> None:
    """Azure's webhook looks at the pod's label, then at the annotations of the account that the pod names."""
    account = one(fleet, "clusters/dev/blob-download/serviceaccount.yaml")["metadata"]
    pod = one(fleet, "clusters/dev/blob-download/workspace.yaml")["inference"]["template"]
    assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert pod["spec"]["serviceAccountName"] == account["name"]
    assert set(account["annotations"]) >= {"azure.workload.identity/client-id", "azure.workload.identity/tenant-id"}
    identities = fleet.catalog.clusters["dev"].value.spec.identities
    assert account["annotations"]["azure.workload.identity/client-id"] == identities["model-loader"]


def test_the_gateway_takes_the_models_prefix_away_and_leaves_a_host_of_its_own_alone(fleet: Compiled) -> None:
    (shared,) = one(fleet, "clusters/dev/phi-4-mini/httproute.yaml")["spec"]["rules"]
    assert shared["matches"] == [{"path": {"type": "PathPrefix", "value": "/phi-4-mini/v1"}}]
    (rewrite,) = shared["filters"]
    assert rewrite["urlRewrite"]["path"] == {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v1"}
    (own,) = one(fleet, "clusters/prod/phi-4-mini/httproute.yaml")["spec"]["rules"]
    assert own["matches"] == [{"path": {"type": "PathPrefix", "value": "/v1"}}]
    assert "filters" not in own


def test_only_a_models_application_takes_its_objects_with_it(fleet: Compiled) -> None:
    for cluster in fleet.catalog.clusters:
        for document in documents(fleet, f"clusters/{cluster}/gitops/"):
            if document.body["kind"] == "Application":
                unit = document.body["metadata"]["labels"]["kaitops.dev/unit"]
                platform = unit in PLATFORM
                assert ("finalizers" in document.body["metadata"]) is not platform, document.path


def test_namespaces_come_before_the_gateway_and_models_after_both(fleet: Compiled) -> None:
    def wave(unit: str) -> int:
        body = one(fleet, f"clusters/dev/gitops/application-{unit}.yaml")
        return int(body["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])

    assert wave("gitops") < wave("namespaces") < wave("gateway") < wave("phi-4-mini")


def test_a_namespace_goes_only_when_a_person_says_so(fleet: Compiled) -> None:
    for cluster in fleet.catalog.clusters:
        for document in documents(fleet, f"clusters/{cluster}/namespaces/"):
            if document.body["kind"] == "Namespace":
                options = document.body["metadata"]["annotations"]["argocd.argoproj.io/sync-options"]
                assert set(options.split(",")) == {"Prune=confirm", "Delete=confirm"}


def test_a_preset_runs_no_remote_code_unless_it_is_trusted_and_then_at_its_pin(workshop: Repository) -> None:
    pin = "c0fb9e74abda11b496b7907a9c6c9009a7a0488f"
    flags = inference_config(compile_catalog(workshop), "dev/phi-4-mini")
    assert (flags["revision"], flags["tokenizer-revision"]) == (pin, pin)
    assert flags["no-trust-remote-code"] is True
    assert "trust-remote-code" not in flags
    edit(workshop, "models/phi-4-mini.yaml", lambda spec: spec["serving"].update(trustRemoteCode=True))
    trusted = inference_config(compile_catalog(workshop), "dev/phi-4-mini")
    assert (trusted["trust-remote-code"], trusted["code-revision"]) == (True, pin)
    assert "no-trust-remote-code" not in trusted


def test_a_secret_is_filled_with_every_default_written_out(fleet: Compiled) -> None:
    """Argo CD compares the list as a whole: a default that the API server adds is a difference for ever."""
    (data,) = one(fleet, "clusters/prod/llama-3-1-8b/externalsecret.yaml")["spec"]["data"]
    assert data["secretKey"] == "HF_TOKEN"
    defaults = {key: value for key, value in data["remoteRef"].items() if key != "key"}
    assert defaults == {"conversionStrategy": "Default", "decodingStrategy": "None", "metadataPolicy": "None"}


def test_an_autoscaler_owns_the_number_of_replicas(workshop: Repository) -> None:
    scale = {"min": 2, "max": 4, "waitingRequests": 7}
    cluster = {"sku": "Standard_NC24ads_A100_v4", "autoscale": scale}
    edit(workshop, "models/phi-4.yaml", lambda spec: spec["clusters"].update(prod=cluster))
    body = one(compile_catalog(workshop), "clusters/prod/phi-4/inferenceset.yaml")
    assert "replicas" not in body["spec"]
    prefix = "scaledobject.kaito.sh/"
    asked = {key.removeprefix(prefix): value for key, value in body["metadata"]["annotations"].items() if prefix in key}
    (metric,) = yaml.safe_load(asked.pop("metrics"))
    assert asked == {"auto-provision": "true", "min-replicas": "2", "max-replicas": "4"}
    assert (metric["name"], metric["source"], metric["upthreshold"]) == ("vllm:num_requests_waiting", "modelpod", 7)


def test_a_wildcard_listener_covers_hosts_below_its_domain_alone() -> None:
    assert listens_for("*.models.example.com", "chat.models.example.com")
    assert listens_for("models.example.com", "models.example.com")
    assert not listens_for("*.models.example.com", "models.example.com")
    assert not listens_for("*.models.example.com", "othermodels.example.com")
