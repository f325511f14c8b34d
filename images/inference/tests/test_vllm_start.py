"""KAITO's command line of the vLLM runtime, read without vLLM; and by vLLM's own parser where it is installed."""

import importlib.util
import logging
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inference.engine.protocol import Sampling
from inference.engine.vllm.flags import parse
from inference.errors import CANNOT_HEAL, StartError
from inference.threads import cache_budget
from tests import models
from tests.servers import START, command, free_port, vllm_missing
from tests.test_operations import eventually

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


def test_what_kaitos_config_says_beside_vllms_flags_is_not_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tmp_path / "inference_config.yaml"
    config.write_text("max_probe_steps: 6\nkv_cache_cpu_memory_utilization: 0.5\nvlm: {max-model-len: 4096}\n")
    parse(["--kaito-config-file", str(config)])
    for named in ("kaito_max_probe_steps", "--kv-offloading-size", "`vlm`"):
        assert named in caplog.text
    with pytest.raises(StartError, match="`vlm`"):
        parse(["--kaito-config-file", str(config), "--strict"])
    caplog.clear()
    config.write_text("kv_cache_cpu_memory_utilization: 0\n")
    parse(["--kaito-config-file", str(config)])
    config.write_text("kv_cache_cpu_memory_utilization: 0.5\n")
    parse(["--kaito-config-file", str(config), "--kaito-kv-cache-cpu-memory-utilization", "0"])
    assert not caplog.text


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
def test_vllms_own_parser_reads_the_rest(llama_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    from inference.engine.vllm.start import engine_arguments

    def read(*arguments: str) -> Any:
        return engine_arguments(parse(["--model", str(llama_folder), *arguments]))[0]

    found = read("--max-model-len", "128", "-tp", "2")
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
        ("--lora-modules", "{"): "lora.modules",
    }
    for arguments, named in wrong.items():
        with pytest.raises(StartError, match=named):
            read(*arguments)


@NEEDS_VLLM
@pytest.mark.slow
@pytest.mark.skipif(bool(vllm_missing()), reason=vllm_missing())
def test_adapters_come_from_kaitos_folder_or_from_the_flag(llama_folder: Path, tmp_path: Path) -> None:
    from inference.engine.vllm.adapters import with_adapters
    from inference.engine.vllm.start import engine_arguments

    for seed, name in enumerate(("dolly", "poet")):
        models.adapter(tmp_path / name, llama_folder, seed)

    def read(*more: str, **environ: str) -> tuple[Any, dict[str, str]]:
        command = parse(["--model", str(llama_folder), "--kaito-adapters-dir", str(tmp_path), *more])
        arguments, modules = engine_arguments(command)
        requests = with_adapters(arguments, modules, command, environ)
        return arguments, {name: request.lora_path for name, request in requests.items()}

    arguments, found = read()
    assert found == {name: str(tmp_path / name) for name in ("dolly", "poet")}
    assert (arguments.enable_lora, arguments.max_lora_rank) == (True, 8)
    # A slot more than adapters, which stays empty for requests without one.
    assert (arguments.max_loras, arguments.max_cpu_loras) == (3, 3)
    arguments, found = read("--max-loras", "1", "--max-lora-rank", "64")
    assert (arguments.max_loras, arguments.max_lora_rank) == (3, 64)
    dolly = str(tmp_path / "dolly")
    _, found = read("--lora-modules", f"mine={dolly}", f'{{"name": "other", "path": "{tmp_path / "poet"}"}}')
    assert found == {"mine": dolly, "other": str(tmp_path / "poet")}
    wrong = {
        "a=/nowhere": "does not exist",
        f"a={llama_folder}": r"adapter_config\.json",
        f'{{"name": "a", "path": "{dolly}", "base_model_name": "another"}}': "belongs to `another`",
    }
    for module, named in wrong.items():
        with pytest.raises(StartError, match=named):
            read("--lora-modules", module)
    with pytest.raises(StartError, match="two adapters"):
        read("--lora-modules", f"a={dolly}", f"a={dolly}")
    with pytest.raises(StartError, match="strength"):
        read(dolly="0.5")


GIB = 1 << 30


