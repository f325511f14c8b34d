"""Is an entry's `architecture` and `serving` read as what it asks of a GPU or a node?"""

from typing import Any

import pytest

from generator.assess import Assessor
from generator.fit.entry import demand_of, written_shape
from generator.fit.shape import Cache, UnknownShapeError
from generator.model import Cluster, Model
from generator.model.architecture import Architecture

from .known import A100, CPU, FACTS, KAITO, SKUS

ASSESSOR = Assessor(KAITO, SKUS, FACTS)
PLAIN = {"weightsGiB": 16.0, "layers": 32, "attentionHeads": 32, "kvHeads": 8, "headDim": 128, "tokenLimit": 131072}
SPEC: dict[str, Any] = {
    "owner": "chat", "license": "mit", "source": {"preset": {"name": "acme/own"}},
    "clusters": {"dev": {"sku": A100.name}},
}  # fmt: skip


def written(**fields: Any) -> Architecture:
    return Architecture.model_validate(PLAIN | fields)


def model(**fields: Any) -> Model:
    head = {"apiVersion": "catalog.kaitops.dev/v1", "kind": "Model", "metadata": {"name": "own"}}
    return Model.model_validate(head | {"spec": SPEC | fields})


def test_without_groups_every_layer_is_full_attention() -> None:
    assert written_shape(written()).cache == (Cache(kind="full", layers=32, width=2048, shards=8),)


def test_groups_take_heads_of_the_model_where_they_have_none() -> None:
    groups = [
        {"kind": "sliding", "layers": 24, "window": 1024},
        {"kind": "full", "layers": 4, "kvHeads": 2, "headDim": 512},
        {"kind": "state", "layers": 4, "stateBytes": 1000},
    ]
    assert written_shape(written(cache=groups)).cache == (
        Cache(kind="sliding", layers=24, width=2048, shards=8, window=1024),
        Cache(kind="full", layers=4, width=2048, shards=2),
        Cache(kind="state", layers=4, state_bytes=1000),
    )


def test_kaito_counts_a_latent_vector_where_one_is_written() -> None:
    shape = written_shape(written(layers=61, cache=[{"kind": "latent", "layers": 61, "width": 576}]))
    assert shape.kaito_bytes_per_token == 70272


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ({"kind": "sliding", "layers": 2}, "needs `window` where `kind` is `sliding`"),
        ({"kind": "latent", "layers": 2}, "needs `width`"),
        ({"kind": "state", "layers": 2}, "needs `stateBytes`"),
        ({"kind": "full", "layers": 2, "window": 5}, "has `window`, which layers of kind `full` do not have"),
    ],
)
def test_a_group_says_what_its_kind_needs(group: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        written(cache=[group])


def test_the_demand_of_a_full_serving_section() -> None:
    flags = {
        "gpu-memory-utilization": 0.9, "max_num_batched_tokens": 4096, "tensor-parallel-size": 2,
        "kv-cache-dtype": "fp8_e4m3", "max-lora-rank": 64, "cpu-offload-gb": 3,
    }  # fmt: skip
    adapter = {"name": "one", "image": "registry.example.com/a/b@sha256:" + "0" * 64}
    serving = {"context": 8192, "maxConcurrency": 12, "engine": flags, "adapters": [adapter], "quantization": "4bit"}
    spec = model(serving=serving).spec
    demand = demand_of(spec, spec.clusters["dev"], 2048)
    assert (demand.server, demand.context, demand.max_sequences) == ("preset", 8192, 12)
    assert (demand.utilization, demand.batched_tokens, demand.tensor) == (0.9, 4096, 2)
    assert (demand.kv_bytes, demand.lora_rank, demand.offload_gib, demand.adapters) == (1.0, 64, 3.0, 1)
    assert demand.quantization == "4bit"


def test_a_cluster_s_context_wins_and_without_any_the_floor_holds() -> None:
    spec = model(clusters={"dev": {"sku": A100.name, "context": 4096}}, serving={"context": 8192}).spec
    assert demand_of(spec, spec.clusters["dev"], 2048).context == 4096
    spec = model().spec
    assert demand_of(spec, spec.clusters["dev"], 2048).context == 2048


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ({"speculative-config": "{}"}, "the engine flag `speculative-config` changes what it takes"),
        ({"pipeline_parallel_size": 2}, "the engine flag `pipeline-parallel-size` changes what it takes"),
        ({"kv-cache-dtype": "int3"}, "the cache's type `int3` is none whose size we know"),
    ],
)
def test_flags_that_we_do_not_count_end_in_cannot_tell(flags: dict[str, Any], why: str) -> None:
    spec = model(serving={"engine": flags}).spec
    with pytest.raises(UnknownShapeError, match=why):
        demand_of(spec, spec.clusters["dev"], 2048)


def cluster() -> Cluster:
    import yaml  # noqa: PLC0415 - one test data file

    from .known import FOLDER  # noqa: PLC0415 - same

    return Cluster.model_validate(yaml.safe_load((FOLDER.parent / "clusters" / "dev.yaml").read_text("utf-8")))


def test_a_model_on_a_cpu_counts_its_pod_s_memory() -> None:
    resources = {"requests": {"memory": "8Gi"}, "limits": {"memory": "16Gi"}}
    serving = {"runtime": "transformers", "device": "cpu", "dtype": "float32", "resources": resources}
    source = {"huggingFace": {"repo": "acme/own", "revision": "1" * 40}}
    small = model(
        architecture=PLAIN | {"weightsGiB": 2.0}, serving=serving, source=source, clusters={"dev": {"sku": CPU.name}}
    )
    fit = ASSESSOR.model(small.spec, cluster().spec, "dev", CPU)
    assert fit.available_gib == 16
    assert fit.parts.weights == 4.0, "2 GiB in 16 bits are 4 in 32"
    assert fit.parts.cache == 0.5, "2,048 tokens of 256 KiB in 32 bits"
    assert fit.fits
    assert fit.usd_per_hour is None
    large = model(architecture=PLAIN, serving=serving, source=source, clusters={"dev": {"sku": CPU.name}})
    (reason,) = ASSESSOR.model(large.spec, cluster().spec, "dev", CPU).reasons
    assert reason.startswith("the pod lacks ")


def test_a_pod_cannot_be_larger_than_its_node() -> None:
    serving = {
        "runtime": "transformers", "device": "cpu",
        "resources": {"requests": {"memory": "8Gi"}, "limits": {"memory": "100Gi"}},
    }  # fmt: skip
    spec = model(architecture=PLAIN | {"weightsGiB": 1.0}, serving=serving, clusters={"dev": {"sku": CPU.name}}).spec
    (reason,) = ASSESSOR.model(spec, cluster().spec, "dev", CPU).reasons
    assert reason == "the pod's memory of 100.0 GiB is more than the node's 64 GiB"


def test_an_unknown_preset_ends_in_cannot_tell() -> None:
    with pytest.raises(UnknownShapeError, match="`acme/own` is no preset of KAITO that the facts know"):
        ASSESSOR.model(model().spec, cluster().spec, "dev", A100)
