"""An engine that dies: readiness goes off at once, who waits is told, and the process ends with the reason.

Everything here is the real command in its own processes, killed from outside.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from inference.errors import TRY_AGAIN
from tests import models
from tests.servers import START, Running, command, free_port, vllm_missing
from tests.test_adapters import answers_by_name
from tests.test_operations import eventually, running

pytestmark = pytest.mark.slow

CONTEXT = 60_000
ENDLESS = {"prompt": "one two", "max_tokens": CONTEXT - 100, "ignore_eos": True, "temperature": 0}
"""Minutes of work: it runs for certain when the engine dies.

No token is drawn by chance: an error just then would be its sequence's alone, and the engine would live.
"""
KAITO = {"prompt": "x", "generate_kwargs": {"max_new_tokens": CONTEXT - 100, "eos_token_id": [], "do_sample": False}}
BEAMS = {"prompt": "x", "generate_kwargs": {"max_new_tokens": CONTEXT - 100, "eos_token_id": [], "num_beams": 2}}
END_SECONDS = 8
DEADLINE = 15
BUSY_SECONDS = 10
DEADLY = Path(__file__).parent / "deadly"


@pytest.fixture(scope="module")
def folder(folders: Path) -> Path:
    """A model with so long a context that an answer takes minutes."""
    return models.save(folders / "patient", models.llama(max_position_embeddings=CONTEXT))


@dataclass(frozen=True)
class Seen:
    """What three clients of a dying server got: one that waits, one that reads a stream, one of KAITO's."""

    whole: httpx.Response
    stream: str
    kaito: httpx.Response
    probes: list[int]
    code: int
    seconds: float


def death(server: Running, kill: Callable[[], object], kaito: Mapping[str, object]) -> Seen:
    """Let all three run, kill the engine, and keep asking the probe until nobody answers."""
    assert server.process is not None
    with ThreadPoolExecutor(3) as pool:
        whole = pool.submit(server.client.post, "/v1/completions", json=ENDLESS)
        stream = pool.submit(lambda: server.client.post("/v1/completions", json=ENDLESS | {"stream": True}).text)
        asked = pool.submit(server.client.post, "/chat", json=kaito)
        try:
            assert eventually(lambda: running(server) == 3, BUSY_SECONDS)
            assert eventually(lambda: server.metric("vllm:generation_tokens_total") > 20, BUSY_SECONDS)
        except AssertionError:
            server_process(server).kill()  # or its clients would be waited for
            raise
        began = time.monotonic()
        kill()
        probes = list(_probed(server.url))
        code = server.process.wait(END_SECONDS)
        seconds = time.monotonic() - began
        return Seen(whole.result(), stream.result(), asked.result(), probes, code, seconds)


def _probed(url: str) -> Iterator[int]:
    """The statuses of the readiness probe, until the server no longer listens."""
    with httpx.Client(base_url=url, timeout=2) as client, suppress(httpx.TransportError):
        while True:
            yield client.get("/readyz").status_code
            time.sleep(0.01)


def check(seen: Seen, server: Running, named: str) -> None:
    unready = [place for place, status in enumerate(seen.probes) if status != httpx.codes.OK]
    # A moment passes until the death is noticed; from then on no probe is answered by a yes.
    assert unready == list(range(unready[0], len(seen.probes))) if unready else True
    assert set(seen.probes) <= {200, 503}
    assert seen.whole.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert seen.whole.json()["error"]["code"] == "engine_dead"
    assert seen.whole.headers["retry-after"]
    last = seen.stream.removesuffix("\n\n").rsplit("data: ", 1)[-1]
    assert json.loads(last)["error"]["code"] == "engine_dead"
    assert seen.kaito.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "engine" in seen.kaito.json()["detail"]
    assert seen.seconds < END_SECONDS
    assert eventually(lambda: bool(server.log()) and server.log()[-1]["level"] == "error")
    assert "the engine died" in server.log()[-1]["message"]
    assert named in server.log()[-1]["message"]


@contextmanager
def transformers(launch: Sequence[str], folder: Path, thread: str, error: str) -> Iterator[Running]:
    port = free_port()
    single = ["launch", "--num_processes", "1", "--num_machines", "1"]
    script = [*START["transformers"](str(folder)), "--port", str(port)]
    deadly = {"PYTHONPATH": str(DEADLY), "DEADLY_THREAD": thread, "DEADLY_ERROR": error}
    with command([*launch, *single, *script], port, ready=True, **deadly) as server:
        yield server


