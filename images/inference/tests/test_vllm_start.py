"""KAITO's command line of the vLLM runtime, read without vLLM; and by vLLM's own parser where it is installed."""

import importlib.util
import logging
from pathlib import Path

import pytest

from inference.engine.vllm.flags import parse
from inference.errors import StartError
from tests import models

NEEDS_VLLM = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")


def test_kaitos_flags_are_ours_and_all_others_are_vllms(tmp_path: Path) -> None:
    config = tmp_path / "inference_config.yaml"
    config.write_text(
        "vllm:\n  max-model-len: 4096\n  enforce-eager: true\n  enable-log-requests: false\n  max-num-seqs: 9\n"
    )
    command = parse(
        ["--model", "org/name", "--max-model-len", "99", "--kaito-config-file", str(config), "--max-num-seqs", "64",
         "--kaito-adapters-dir", "/a", "--kaito-max-probe-steps", "6", "--kaito-disable-rate-limit", "--strict"],
        "1",
    )  # fmt: skip
    assert command.front.port == 5001
    assert command.front.limits.running == 9
    assert command.front.limits.queued > 100_000
    assert command.adapters_dir == Path("/a")
    assert command.strict
    rest = list(command.arguments)
    assert rest[:2] == ["--model", "org/name"]
    # What vLLM's parser reads last, wins.
    assert rest.index("4096") > rest.index("99")
    assert {"--enforce_eager", "--no_enable_log_requests"} <= set(rest)
    assert rest[rest.index("--max_num_seqs") + 1] == "9"


@pytest.mark.parametrize("content", ["vllm: 3", "[]", "vllm:\n  a: [1]", "{", "\x00"])
def test_a_wrong_config_is_named_in_one_line(content: str, tmp_path: Path) -> None:
    config = tmp_path / "inference_config.yaml"
    config.write_text(content)
    with pytest.raises(StartError, match=r"inference_config\.yaml") as caught:
        parse(["--kaito-config-file", str(config)])
    assert "\n" not in str(caught.value)


def test_a_missing_config_is_named() -> None:
    with pytest.raises(StartError, match="/nowhere"):
        parse(["--kaito-config-file", "/nowhere"])


@NEEDS_VLLM
@pytest.mark.slow
def test_vllms_own_parser_reads_the_rest(llama_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from inference.engine.vllm.start import engine_arguments, with_adapters

    def read(*arguments: str) -> object:
        return engine_arguments(parse(["--model", str(llama_folder), *arguments]))

    found = engine_arguments(parse(["--model", str(llama_folder), "--max-model-len", "128", "-tp", "2"]))
    assert (found.max_model_len, found.tensor_parallel_size, found.load_format) == (128, 2, "safetensors")
    assert found.served_model_name == ["llama"]
    with caplog.at_level(logging.WARNING):
        read("--root-path", "/x")
    assert "--root_path" in caplog.text
    wrong = {
        ("--root-path", "/x", "--strict"): "root_path",
        ("--api-key", "secret"): "api_key_file",
        ("--max-model-len", "many"): "max-model-len",
        ("--no-such-flag", "1"): "no.such.flag",
        ("--model", "/nowhere"): "/nowhere",
        ("--model", "org/name", "--trust-remote-code", "--revision", "main"): "pin a commit",
    }
    for arguments, named in wrong.items():
        with pytest.raises(StartError, match=named):
            read(*arguments)
    models.adapter(tmp_path / "dolly", llama_folder, 1)
    command = parse(["--model", str(llama_folder), "--kaito-adapters-dir", str(tmp_path)])
    requests = with_adapters(found, command, {})
    assert requests["dolly"].lora_path == str(tmp_path / "dolly")
    assert (found.enable_lora, found.max_lora_rank) == (True, 8)
    with pytest.raises(StartError, match="strength"):
        with_adapters(found, command, {"dolly": "0.5"})
