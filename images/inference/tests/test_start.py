"""Everything that is settled before the model is loaded: flags, launcher, threads, the model's folder."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig

from inference import caches
from inference.engine import adapter_folders as adapters
from inference.engine.model_folder import check_folder, trust
from inference.engine.transformers import load
from inference.errors import CANNOT_HEAL, StartError
from inference.flags import parse
from inference.launcher import single_script
from inference.settings import ModelSettings
from inference.threads import memory_limit, threads_to_use, usable_cpus
from inference.transformers_server import names
from tests import models

REVISION = "a2845d7e13dd12efae154a9f1c63fcc2e0cc4b05"
SEED = [
    *("--pipeline", "text-generation", "--trust_remote_code", "--allow_remote_files"),
    *("--pretrained_model_name_or_path", "bigscience/bloomz-560m", "--torch_dtype", "float32", "--revision", REVISION),
]


def test_the_seeds_flags_mean_what_they_say() -> None:
    command = parse(SEED)
    assert command.front.port == 5000
    assert command.front.pipeline == "text-generation"
    model = command.model
    assert (model.source, model.dtype) == ("bigscience/bloomz-560m", "float32")
    assert model.trust_remote_code
    assert model.allow_remote_files
    assert names(model) == ("bigscience/bloomz-560m",)


def test_every_flag_of_kaito_is_known(caplog: pytest.LogCaptureFixture) -> None:
    more = ["--combination-type", "svd", "--cache_dir", "/x", "--device_map=auto", "--chat_template", "{{ messages }}",
            "--load_in_4bit", "True", "--load_in_8bit", "False", "--served_model_name", "a", "b",
            "--adapters_dir", "/y",
            "--state_dict", "None", "--force_download", "--resume_download", "False", "--proxies", "x", "--strict",
            "--output_loading_info", "--mirror", "m"]  # fmt: skip
    model = parse([*SEED, *more], "2").model
    assert model.quantization == "4bit"
    assert names(model) == ("a", "b")
    assert parse([*SEED, *more], "2").front.port == 5002
    assert "`--proxies` has no effect" in caplog.text


def test_an_unknown_flag_is_warned_about_and_refused_when_strict(caplog: pytest.LogCaptureFixture) -> None:
    parse([*SEED, "--torch_dtpye", "float16"])
    assert "`--torch_dtpye`" in caplog.text
    with pytest.raises(StartError, match="torch_dtpye"):
        parse([*SEED, "--torch_dtpye", "float16", "--strict"])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--pipeline", "text2text-generation"], "T5"),
        (["--pipeline", "fill-mask"], "BERT"),
        (["--pipeline", "x"], "pipeline"),
        (["--torch_dtype", "float31"], "torch_dtype"),
        (["--from_tf"], "safetensors"),
        (["--load_in_4bit", "--load_in_8bit"], "exclude"),
        (["--load_in_4bit", "perhaps"], "load_in_4bit"),
        (["--max_running", "0"], "max_running"),
        (["--max_running", "-3"], "max_running"),
        (["--request_timeout", "soon"], "request_timeout"),
        (["--combination_type", "sum"], "combination_type"),
        (["--port", "99999999999999999999"], "port"),
        (["--pretrained_model_name_or_path", "/nowhere"], "/nowhere"),
        (["--revision"], "revision"),
    ],
)
def test_a_wrong_flag_is_named_in_one_line(wrong: list[str], named: str) -> None:
    with pytest.raises(StartError, match=named) as caught:
        parse([*SEED, *wrong])
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_launch_of_one_process_becomes_the_script() -> None:
    script = ["tfs/inference_api.py", "--pipeline", "text-generation"]
    seed = ["launch", "--num_processes", "1", "--num_machines", "1"]
    for more in ([], ["--machine_rank", "0", "--gpu_ids", "all"], ["--num-cpu-threads-per-process=4", "--cpu"]):
        found = single_script([*seed, *more, *script])
        assert found is not None
        assert found[1] == script
    for arguments in (
        ["env"],
        ["launch", "--num_processes", "2", *script],
        ["launch", *script],
        [*seed, "--multi_gpu"],
    ):
        assert single_script(arguments) is None


def test_threads_follow_the_container_and_not_accelerates_default(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "memory.max").write_text("1073741824\n")
    assert usable_cpus(tmp_path, affinity=64) == 2
    assert usable_cpus(tmp_path, affinity=1) == 1
    assert memory_limit(tmp_path) == 1 << 30
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_cpus(tmp_path, affinity=8) == 8
    assert threads_to_use({"OMP_NUM_THREADS": "1", "ACCELERATE_MIXED_PRECISION": "no"}, 8) == 8
    assert threads_to_use({"OMP_NUM_THREADS": "1"}, 8) == 1
    assert threads_to_use({"OMP_NUM_THREADS": "4"}, 2) == 2
    assert threads_to_use({"OMP_NUM_THREADS": "x"}, 3) == 3


def test_caches_that_cannot_be_made_go_to_the_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below a file nothing can be made, not even by root."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    wanted = {"HF_HOME": str(tmp_path / "file" / "hf"), "XDG_CACHE_HOME": str(tmp_path / "made"), "PATH": "/nowhere"}
    assert caches.moved(wanted) == {"HF_HOME": str(tmp_path / "cache" / "hf_home")}
    assert caches.moved({"XDG_CACHE_HOME": str(tmp_path / "made")}) == {}

    def none() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(StartError, match="emptyDir"):
        caches.moved(wanted)


def cut_off(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def outside(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../other.safetensors"}}))


def linked(folder: Path) -> None:
    target = folder.parent / "elsewhere.safetensors"
    (folder / "model.safetensors").rename(target)
    (folder / "model.safetensors").symlink_to(target)


def recommends(**settings: object) -> Callable[[Path], object]:
    return lambda folder: (folder / "generation_config.json").write_text(json.dumps(settings))


def configures(**settings: object) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | settings))

    return spoil


SPOILT: list[tuple[Callable[[Path], object], str]] = [
    (cut_off, "cut off"),
    (pickled, "pickled"),
    (outside, "outside"),
    (linked, "lead out"),
    (lambda folder: (folder / "config.json").unlink(), "config.json"),
    (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
    (lambda folder: (folder / "config.json").write_text("[]"), "no model configuration"),
    (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer"),
    (lambda folder: (folder / "model.safetensors").unlink(), "no weights"),
    (lambda folder: (folder / "model.safetensors").write_bytes(b""), "cut off"),
    (lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 100), "cut off"),
    (lambda folder: (folder / "model.safetensors.index.json").write_text("[]"), "names no weights"),
    (lambda folder: (folder / "model.safetensors.index.json").write_text('{"weight_map": [1]}'), "names no weights"),
    (lambda folder: (folder / "generation_config.json").write_text("{"), "generation_config.json"),
    (lambda folder: (folder / "generation_config.json").write_text("[]"), "no mapping"),
    (recommends(temperature=-1), "temperature"),
    (recommends(top_p="much"), "top_p"),
    (recommends(eos_token_id=[1, "x"]), "no token"),
]


@pytest.mark.parametrize(("spoil", "named"), SPOILT)
def test_a_spoilt_folder_is_refused(
    spoil: Callable[[Path], object], named: str, llama_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in llama_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    check_folder(folder)
    spoil(folder)
    with pytest.raises(StartError, match=named):
        check_folder(folder)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (configures(num_hidden_layers=4), "`model.layers.3.input_layernorm.weight` is missing"),
        (configures(hidden_size=256), "is 512x128 and not 512x256"),
    ],
)
def test_weights_that_are_not_those_of_the_configuration_are_never_made_up(
    spoil: Callable[[Path], object], named: str, llama_folder: Path, tmp_path: Path
) -> None:
    """What is missing would be filled by chance, and the answers be nonsense."""
    folder = shutil.copytree(llama_folder, tmp_path / "model")
    spoil(folder)
    with pytest.raises(StartError, match=named) as caught:
        load.load(ModelSettings(str(folder)))
    assert caught.value.exit_code == CANNOT_HEAL


def test_weights_that_nothing_uses_are_said(
    llama_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(llama_folder, tmp_path / "model")
    configures(num_hidden_layers=2)(folder)
    load.load(ModelSettings(str(folder)))
    assert "model.layers.2.input_layernorm.weight" in caplog.text


def test_remote_code_needs_a_pin_and_is_not_run_where_it_is_not_needed() -> None:
    def settings(*, revision: str | None = None, trusted: bool = True) -> ModelSettings:
        return ModelSettings("org/name", revision=revision, trust_remote_code=trusted)

    allowed, warning = trust(settings(), needs_code=False, known=True)
    assert not allowed
    assert "not needed" in warning
    with pytest.raises(StartError, match="pin a commit"):
        trust(settings(revision="main"), needs_code=True, known=False)
    with pytest.raises(StartError, match="trust_remote_code"):
        trust(settings(trusted=False), needs_code=True, known=False)
    allowed, warning = trust(settings(revision="a" * 40), needs_code=True, known=False)
    assert allowed
    assert "runs in this process" in warning


def test_a_model_that_is_no_language_model_is_refused(tmp_path: Path) -> None:
    from transformers import T5Config

    T5Config(vocab_size=100).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(StartError, match="no decoder-only"):
        load.load(ModelSettings(str(tmp_path)))


def test_half_precision_is_only_chosen_where_the_processor_calculates_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    config = models.llama(dtype=torch.bfloat16)
    for able in (True, False):
        monkeypatch.setattr(load, "calculates_bfloat16", lambda able=able: able)
        assert load.pick_dtype("auto", config) is (torch.bfloat16 if able else torch.float32)
        assert load.pick_dtype("bfloat16", config) is torch.bfloat16


def test_adapter_folders_and_strengths_are_checked(tmp_path: Path) -> None:
    assert adapters.find(tmp_path / "none", {}) == []
    folder = tmp_path / "dolly"
    folder.mkdir()
    with pytest.raises(StartError, match=r"adapter_config\.json"):
        adapters.find(tmp_path, {})
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(StartError, match="pickled"):
        adapters.find(tmp_path, {})
    (folder / "adapter_model.safetensors").write_text("")
    assert adapters.find(tmp_path, {"dolly": "0.5"})[0].strength == 0.5
    assert adapters.find(tmp_path, {})[0].strength == 1.0
    for wrong in ("1.5", "-1", "much", "nan"):
        with pytest.raises(StartError, match="strength"):
            adapters.find(tmp_path, {"dolly": wrong})


def test_recommendations_that_no_request_gets_by_itself_are_named(caplog: pytest.LogCaptureFixture) -> None:
    neutral = GenerationConfig(num_beams=1, min_length=0, no_repeat_ngram_size=0, top_k=7, do_sample=True)
    assert load._sampling_defaults(neutral)["top_k"] == 7
    assert caplog.text == ""
    load._sampling_defaults(GenerationConfig(no_repeat_ngram_size=3, bad_words_ids=[[5]]))
    assert "`bad_words_ids`, `no_repeat_ngram_size`" in caplog.text
