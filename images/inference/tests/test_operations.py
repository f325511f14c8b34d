"""What happens when there is too much, too little time, nobody left to answer, or an end."""

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import uvicorn

from inference import caches
from inference.api.work import LONG_BODY
from inference.deployment import Served
from inference.engine.echo import EchoEngine, EchoTokenizer
from inference.serve import Server
from inference.settings import Front, Limits
from tests.servers import PLACES, Running, command, echo_served, free_port, in_process

FLAT_BYTES = 24 << 20
PAUSE_SECONDS = 1.0
SLOW = {"prompt": "x" * 400, "max_tokens": 400}
LONG = {"prompt": "one two", "max_tokens": 400, "ignore_eos": True}


def eventually(true: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.01)
    return true()


def running(server: Running) -> float:
    # With the bracket: vLLM has another family that begins in the same way.
    return server.metric("vllm:num_requests_running{") + server.metric("vllm:num_requests_waiting{")


def test_a_full_queue_refuses_with_503_and_when_to_come_back() -> None:
    front = Front(limits=Limits(running=2, queued=1))
    with in_process(lambda: echo_served(seconds=0.01, running=2), front) as server, ThreadPoolExecutor(3) as pool:
        inside = [pool.submit(server.client.post, "/v1/completions", json=SLOW) for _ in range(3)]
        assert eventually(lambda: running(server) == 3)
        assert server.metric("vllm:num_requests_waiting") == 1
        refused = server.client.post("/v1/completions", json=SLOW)
        assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["code"] == "queue_full"
        assert server.client.post("/chat", json={"prompt": "x"}).status_code == httpx.codes.SERVICE_UNAVAILABLE
        # So long a body takes its place before it is understood.
        long = server.client.post("/v1/responses", json={"input": "x" * LONG_BODY})
        assert (long.status_code, long.headers["retry-after"]) == (httpx.codes.SERVICE_UNAVAILABLE, "1")
        assert server.client.get("/health").status_code == httpx.codes.OK
        assert server.metric("vllm:admission_rejections_total") == 3
        assert {answer.result().status_code for answer in inside} == {200}


def test_every_engine_refuses_what_its_queue_cannot_hold(server: Running) -> None:
    """The shared servers have as many places to run in as to wait in."""
    if server.desk:
        pytest.skip("the echo is asked with a small queue")
    places = 2 * PLACES
    before = server.metric("vllm:admission_rejections_total")

    async def ask() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            inside = [asyncio.create_task(client.post("/v1/completions", json=LONG)) for _ in range(places)]
            while running(server) < places or server.metric("vllm:num_requests_running") < PLACES:
                assert not any(task.done() for task in inside)
                await asyncio.sleep(0.02)
            refused = [await client.post(path, json={"prompt": "x"}) for path in ("/v1/completions", "/chat")]
            assert [answer.status_code for answer in refused] == [httpx.codes.SERVICE_UNAVAILABLE] * 2
            assert [answer.headers["retry-after"] for answer in refused] == ["1"] * 2
            assert (await client.get("/readyz")).status_code == httpx.codes.OK
            for task in inside:
                task.cancel()

    asyncio.run(ask())
    assert eventually(lambda: running(server) == 0, 1)
    assert server.metric("vllm:admission_rejections_total") == before + 2
    assert server.client.post("/v1/completions", json={"prompt": "x"}).status_code == httpx.codes.OK


@pytest.mark.parametrize("stream", [False, True])
def test_a_deadline_ends_the_work(stream: bool) -> None:
    front = Front(limits=Limits(request_seconds=0.2))
    with in_process(lambda: echo_served(seconds=0.05), front) as server:
        answer = server.client.post("/v1/completions", json=SLOW | {"stream": stream})
        assert answer.status_code == (httpx.codes.OK if stream else httpx.codes.GATEWAY_TIMEOUT)
        last = answer.text.removesuffix("\n\n").rsplit("data: ", 1)[-1]
        assert json.loads(last)["error"]["code"] == "deadline_exceeded"
        assert eventually(lambda: running(server) == 0, 1)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/completions?stream", "/v1/chat/completions", "/chat"])