class Driver:
    """NVML's few functions over GPUs that are numbers; a GPU of no bytes is one that the driver does not tell of."""

    class NVMLError(Exception):
        pass

    def __init__(self, gpus: Mapping[str, tuple[float, float]], *, missing: bool = False) -> None:
        self._gpus = gpus
        self._missing = missing
        self.open = 0

    def nvmlInit(self) -> None:  # noqa: N802 -- NVML's own names
        if self._missing:
            raise self.NVMLError("NVML Shared Library Not Found")
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self._gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        if index >= len(self._gpus):
            raise self.NVMLError("Invalid Argument")
        return [*self._gpus][index]

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:  # noqa: N802
        if name not in self._gpus:
            raise self.NVMLError("Not Found")
        return name

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:  # noqa: N802
        free, total = self._gpus[handle]
        if not total:
            raise self.NVMLError("Not Supported")
        return SimpleNamespace(free=int(free * GIB), total=int(total * GIB))


ONE = {"GPU-a": (80.0, 80.0)}
THREE = {"GPU-a": (79.0, 80.0), "GPU-b": (1.0, 80.0), "GPU-c": (40.0, 80.0)}
MIXED = {"GPU-a": (79.0, 80.0), "GPU-b": (0.0, 0.0)}
SHARES: list[tuple[Driver, str, float]] = [
    (Driver(ONE), "", 0.95),
    (Driver({"GPU-a": (15.5, 16.0)}), "", 0.93),
    (Driver({"GPU-a": (8.0, 16.0)}), "", 0.46),
    (Driver({"GPU-a": (0.1, 16.0)}), "", 0.01),
    (Driver(THREE), "", 0.01),
    (Driver(THREE), "0,2", 0.49),
    (Driver(THREE), "GPU-c", 0.49),
    (Driver(THREE), " GPU-a , 2 ", 0.49),
    (Driver(THREE), "7", 0.84),
    (Driver(THREE), "-1", 0.84),
    (Driver(MIXED), "", 0.84),
    (Driver(MIXED), "0", 0.95),
    (Driver({}), "", 0.84),
    (Driver(ONE, missing=True), "", 0.84),
]
"""KAITO's rule by hand: free less 600 MiB, in whole hundredths of all, at most 0.95; 0.84 where nobody knows."""


@NEEDS_VLLM
@pytest.mark.slow
@pytest.mark.parametrize(("driver", "visible", "expected"), SHARES)
def test_on_a_gpu_vllm_takes_what_is_free_less_kaitos_reserve(
    driver: Driver, visible: str, expected: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from vllm.platforms import current_platform

    from inference.engine.vllm import memory

    monkeypatch.setattr(memory, "import_pynvml", lambda: driver)
    monkeypatch.setattr(current_platform, "is_cpu", lambda: False)
    arguments: Any = SimpleNamespace(gpu_memory_utilization=None, kv_cache_memory_bytes=None)
    memory.with_memory(arguments, {"CUDA_VISIBLE_DEVICES": visible})
    assert (arguments.gpu_memory_utilization, arguments.kv_cache_memory_bytes) == (expected, None)
    assert driver.open == 0
    unknown = expected == memory.FALLBACK_SHARE and driver.nvmlDeviceGetCount() > 0
    assert ("does not tell" in caplog.text) is unknown
    # What was said stays, as the 0.84 that KAITO's operator passes.
    arguments = SimpleNamespace(gpu_memory_utilization=0.3, kv_cache_memory_bytes=None)
    memory.with_memory(arguments, {})
    assert arguments.gpu_memory_utilization == 0.3


REFUSED: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "dora": ({"use_dora": True}, [], "`dora` is made by DoRA"),
    "head": ({"modules_to_save": ["lm_head"]}, [], "`head`: .*modules_to_save.*lm_head"),
    "biased": ({"bias": "all"}, [], "`biased`: .*bias"),
    "large": ({"r": 64}, ["--max-lora-rank", "8"], "`large`: .*rank 64 is greater than max_lora_rank 8"),
    "uneven": ({"rank_pattern": {"q_proj": 32}}, ["--max-lora-rank", "8"], "`uneven`: .*rank 32"),
    "huge": ({"r": 1024}, [], "rank 1024, at most 512"),
}


