"""A large catalog of realistic shapes, so that the figures are those of a fleet and not of a toy.

Each model runs on both clusters. The shapes repeat in a fixed order; names, presets, contexts and thresholds vary.
The clusters are the committed ones, with room for the fleet.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from generator import yamlout
from generator.model import API_VERSION
from generator.repository import Repository

ROOT = Path(__file__).parents[2]
CLUSTERS = ("dev", "prod")
OWNERS = ("assistants", "chat", "platform", "research", "search")
GPU = "Standard_NC24ads_A100_v4"
CPU = "Standard_D16s_v5"
OPEN_PRESETS = (
    ("microsoft/Phi-4-mini-instruct", 65536),
    ("microsoft/Phi-3.5-mini-instruct", 32768),
    ("Qwen/Qwen2.5-Coder-7B-Instruct", 32768),
    ("mistralai/Mistral-7B-Instruct-v0.3", 16384),
    ("ibm-granite/granite-4.1-8b", 65536),
    ("google/gemma-3-4b-it", 65536),
)
GATED_PRESET = "meta-llama/Llama-3.1-8B-Instruct"

Spec = dict[str, Any]


def write_fleet(root: Path, count: int) -> Repository:
    """A repository below `root` with `count` models on two clusters, and nothing rendered yet."""
    for folder in ("catalog/facts", "clusters/base", "clusters/components", "policies"):
        shutil.copytree(ROOT / folder, root / folder)
    (root / "catalog" / "clusters").mkdir()
    (root / "catalog" / "models").mkdir()
    for name in CLUSTERS:
        committed = yaml.safe_load((ROOT / "catalog" / "clusters" / f"{name}.yaml").read_text("utf-8"))
        _write(root, "clusters", committed | {"spec": _with_room(committed["spec"])})
    for index in range(count):
        _write(root, "models", model(index))
    return Repository(root)


def _write(root: Path, folder: str, entry: Spec) -> None:
    path = root / "catalog" / folder / f"{entry['metadata']['name']}.yaml"
    path.write_text(yamlout.dump(entry), "utf-8")


def _with_room(spec: Spec) -> Spec:
    """The cluster, with a vault and a namespace for each owner.

    Karpenter provisions: AKS ends at 100 node pools, which a fleet of a pool per replica would exceed.
    """
    quota = {"gpus": 100_000, "persistentVolumeClaims": 10_000}
    others = {key: value for key, value in spec.items() if key != "reconciler"}
    return others | {
        "kaito": spec["kaito"] | {"provisioner": "karpenter"},
        "namespaces": {owner: {"owners": [owner], "costCenter": owner, "quota": quota} for owner in OWNERS},
        "secrets": {"external": {"name": "models-vault"}},
        "exceptions": {},
        "licenses": ["apache-2.0"],
        "skus": [CPU, GPU],
        "quota": {"gpus": {"A100": 100_000}, "nodePools": 100, "usdPerHour": 1_000_000.0},
    }


def model(index: int) -> Spec:
    """The entry number `index`."""
    shape = SHAPES[index % len(SHAPES)]
    name = f"{shape.__name__.strip('_').replace('_', '-')}-{index:04d}"
    head = {"owner": OWNERS[index % len(OWNERS)], "description": f"Model {index} of the fleet", "license": "apache-2.0"}
    return {
        "apiVersion": API_VERSION,
        "kind": "Model",
        "metadata": {"name": name},
        "spec": head | shape(index, name),
    }


def _on(sku: str, name: str, **prod: Any) -> Spec:
    return {"dev": {"sku": sku}, "prod": {"sku": sku, "host": f"{name}.models.example.com", **prod}}


def _preset(index: int, name: str) -> Spec:
    preset, limit = OPEN_PRESETS[index % len(OPEN_PRESETS)]
    token = {"secret": f"{name}-token", "vaultKey": f"hub-token-{name}"}
    return {
        "source": {"preset": {"name": preset, "revision": f"{index:040x}", "token": token}},
        "serving": {"context": min(limit, 4096 << index % 3), "maxConcurrency": 16 << index % 3},
        "slo": {"ttft": {"thresholdSeconds": 2.5}, "itl": {"thresholdSeconds": 0.05}, "availability": 0.995},
        "clusters": _on(GPU, name),
    }


def _chat(index: int, name: str) -> Spec:
    """An assistant that answers at length, restarted in place."""
    spec = _preset(index, name)
    spec["serving"] |= {"maxAnswerTokens": 2048, "performanceMode": "balanced"}
    return spec | {"rollout": "Recreate", "route": {"timeout": "300s"}}


def _coder(index: int, name: str) -> Spec:
    spec = _preset(index, name)
    spec["serving"] |= {"engine": {"enable-prefix-caching": True, "gpu-memory-utilization": 0.9}}
    return spec


def _replicated(index: int, name: str) -> Spec:
    return _preset(index, name) | {"clusters": _on(GPU, name, replicas=2 + index % 3)}


def _scaled(index: int, name: str) -> Spec:
    return _preset(index, name) | {"clusters": _on(GPU, name, autoscale={"min": 1, "max": 3})}


def _gated(index: int, name: str) -> Spec:
    spec = _preset(index, name)
    spec["source"]["preset"]["name"] = GATED_PRESET
    return spec


def _adapted(index: int, name: str) -> Spec:
    spec = _preset(index, name)
    image = f"registry.example.com/adapters/{name}@sha256:{'0' * 64}"
    spec["serving"] |= {"adapters": [{"name": "own-words", "image": image, "pullSecret": "registry-credentials"}]}
    return spec


def _small_on_cpu(index: int, name: str) -> Spec:
    token = {"secret": f"{name}-token", "vaultKey": f"hub-token-{name}"}
    return {
        "source": {"huggingFace": {"repo": "bigscience/bloomz-560m", "revision": f"{index:040x}", "token": token}},
        "serving": {
            "runtime": "transformers",
            "device": "cpu",
            "dtype": "float32",
            "env": {"OMP_NUM_THREADS": "4", "TOKENIZERS_PARALLELISM": "false"},
            "resources": {"requests": {"cpu": "2", "memory": "8Gi"}, "limits": {"cpu": "4", "memory": "16Gi"}},
        },
        "clusters": _on(CPU, name),
    }


def _volume(index: int, name: str) -> Spec:
    """Weights on a volume of the company's own, cut off from the internet."""
    claim = {"name": f"{name}-weights", "size": f"{50 + index % 4 * 50}Gi"}
    spec = _small_on_cpu(index, name)
    return spec | {"source": {"azureVolume": {"path": "/models/own", "claim": claim}}, "egress": "restricted"}


SHAPES: tuple[Callable[[int, str], Spec], ...] = (
    _preset, _chat, _coder, _preset, _small_on_cpu, _replicated, _gated, _scaled, _adapted, _volume,
)  # fmt: skip
"""Most of a fleet are presets; one model of ten each is something else."""