def test_a_client_that_leaves_frees_its_place_within_a_second(path: str) -> None:
    with in_process(lambda: echo_served(seconds=0.05)) as server:
        asyncio.run(_leave_at_once(server.url, path, 20))
        assert eventually(lambda: running(server) == 0, 1)
        assert server.desk is not None
        assert server.desk.admission.inside == 0
        assert server.metric('vllm:request_success_total{finished_reason="abort"') > 0


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/completions?stream", "/v1/chat/completions", "/chat"])
def test_every_engine_stops_working_for_a_client_that_left(server: Running, path: str) -> None:
    if server.desk:
        pytest.skip("the echo is asked above")
    asyncio.run(_leave_at_once(server.url, path, 8))
    assert eventually(lambda: running(server) == 0, 1)
    made = server.metric("vllm:generation_tokens_total")
    assert server.client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1}).status_code == httpx.codes.OK
    assert server.metric("vllm:generation_tokens_total") == made + 1


async def _leave_at_once(url: str, path: str, clients: int) -> None:
    """Ask for much, two answers each, and hang up: in the middle of a stream, or of the waiting."""
    body: dict[str, object] = LONG | {"stream": "stream" in path, "n": 2}
    if path == "/chat":
        body = {"prompt": "x", "generate_kwargs": {"max_new_tokens": 400, "eos_token_id": []}}
    if path == "/v1/chat/completions":
        body = {"messages": [{"role": "user", "content": "x" * 400}], "n": 2, "ignore_eos": True}

    async def leave() -> None:
        with suppress(httpx.TimeoutException):
            if body.get("stream"):
                async with client.stream("POST", path, json=body) as answer:
                    await anext(answer.aiter_bytes())
            else:
                await client.post(path, json=body)

    async with httpx.AsyncClient(base_url=url, timeout=0.3) as client:
        await asyncio.gather(*(leave() for _ in range(clients)))


@pytest.mark.slow
def test_a_pause_of_every_process_loses_nothing(server: Running) -> None:
    """As a node does that is short of memory or moved: everything stands still, and goes on."""
    if server.process is None:
        pytest.skip("the echo runs in this process")
    with ThreadPoolExecutor(4) as pool:
        work = [
            pool.submit(server.client.post, "/v1/completions", json=LONG | {"stream": n % 2 == 0}) for n in range(4)
        ]
        assert eventually(lambda: running(server) > 0)
        os.killpg(server.process.pid, signal.SIGSTOP)
        time.sleep(PAUSE_SECONDS)
        assert not all(item.done() for item in work)
        os.killpg(server.process.pid, signal.SIGCONT)
        answers = [item.result() for item in work]
    assert [answer.status_code for answer in answers] == [httpx.codes.OK] * 4
    assert all(answer.text.endswith("data: [DONE]\n\n") for answer in answers[::2])
    assert {answer.json()["usage"]["completion_tokens"] for answer in answers[1::2]} == {LONG["max_tokens"]}
    assert server.client.get("/readyz").status_code == httpx.codes.OK


@pytest.mark.slow
def test_a_thousand_disconnects_leave_nothing_behind(llama_folder: Path) -> None:
    """The gauge is back within a second, and the memory of the last 800 is that of the first 200."""
    port = free_port()
    script = ["python3", "tfs/inference_api.py", "--pretrained_model_name_or_path", str(llama_folder)]
    with command([*script, "--port", str(port)], port) as server:
        assert server.process is not None
        process = psutil.Process(server.process.pid)
        asyncio.run(_leave_often(server.url, 200))
        assert eventually(lambda: running(server) == 0, 1)
        before = process.memory_info().rss
        asyncio.run(_leave_often(server.url, 800))
        assert eventually(lambda: running(server) == 0, 1)
        assert process.memory_info().rss - before < FLAT_BYTES
        assert server.metric('vllm:request_success_total{finished_reason="abort"') > 0
        assert server.client.post("/v1/completions", json={"prompt": "x"}).status_code == httpx.codes.OK