def server_process(server: Running) -> psutil.Process:
    """The process that serves: the real launcher stays in between."""
    assert server.process is not None
    launched = psutil.Process(server.process.pid)
    return next(iter(launched.children(recursive=True)), launched)


@pytest.mark.parametrize(
    ("thread", "error"),
    [("batch", "RuntimeError"), ("batch", "GeneratorExit"), ("generate", "SystemExit")],
)
def test_a_thread_of_the_transformers_engine_dies(thread: str, error: str, folder: Path) -> None:
    with transformers(["accelerate"], folder, thread, error) as server:
        kaito = BEAMS if thread == "generate" else KAITO
        seen = death(server, lambda: server_process(server).send_signal(signal.SIGUSR1), kaito)
        check(seen, server, error)
        assert seen.code == TRY_AGAIN


def test_the_real_launcher_ends_with_its_engine(folder: Path) -> None:
    with transformers(
        ["python3", "-m", "accelerate.commands.accelerate_cli"], folder, "batch", "MemoryError"
    ) as server:
        seen = death(server, lambda: server_process(server).send_signal(signal.SIGUSR1), KAITO)
        assert seen.code not in (0, None)
        assert seen.whole.status_code == httpx.codes.SERVICE_UNAVAILABLE
        messages = [line["message"] for line in server.log() if line["level"] == "error"]
        assert messages[-1].startswith("the engine died: MemoryError")


@pytest.mark.skipif(bool(vllm_missing()), reason=vllm_missing())
def test_vllm_mixes_adapters_keeps_a_deadline_and_ends_with_its_process(folder: Path, tmp_path: Path) -> None:
    """All on one server, since its start takes a minute."""
    port = free_port()
    adapters = {f"by-flag-{name}": tmp_path / name for name in ("dolly", "poet")}
    for seed, path in enumerate(adapters.values()):
        models.adapter(path, folder, seed)
    more = ["--max-model-len", str(CONTEXT), "--request_timeout", str(DEADLINE), "--port", str(port)]
    lora = ["--lora-modules", *(f"{name}={path}" for name, path in adapters.items())]
    with command(["python3", *START["vllm"](str(folder)), *more, *lora], port) as server:
        answers_by_name(server, folder, adapters)
        # Beside adapters vLLM's engine would end over it.
        reported = server.client.post("/v1/completions", json={"prompt": "one", "echo": True, "logprobs": 1, "n": 2})
        assert reported.status_code == httpx.codes.BAD_REQUEST
        assert reported.json()["error"]["param"] == "echo"

        began = time.monotonic()
        late = server.client.post("/v1/completions", json=ENDLESS)
        assert late.status_code == httpx.codes.GATEWAY_TIMEOUT
        assert late.json()["error"]["code"] == "deadline_exceeded"
        assert DEADLINE <= time.monotonic() - began < DEADLINE + 2
        assert eventually(lambda: running(server) == 0, 1)

        ends_with("EngineCore", server)


@pytest.mark.skipif(bool(vllm_missing()), reason=vllm_missing())
def test_vllm_ends_with_a_worker_that_is_killed(folder: Path) -> None:
    """The model runs in a process below the engine's: on a CPU in one, with tensor parallelism in several."""
    port = free_port()
    more = ["--max-model-len", str(CONTEXT), "--distributed-executor-backend", "mp", "--port", str(port)]
    with command(["python3", *START["vllm"](str(folder)), *more], port) as server:
        ends_with("Worker", server)


def ends_with(name: str, server: Running) -> None:
    """Kill one of vLLM's processes: none of them is left, and the reason is the last line of all."""
    assert server.process is not None
    below = psutil.Process(server.process.pid).children(recursive=True)
    victim = next(process for process in below if f"VLLM::{name}" in " ".join(process.cmdline()))
    seen = death(server, victim.kill, KAITO)
    check(seen, server, "vLLM")
    assert seen.code == TRY_AGAIN
    assert eventually(lambda: not [process for process in below if process.is_running()], END_SECONDS)
    assert eventually(lambda: "the engine died" in [line for line in server.lines if line.strip()][-1])
