"""Does `kaitops fit` answer about models in and outside the catalog, with exit codes that say what it found?"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from generator.cli import main
from generator.facts import load_kaito_facts
from generator.repository import Repository

ROOT = Path(__file__).parents[2]
A100 = "Standard_NC24ads_A100_v4"
LLAMA = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336,
    "max_position_embeddings": 131072, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "torch_dtype": "bfloat16", "vocab_size": 128256,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


Kaitops = Callable[..., Result]


@pytest.fixture
def kaitops(capsys: pytest.CaptureFixture[str]) -> Kaitops:
    def run(*words: str | Path, root: Path = ROOT) -> Result:
        with pytest.raises(SystemExit) as stop:
            main(["-C", str(root), *map(str, words)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(stop.value.code if isinstance(stop.value.code, int) else -1, captured.out, captured.err)

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA), "utf-8")
    return path


def test_a_preset_on_one_size(kaitops: Kaitops) -> None:
    result = kaitops("fit", "--preset", "phi-4", "--sku", A100, "--context", "16384", "-o", "json")
    assert result.code == 0
    data = result.data
    assert (data["fits"], data["nodes"], data["kaitoNodes"], data["reasons"]) == (True, 1, 1, [])
    assert data["maxContext"] == 16384
    assert data["headroomGiB"] == pytest.approx(33.54)
    assert (data["usdPerHour"], data["priceRegion"], data["priceDate"]) == (3.673, "eastus", "2026-06-18")


def test_what_does_not_fit_is_exit_1_with_reasons(kaitops: Kaitops) -> None:
    result = kaitops(
        "fit", "--preset", "phi-4", "--sku", "Standard_NV36ads_A10_v5", "--context", "131072", "-o", "json"
    )
    assert result.code == 1
    assert result.data["fits"] is False
    assert result.data["reasons"][0] == "131,072 tokens are more than the model's limit of 16,384"


def test_every_preset_carries_kaito_s_own_number(kaitops: Kaitops) -> None:
    """Also those whose layers nobody has read: there our verdict is null, and the exit code 2."""
    for name in load_kaito_facts(ROOT / "catalog" / "facts" / "kaito.yaml").presets:
        result = kaitops("fit", "--preset", name, "--sku", "Standard_ND96isr_H200_v5", "-o", "json")
        assert result.data["kaitoNodes"] == 1, name
        assert result.code == (2 if result.data["fits"] is None else int(not result.data["fits"]))


def test_a_config_with_its_weights_or_their_index(kaitops: Kaitops, config: Path, tmp_path: Path) -> None:
    given = kaitops("fit", "--config", config, "--weights-gib", "14.96", "--sku", A100, "-o", "json")
    preset = kaitops("fit", "--preset", "llama-3.1-8b-instruct", "--sku", A100, "-o", "json")
    assert given.code == preset.code == 0
    assert given.data["kaitoNodes"] == preset.data["kaitoNodes"]
    assert given.data["perGPU"]["weightsGiB"] == preset.data["perGPU"]["weightsGiB"]
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": int(14.96 * (1 << 30))}, "weight_map": {}}), "utf-8")
    summed = kaitops("fit", "--config", config, "--index", index, "--sku", A100, "-o", "json")
    assert summed.data == given.data | {"headroomGiB": summed.data["headroomGiB"]}


@pytest.mark.parametrize("metadata", [None, {}, {"total_size": 0}, {"total_size": True}, {"total_size": "9"}])
def test_an_index_without_a_size(kaitops: Kaitops, config: Path, tmp_path: Path, metadata: object) -> None:
    index = tmp_path / "index.json"
    index.write_text(json.dumps({"metadata": metadata}), "utf-8")
    result = kaitops("fit", "--config", config, "--index", index, "--sku", A100)
    assert result.code == 2
    assert "has no `metadata.total_size`" in result.err


def test_an_output_that_is_tied_to_the_embedding_counts_once(kaitops: Kaitops, config: Path, tmp_path: Path) -> None:
    config.write_text(json.dumps(LLAMA | {"tie_word_embeddings": True}), "utf-8")
    index = tmp_path / "index.json"
    written = {"metadata": {"total_size": 10 << 30}, "weight_map": {"lm_head.weight": "model-00001.safetensors"}}
    index.write_text(json.dumps(written), "utf-8")
    result = kaitops("fit", "--config", config, "--index", index, "--sku", A100, "-o", "json")
    embedding = 128256 * 4096 * 2 / (1 << 30)
    assert result.data["perGPU"]["weightsGiB"] == pytest.approx(1.02 * (10 - embedding), abs=0.01)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is no JSON, line 1"),
        ("[]", "holds no JSON object"),
        (json.dumps({"architectures": ["NovelForCausalLM"]}), "cannot tell"),
        (json.dumps(LLAMA | {"num_hidden_layers": None}), "it lacks `num_hidden_layers`"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_a_config_that_says_too_little(kaitops: Kaitops, config: Path, text: str, complaint: str) -> None:
    config.write_text(text, "utf-8")
    result = kaitops("fit", "--config", config, "--weights-gib", "10", "--sku", A100)
    assert result.code == 2
    assert complaint in result.out + result.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "name one model"),
        (("phi-4", "--preset", "phi-4"), "name one model"),
        (("--preset", "phi-4", "--weights-gib", "3"), "belong to `--config`"),
        (("--config", "missing.json", "--weights-gib", "3"), "cannot read `missing.json`"),
        (("--preset", "phi-4", "--sku", "Standard_NC24ads_A100_v5"), "did you mean `Standard_NC24ads_A100_v4`"),
        (("--preset", "phi-4", "--sku", "Standard_NC6s_v3"), "use `Standard_NC24ads_A100_v4`"),
        (("--preset", "falcon-7b", "--sku", A100), "KAITO has no preset `falcon-7b` any more"),
        (("--preset", "ph-4", "--sku", A100), "did you mean `phi-4`"),
        (("--preset", "phi-4", "--cluster", "pord"), "did you mean `prod`"),
        (("phi-44",), "did you mean `phi-4`"),
        (("phi-4", "--region", "eastus"), "a model's clusters have a region"),
    ],
)
def test_mistakes_at_the_prompt(kaitops: Kaitops, words: tuple[str, ...], complaint: str) -> None:
    result = kaitops("fit", *words)
    assert result.code == 2
    assert complaint in result.err
    assert result.out == ""


@pytest.mark.parametrize("weights", ["0", "-3", "nan", "inf", "1e300"])
def test_weights_must_weigh_something(kaitops: Kaitops, config: Path, weights: str) -> None:
    result = kaitops("fit", "--config", config, "--weights-gib", weights, "--sku", A100)
    assert result.code == 2
    assert "must be more than 0 and less than a petabyte" in result.err


def test_a_config_needs_its_weights_once(kaitops: Kaitops, config: Path) -> None:
    for words in ((), ("--weights-gib", "3", "--index", "index.json")):
        result = kaitops("fit", "--config", config, *words)
        assert result.code == 2
        assert "needs one of `--weights-gib X` and `--index FILE`" in result.err


def test_a_model_of_the_catalog_on_every_size_that_its_cluster_allows(kaitops: Kaitops) -> None:
    result = kaitops("fit", "phi-4")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "phi-4 on prod: 16,384 tokens of context"
    assert lines[2].split() == ["*", A100, "1", "1", "yes", "33.6", "GiB", "16,384", "11", "3.67"]
    allowed = yaml.safe_load((ROOT / "catalog/clusters/prod.yaml").read_text("utf-8"))["spec"]["skus"]
    assert [line.lstrip("* ").split()[0] for line in lines[2:5]] == allowed[1:], "a GPU model runs on no CPU size"
    assert lines[-1] == "USD/H: list price of 2026-06-18 in eastus"


def test_a_price_that_is_not_known_is_called_so(kaitops: Kaitops) -> None:
    result = kaitops("fit", "bloomz-560m", "--cluster", "dev")
    assert result.code == 0
    assert "unknown" in result.out
    assert kaitops("fit", "bloomz-560m", "--cluster", "dev", "-o", "json").data[0]["usdPerHour"] is None
    elsewhere = kaitops("fit", "--preset", "phi-4", "--sku", A100, "--region", "mars", "-o", "json")
    assert elsewhere.data["usdPerHour"] is None


def test_more_than_its_size_holds_is_exit_1(kaitops: Kaitops) -> None:
    assert kaitops("fit", "phi-4", "--concurrency", "11").code == 0
    result = kaitops("fit", "phi-4", "--concurrency", "12")
    assert result.code == 1
    assert f"  {A100}: on one node a GPU lacks " in result.out


def test_a_reason_that_sizes_share_is_said_once(kaitops: Kaitops) -> None:
    result = kaitops("fit", "phi-4", "--context", "20000")
    assert result.code == 1
    assert result.out.count("20,000 tokens are more than the model's limit of 16,384") == 1


def test_a_tuning(kaitops: Kaitops) -> None:
    result = kaitops("fit", "phi-3-dolly-tuning", "--sku", A100)
    assert result.code == 0
    assert "fits on one node" in result.out
    assert "adapter " in result.out


def test_a_model_that_says_nothing_of_itself(kaitops: Kaitops) -> None:
    result = kaitops("fit", "blob-download")
    assert result.code == 2
    assert "cannot tell whether it fits: a source of kind `azureBlob` does not say what the model is" in result.out


def test_a_broken_entry_is_refused_with_its_findings(kaitops: Kaitops, workshop: Repository) -> None:
    path = workshop.root / "catalog" / "models" / "phi-4.yaml"
    path.write_text(path.read_text("utf-8").replace("serving:", "servng:"), "utf-8")
    result = kaitops("fit", "phi-4", root=workshop.root)
    assert result.code == 1
    assert "unknown field `servng`" in result.err


def test_all_sizes_by_default(kaitops: Kaitops) -> None:
    result = kaitops("fit", "--preset", "Qwen/Qwen3.6-27B", "-o", "json")
    assert result.code == 0
    assert len(result.data) == 12
    assert {record["sku"] for record in result.data if not record["fits"]} == set()