async def _leave_often(url: str, times: int) -> None:
    """Ask for much and hang up, fifty at once, half of them in the middle of a stream."""

    async def leave(number: int) -> None:
        with suppress(httpx.HTTPError):
            body = SLOW | {"stream": number % 2 == 0, "ignore_eos": True}
            await client.post("/v1/completions", json=body, timeout=0.05)

    async with httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=50)) as client:
        for first in range(0, times, 50):
            await asyncio.gather(*(leave(first + number) for number in range(50)))


def test_a_large_body_is_refused_before_it_is_parsed() -> None:
    with in_process(echo_served, Front(limits=Limits(body_bytes=1000))) as server:
        for content in (b"x" * 1001, (b"x" * 600 for _ in range(2))):
            answer = server.client.post("/v1/completions", content=content)
            assert answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
            assert answer.json()["error"]["code"] == "body_too_large"
        assert server.client.post("/chat", json={"prompt": "x" * 2000}).json()["detail"]
        assert server.client.post("/v1/completions", json={"prompt": "x"}).status_code == httpx.codes.OK


def test_keys_guard_everything_but_probes_and_follow_their_file(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("first-key\nsecond-key\n")
    with in_process(echo_served, Front(api_key_file=keys)) as server:
        for path in ("/health", "/livez", "/readyz", "/metrics"):
            assert server.client.get(path).status_code == httpx.codes.OK
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic first-key"}):
            for path in ("/v1/models", "/", "/openapi.json"):
                assert server.client.get(path, headers=headers).status_code == httpx.codes.UNAUTHORIZED
            assert server.client.post("/chat", json={"prompt": "x"}, headers=headers).status_code == 401
        for key in ("first-key", "second-key"):
            ok = server.client.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
            assert ok.status_code == httpx.codes.OK
        keys.write_text("third-key\n")
        assert server.client.get("/v1/models", headers={"Authorization": "Bearer first-key"}).status_code == 401
        assert server.client.get("/v1/models", headers={"Authorization": "Bearer third-key"}).status_code == 200


def test_nothing_is_served_before_the_model_is_there() -> None:
    with in_process(echo_served, ready=False) as server:
        assert server.client.get("/livez").json() == {"status": "loading"}
        for path in ("/health", "/readyz", "/v1/models"):
            assert server.client.get(path).status_code == httpx.codes.SERVICE_UNAVAILABLE
        answer = server.client.post("/v1/completions", json={"prompt": "x"})
        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert answer.headers["retry-after"]


def test_a_dead_engine_turns_readiness_off_and_ends_what_runs() -> None:
    with in_process(lambda: echo_served(seconds=0.02)) as server, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.client.post, "/v1/completions", json=SLOW)
        assert eventually(lambda: running(server) == 1)
        assert server.desk is not None
        served = server.desk.deployment.require()
        served.engine.failure = "out of memory"  # type: ignore[misc]  # the echo's own attribute
        assert asked.result().status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert server.client.get("/health").status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert server.client.get("/livez").status_code == httpx.codes.SERVICE_UNAVAILABLE


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["ours", "accelerate's"])
def test_sigterm_under_load_loses_nothing(launcher: str, bloom_folder: Path) -> None:
    """The command of the rendered manifest, through the image's launcher and through the real one."""
    port = free_port()
    launch = ["accelerate"] if launcher == "ours" else ["python3", "-m", "accelerate.commands.accelerate_cli"]
    single = ["launch", "--num_processes", "1", "--num_machines", "1"]
    script = ["tfs/inference_api.py", "--pipeline", "text-generation", "--torch_dtype", "float32"]
    more = ["--pretrained_model_name_or_path", str(bloom_folder), "--port", str(port), "--shutdown_timeout", "200"]
    with command([*launch, *single, *script, *more], port) as server:
        asked = threading.Barrier(33)
        statuses: list[int] = []

        def ask() -> None:
            asked.wait()
            body = {"prompt": "one two", "max_tokens": 400, "ignore_eos": True}
            with httpx.Client(base_url=server.url, timeout=200) as client:
                answer = client.post("/v1/completions", json=body)
                statuses.append(answer.status_code)
                assert answer.json()["usage"]["completion_tokens"] == 400

        with ThreadPoolExecutor(32) as pool:
            work = [pool.submit(ask) for _ in range(32)]
            asked.wait()
            assert eventually(lambda: running(server) == 32, 60)
            assert server.process is not None
            server.process.send_signal(signal.SIGTERM)
            refusals = (httpx.codes.SERVICE_UNAVAILABLE,)
            assert eventually(lambda: server.client.get("/health").status_code in refusals)
            assert server.client.get("/livez").status_code == httpx.codes.OK
            late = server.client.post("/chat", json={"prompt": "late"})
            assert late.status_code == httpx.codes.SERVICE_UNAVAILABLE
            for item in work:
                item.result()
        assert statuses == [200] * 32
        if launcher == "ours":
            assert server.process.wait(20) == 0
        assert eventually(lambda: any(line["message"] == "ended" for line in server.log()), 10)


