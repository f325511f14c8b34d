"""The samples carry the values of the environment that they were asked for with: bloomz on CPU, and its variants."""

from typing import Any

import pytest
import yaml

from generator.compile import Compiled

Body = dict[str, Any]


def rendered(fleet: Compiled, path: str) -> Body:
    assert fleet.rendering is not None
    found: Body = yaml.safe_load(fleet.rendering.tree[path])
    return found


def pod_of(workspace: Body) -> tuple[Body, Body]:
    spec = workspace["inference"]["template"]["spec"]
    (container,) = spec["containers"]
    return spec, container


@pytest.fixture
def bloomz(fleet: Compiled) -> Body:
    return rendered(fleet, "clusters/dev/bloomz-560m/workspace.yaml")


def test_bloomz_is_a_workspace_of_the_seed_namespace_on_the_seed_size(bloomz: Body) -> None:
    assert bloomz["apiVersion"] == "kaito.sh/v1beta1"
    assert bloomz["kind"] == "Workspace"
    assert bloomz["metadata"]["namespace"] == "bloomz"
    assert bloomz["resource"]["instanceType"] == "Standard_D16s_v5"
    assert bloomz["resource"]["labelSelector"]["matchLabels"]["apps"] == "bloomz-560m"


def test_bloomz_starts_with_the_seed_command_and_then_our_pin(bloomz: Body) -> None:
    _, container = pod_of(bloomz)
    assert container["command"] == ["accelerate"]
    seed = (
        "launch --num_processes 1 --num_machines 1 tfs/inference_api.py --pipeline text-generation --trust_remote_code "
        "--allow_remote_files --pretrained_model_name_or_path bigscience/bloomz-560m --torch_dtype float32"
    )
    ours = "--revision a2845d7e13dd12efae154a9f1c63fcc2e0cc4b05"
    assert " ".join(container["args"]) == f"{seed} {ours}"


def test_bloomz_has_the_seed_environment_and_resources(bloomz: Body) -> None:
    _, container = pod_of(bloomz)
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    assert env["OMP_NUM_THREADS"] == "4"
    assert env["TOKENIZERS_PARALLELISM"] == "false"
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "8Gi"},
        "limits": {"cpu": "4", "memory": "16Gi"},
    }


@pytest.mark.parametrize(
    ("probe", "delay", "period"),
    [("livenessProbe", 300, 30), ("readinessProbe", 60, 10)],
    ids=["liveness", "readiness"],
)
def test_bloomz_has_the_seed_probes(bloomz: Body, probe: str, delay: int, period: int) -> None:
    _, container = pod_of(bloomz)
    assert container[probe] == {
        "httpGet": {"path": "/health", "port": 5000},
        "initialDelaySeconds": delay,
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": 3,
    }


def test_bloomz_has_the_seed_shared_memory(bloomz: Body) -> None:
    spec, container = pod_of(bloomz)
    assert {"name": "dshm", "mountPath": "/dev/shm"} in container["volumeMounts"]  # noqa: S108 - the seed's path
    assert {"name": "dshm", "emptyDir": {"medium": "Memory"}} in spec["volumes"]


def test_chat_reaches_bloomz_by_the_default_route_for_120_seconds(fleet: Compiled) -> None:
    route = rendered(fleet, "clusters/dev/bloomz-560m/httproute.yaml")
    (rule,) = route["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert rule["timeouts"] == {"request": "120s"}
    assert "filters" not in rule
    assert [(backend["name"], backend["port"]) for backend in rule["backendRefs"]] == [("bloomz-560m", 80)]
    assert "hostnames" not in route["spec"]
    service = rendered(fleet, "clusters/dev/bloomz-560m/service.yaml")
    assert [(port["port"], port["targetPort"]) for port in service["spec"]["ports"]] == [(80, 5000)]


def test_the_private_model_reads_its_token_from_the_seed_secret(fleet: Compiled) -> None:
    _, container = pod_of(rendered(fleet, "clusters/dev/private-hub-model/workspace.yaml"))
    token = next(entry for entry in container["env"] if entry["name"] == "HF_TOKEN")
    assert token["valueFrom"] == {"secretKeyRef": {"name": "hf-secret", "key": "token"}}


@pytest.mark.parametrize("name", ["files-volume", "blob-volume-inline", "blob-volume"])
def test_volumes_hold_the_seed_model_folder(fleet: Compiled, name: str) -> None:
    spec, container = pod_of(rendered(fleet, f"clusters/dev/{name}/workspace.yaml"))
    assert "/models/my-custom-model" in container["args"]
    assert {"name": "weights", "mountPath": "/models", "readOnly": True} in container["volumeMounts"]
    assert [volume["name"] for volume in spec["volumes"]].count("weights") == 1


def test_the_files_volume_is_the_seed_claim(fleet: Compiled) -> None:
    spec, _ = pod_of(rendered(fleet, "clusters/dev/files-volume/workspace.yaml"))
    weights = next(volume for volume in spec["volumes"] if volume["name"] == "weights")
    assert weights["persistentVolumeClaim"] == {"claimName": "model-pvc", "readOnly": True}


def test_the_inline_volume_is_the_blob_driver(fleet: Compiled) -> None:
    spec, _ = pod_of(rendered(fleet, "clusters/dev/blob-volume-inline/workspace.yaml"))
    weights = next(volume for volume in spec["volumes"] if volume["name"] == "weights")
    assert weights["csi"]["driver"] == "blob.csi.azure.com"


def test_the_download_runs_under_the_seed_service_account(fleet: Compiled) -> None:
    workspace = rendered(fleet, "clusters/dev/blob-download/workspace.yaml")
    spec, container = pod_of(workspace)
    assert spec["serviceAccountName"] == "kaito-model-loader"
    assert workspace["inference"]["template"]["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    (init,) = spec["initContainers"]
    assert init["image"] == container["image"]
    into = init["args"][init["args"].index("--into") + 1]
    assert into in container["args"]


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("azureml-registry", ["--registry", "example-registry"]),
        (
            "azureml-workspace",
            [
                *("--subscription", "00000000-0000-0000-0000-000000000000"),
                *("--resource-group", "ml", "--workspace", "example-workspace"),
            ],
        ),
    ],
)
def test_azure_ml_weights_are_fetched_before_the_start(fleet: Compiled, name: str, home: list[str]) -> None:
    spec, _ = pod_of(rendered(fleet, f"clusters/dev/{name}/workspace.yaml"))
    (init,) = spec["initContainers"]
    assert init["command"] == ["fetch-weights"]
    assert init["args"][: len(home) + 1] == ["azureml", *home]