@NEEDS_VLLM
@pytest.mark.slow
@pytest.mark.skipif(bool(vllm_missing()), reason=vllm_missing())
def test_adapters_that_vllm_would_refuse_are_refused_before_it_loads_the_model(
    llama_folder: Path, tmp_path: Path
) -> None:
    from inference.engine.vllm.adapters import with_adapters
    from inference.engine.vllm.start import engine_arguments

    def read(folder: Path, *more: str) -> Any:
        command = parse(["--model", str(llama_folder), "--kaito-adapters-dir", str(folder), *more])
        arguments, modules = engine_arguments(command)
        with_adapters(arguments, modules, command, {})
        return arguments

    for name, (more, flags, named) in REFUSED.items():
        models.adapter(tmp_path / name / name, llama_folder, 1, **more)
        with pytest.raises(StartError, match=named) as caught:
            read(tmp_path / name, *flags)
        assert caught.value.exit_code == CANNOT_HEAL
    # All of them at once, and room for the largest rank that any layer has.
    for name in ("one", "two"):
        models.adapter(tmp_path / "both" / name, llama_folder, 1, bias="all")
    with pytest.raises(StartError, match=r"`one`: .*; `two`: "):
        read(tmp_path / "both")
    assert read(tmp_path / "uneven").max_lora_rank == 32
    models.adapter(tmp_path / "taken" / "rslora", llama_folder, 1, use_rslora=True, modules_to_save=None)
    assert read(tmp_path / "taken").max_lora_rank == 8


@NEEDS_VLLM
@pytest.mark.slow
def test_every_seed_is_one_for_vllm_as_well() -> None:
    from inference.engine.vllm.engine import parameters

    seeds = [None, 0, 7, -1, -(2**63), 2**63 - 1, 2**63]
    given = [parameters(Sampling(max_tokens=1, seed=seed)).seed for seed in seeds]
    assert given == [None, 0, 7, 2**63 - 1, 0, 2**63 - 1, 0]


@NEEDS_VLLM
@pytest.mark.slow
def test_memory_is_what_is_free_on_a_gpu_and_the_containers_quarter_on_a_cpu(llama_folder: Path) -> None:
    from inference.engine.vllm.memory import share, with_memory
    from inference.engine.vllm.start import engine_arguments

    def decided(*more: str, **environ: str) -> tuple[float, int | None]:
        arguments, _ = engine_arguments(parse(["--model", str(llama_folder), *more]))
        with_memory(arguments, environ)
        return arguments.gpu_memory_utilization, arguments.kv_cache_memory_bytes

    assert decided()[1] == cache_budget()
    assert decided("--kv-cache-memory-bytes", "12345678")[1] == 12345678
    assert decided(VLLM_CPU_KVCACHE_SPACE="3")[1] is None
    assert decided("--gpu-memory-utilization", "0.3") == (0.3, None)
    gibibyte = 1 << 30
    assert [share(free * gibibyte, 16 * gibibyte) for free in (16, 15, 8, 0)] == [0.95, 0.9, 0.46, 0.01]


@NEEDS_VLLM
@pytest.mark.slow
@pytest.mark.skipif(bool(vllm_missing()), reason=vllm_missing())
@pytest.mark.parametrize("case", ["by its shapes", "by its kind", "by vLLM alone"])
def test_an_adapter_that_does_not_fit_ends_the_start_with_the_reason_last(
    case: str, llama_folder: Path, bloom_folder: Path, tmp_path: Path
) -> None:
    """Of the first, vLLM would copy the matrices into a corner of larger ones; only the last needs the model loaded."""
    mounted = tmp_path / "mounted" / "stray"
    if case == "by its shapes":
        models.adapter(mounted, models.save(tmp_path / "other", models.llama(hidden_size=64)), 1)
    elif case == "by its kind":
        models.adapter(mounted, llama_folder, 1, use_dora=True)
    else:
        models.adapter(mounted, bloom_folder, 1, target_modules=["query_key_value"])
    named = {"by its shapes": "is 128x128 and not 64x64", "by its kind": "DoRA", "by vLLM alone": "query_key_value"}
    port = free_port()
    more = ["--kaito-adapters-dir", str(mounted.parent), "--max-model-len", "512", "--port", str(port)]
    with command(["python3", *START["vllm"](str(llama_folder)), *more], port, ready=False) as server:
        assert server.process is not None
        assert server.process.wait(240) == CANNOT_HEAL
        assert eventually(lambda: bool(server.log()) and "stray" in server.log()[-1]["message"])
        assert server.log()[-1]["level"] == "error"
        assert named[case] in server.log()[-1]["message"]
        assert not [line for line in server.lines if line.startswith("Traceback")]