@pytest.mark.slow
@pytest.mark.ends_server
def test_vllm_drains_as_well(vllm_server: Running) -> None:
    """With as many requests as it takes, running and waiting."""
    places = 2 * PLACES
    limits = httpx.Limits(max_connections=places)
    with (
        httpx.Client(base_url=vllm_server.url, timeout=100, limits=limits) as clients,
        ThreadPoolExecutor(places) as pool,
    ):
        work = [pool.submit(clients.post, "/v1/completions", json=LONG) for _ in range(places)]
        # All have come, though the first may be done by then.
        assert eventually(lambda: running(vllm_server) + sum(item.done() for item in work) >= places, 20)
        assert not all(item.done() for item in work)
        assert vllm_server.process is not None
        vllm_server.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: vllm_server.client.get("/readyz").status_code == httpx.codes.SERVICE_UNAVAILABLE)
        assert vllm_server.client.get("/livez").status_code == httpx.codes.OK
        late = vllm_server.client.post("/v1/completions", json={"prompt": "late"})
        assert late.status_code == httpx.codes.SERVICE_UNAVAILABLE
        answers = [item.result() for item in work]
    assert [answer.status_code for answer in answers] == [httpx.codes.OK] * places
    assert {answer.json()["usage"]["completion_tokens"] for answer in answers} == {LONG["max_tokens"]}
    assert vllm_server.process.wait(20) == 0
    assert eventually(lambda: vllm_server.log()[-1]["message"] == "ended")


@pytest.mark.slow
def test_ctrl_c_loses_nothing_and_leaves_no_traceback(llama_folder: Path) -> None:
    """Pressed twice by a trembling hand, or once by a group whose parent passes it on."""
    port = free_port()
    script = ["python3", "tfs/inference_api.py", "--pretrained_model_name_or_path", str(llama_folder)]
    with command([*script, "--port", str(port)], port) as server, ThreadPoolExecutor(1) as pool:
        assert server.process is not None
        answer = pool.submit(server.client.post, "/v1/completions", json=LONG)
        assert eventually(lambda: running(server) == 1)
        server.process.send_signal(signal.SIGINT)
        server.process.send_signal(signal.SIGINT)
        assert answer.result(60).json()["usage"]["completion_tokens"] == LONG["max_tokens"]
        assert server.process.wait(20) == 0
        assert eventually(lambda: server.log()[-1]["message"] == "ended")
        assert len(server.log()) == len(server.lines)