def test_the_tuning_is_the_seed_run(fleet: Compiled) -> None:
    workspace = rendered(fleet, "clusters/dev/phi-3-dolly-tuning/workspace.yaml")
    tuning = workspace["tuning"]
    assert tuning["preset"] == {"name": "phi-3-mini-128k-instruct"}
    assert tuning["method"] == "qlora"
    folder = "https://huggingface.co/datasets/philschmid/dolly-15k-oai-style/resolve/main/data"
    assert tuning["input"]["urls"] == [f"{folder}/train-00000-of-00001-54e3756291ca09c6.parquet?download=true"]
    repository, _, tag = tuning["output"]["image"].partition(":")
    assert repository.endswith(".azurecr.io/adapters/phi-3-dolly")
    assert tag == "0.0.1-" + workspace["metadata"]["labels"]["kaitops.dev/revision"]
    assert tuning["output"]["imagePushSecret"] == "registry-credentials"


def test_the_tuning_has_the_seed_configuration(fleet: Compiled) -> None:
    config = rendered(fleet, "clusters/dev/phi-3-dolly-tuning/configmap.yaml")
    sections = yaml.safe_load(config["data"]["training_config.yaml"])["training_config"]
    assert sections["ModelConfig"] == {"torch_dtype": "bfloat16", "local_files_only": True, "device_map": "auto"}
    assert sections["QuantizationConfig"]["load_in_4bit"] is True
    assert sections["LoraConfig"] == {"r": 8, "lora_alpha": 8, "lora_dropout": 0.0}
    assert sections["TrainingArguments"]["output_dir"] == "/mnt/results"
    assert sections["TrainingArguments"]["per_device_train_batch_size"] == 1
    assert sections["DataCollator"] == {"mlm": True}
    assert sections["DatasetConfig"] == {"shuffle_dataset": True, "train_test_split": 1}


def test_the_adapter_has_the_seed_strength_under_transformers(fleet: Compiled) -> None:
    workspace = rendered(fleet, "clusters/dev/phi-3-adapter/workspace.yaml")
    (adapter,) = workspace["inference"]["adapters"]
    assert adapter["source"]["name"] == "phi-3-adapter"
    assert adapter["strength"] == "1.0"
    assert workspace["metadata"]["annotations"]["kaito.sh/runtime"] == "transformers"


def test_a_model_serves_the_output_of_a_tuning(fleet: Compiled) -> None:
    tuning = rendered(fleet, "clusters/dev/phi-3-dolly-tuning/workspace.yaml")
    (adapter,) = rendered(fleet, "clusters/dev/phi-3-dolly/workspace.yaml")["inference"]["adapters"]
    assert adapter["source"]["image"] == tuning["tuning"]["output"]["image"]
    assert "strength" not in adapter


def test_the_rag_engine_has_the_seed_embedding_and_a_model_of_the_catalog(fleet: Compiled) -> None:
    spec = rendered(fleet, "clusters/dev/handbook/ragengine.yaml")["spec"]
    assert spec["embedding"] == {"local": {"modelID": "BAAI/bge-small-en-v1.5"}}
    assert spec["inferenceService"] == {
        "url": "http://phi-4-mini.chat.svc.cluster.local/v1/chat/completions",
        "contextWindowSize": 4000,
    }
    assert "vectorDB" not in spec["storage"]


def test_the_gateway_has_the_seed_autoscaling_and_disruption_budget(fleet: Compiled) -> None:
    options = rendered(fleet, "clusters/dev/gateway/configmap.yaml")
    assert yaml.safe_load(options["data"]["horizontalPodAutoscaler"]) == {"spec": {"minReplicas": 2, "maxReplicas": 5}}
    assert yaml.safe_load(options["data"]["podDisruptionBudget"]) == {"spec": {"minAvailable": 1}}