class Pondering(EchoTokenizer):
    """Takes as long over a long text as the test lets it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.done = threading.Event()

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        if len(text) > LONG_BODY:
            self.begun.set()
            assert self.done.wait(30)
        return super().encode(text, special=special)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "x" * LONG_BODY * 2}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x" * LONG_BODY * 2}]}),
        ("/v1/responses", {"input": "x" * LONG_BODY * 2}),
        ("/chat", {"prompt": "x" * LONG_BODY * 2}),
    ],
)
def test_a_long_text_keeps_nobody_waiting(path: str, body: dict[str, Any]) -> None:
    tokenizer = Pondering()
    with (
        in_process(lambda: Served(EchoEngine(), tokenizer, ("echo",))) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        long = pool.submit(server.client.post, path, json=body)
        assert tokenizer.begun.wait(10)
        with httpx.Client(base_url=server.url, timeout=10) as other:
            assert other.get("/health").status_code == httpx.codes.OK
            assert other.post("/v1/completions", json={"prompt": "x", "max_tokens": 1}).status_code == httpx.codes.OK
        tokenizer.done.set()
        assert long.result(30).status_code == httpx.codes.BAD_REQUEST  # more than the context


def test_who_asks_again_later_does_not_wait_for_the_rest() -> None:
    times = iter([10.0, 10.5, 12.0])
    drains: list[None] = []
    server = Server(uvicorn.Config("none"), lambda: drains.append(None), clock=lambda: next(times))
    for expected in (False, False, True):
        server.handle_exit(signal.SIGTERM, None)
        assert server.should_exit is expected
    assert len(drains) == 1


@pytest.mark.slow
def test_the_server_starts_without_the_volume_for_caches(llama_folder: Path, tmp_path: Path) -> None:
    """The image names folders of a volume that whoever swaps only the image in his manifest does not mount."""
    (tmp_path / "file").touch()
    lost = {name: str(tmp_path / "file" / name) for name in caches.NAMES}
    port = free_port()
    script = ["python3", "tfs/inference_api.py", "--pretrained_model_name_or_path", str(llama_folder)]
    with command([*script, "--port", str(port)], port, ready=True, TMPDIR=str(tmp_path), **lost) as server:
        assert any("cannot be made" in line["message"] for line in server.log())


@pytest.mark.slow
def test_a_burst_of_clients_may_be_larger_than_the_usual_limit_of_files(llama_folder: Path) -> None:
    port = free_port()
    script = f"python3 tfs/inference_api.py --pretrained_model_name_or_path {llama_folder} --port {port}"
    with command(["sh", "-c", f"ulimit -Sn 128 && exec {script}"], port) as server, ExitStack() as clients:
        for _ in range(300):
            clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        assert server.client.get("/health").status_code == httpx.codes.OK


@pytest.mark.slow
def test_the_log_is_json_and_holds_no_word_of_prompt_or_answer(llama_folder: Path) -> None:
    port = free_port()
    script = ["python3", "tfs/inference_api.py", "--pretrained_model_name_or_path", str(llama_folder)]
    with command([*script, "--port", str(port), "--log_level", "DEBUG", "--unheard-of", "1"], port) as server:
        body = {"prompt": "secretword", "return_full_text": True}
        assert "secretword" in server.client.post("/chat", json=body, headers={"X-Request-Id": "r-1"}).text
        assert (
            server.client.post("/chat", json={"generate_kwargs": {"secretword": 1}, "prompt": "x"}).status_code == 400
        )
        assert eventually(lambda: any(line.get("request_id") == "r-1" for line in server.log()))
        assert len(server.log()) == len(server.lines)
        assert not any("secretword" in line for line in server.lines)
        assert any("--unheard_of" in line["message"] for line in server.log())


@pytest.mark.slow
@pytest.mark.parametrize("spoil", ["weights", "tokenizer"])
def test_a_model_that_cannot_be_loaded_never_is_ready_and_says_why_last(
    spoil: str, llama_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in llama_folder.iterdir():
        content = path.read_bytes()
        if spoil == "weights" and path.suffix == ".safetensors":
            content = content[: len(content) // 2]
        if not (spoil == "tokenizer" and path.name.startswith("tokenizer")):
            (folder / path.name).write_bytes(content)
    port = free_port()
    script = ["accelerate", "launch", "--num_processes", "1", "--num_machines", "1", "tfs/inference_api.py"]
    arguments = [*script, "--pretrained_model_name_or_path", str(folder), "--port", str(port)]
    with command(arguments, port, ready=False) as server:
        assert server.process is not None
        assert server.process.wait(60) == 2
        assert eventually(lambda: bool(server.lines))
        last = json.loads(server.lines[-1])
        assert last["level"] == "error"
        assert ("cut off" if spoil == "weights" else "no tokenizer") in last["message"]
