"""Servers to ask: one in this process for speed, or the real command in a process of its own."""

import asyncio
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from inference.api.app import build
from inference.api.work import Desk
from inference.deployment import Deployment, Served
from inference.engine.echo import EchoEngine, EchoTokenizer
from inference.settings import Front

ROOT = Path(__file__).parent.parent
START_SECONDS = 240
PLACES = 16
"""Sequences that a shared server decodes at once; as many more may wait."""
START: dict[str, Callable[[str], list[str]]] = {
    "transformers": lambda folder: [
        *("tfs/inference_api.py", "--pretrained_model_name_or_path", folder, "--torch_dtype", "float32")
    ],
    "vllm": lambda folder: ["vllm/inference_api.py", "--model", folder, "--dtype", "float32", "--enforce-eager"],
}
"""How the manifests start each engine, for a model folder."""


def vllm_missing() -> str:
    """Why vLLM cannot run here; empty where it can."""
    if importlib.util.find_spec("vllm") is None:
        return "vLLM is not installed"
    flags = Path("/proc/cpuinfo").read_text().split()
    return "" if "avx2" in flags else "vLLM's CPU build needs AVX2, which this processor lacks"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    """A server and a client for it."""

    port: int
    client: httpx.Client
    desk: Desk | None = None
    process: "subprocess.Popen[str] | None" = None
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def metric(self, name: str) -> float:
        text = self.client.get("/metrics", headers={"Accept": "text/plain"}).text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines if line.startswith("{")]


def echo_served(**settings: Any) -> Served:
    return Served(EchoEngine(**settings), EchoTokenizer(), ("echo",))


@contextmanager
def in_process(make: Callable[[], Served], front: Front | None = None, *, ready: bool = True) -> Iterator[Running]:
    """The application on a real socket, in a thread of its own."""
    import uvicorn

    deployment = Deployment()
    port = free_port()
    holder: dict[str, Any] = {}
    started = threading.Event()

    async def serve() -> None:
        desk = Desk(deployment, front or Front())
        holder["desk"] = desk
        if ready:
            deployment.ready(make())
        config = uvicorn.Config(build(desk), host="127.0.0.1", port=port, log_config=None, lifespan="off")
        holder["server"] = uvicorn.Server(config)
        started.set()
        await holder["server"].serve()
        if deployment.loaded:
            await deployment.loaded.engine.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    started.wait()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        running = Running(port, client, holder["desk"])
        _wait_for(lambda: client.get("/livez").status_code == httpx.codes.OK, thread.is_alive)
        try:
            yield running
        finally:
            holder["server"].should_exit = True
            thread.join(30)


@contextmanager
def command(arguments: Sequence[str], port: int, *, ready: bool = True, **environ: str) -> Iterator[Running]:
    """The real command from the image's folder, with the image's own `accelerate` first on the path."""
    path = f"{ROOT / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = subprocess.Popen(
        list(arguments),
        cwd=ROOT / "workspace",
        env=os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"} | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
        running = Running(port, client, process=process)
        reader = threading.Thread(target=lambda: running.lines.extend(process.stdout or []), daemon=True)
        reader.start()
        try:
            if ready:
                _wait_for(lambda: client.get("/health").status_code == httpx.codes.OK, lambda: process.poll() is None)
            yield running
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # vLLM's processes as well
            process.wait()
            reader.join(10)
            if process.stdout:
                process.stdout.close()


def _wait_for(answered: Callable[[], bool], alive: Callable[[], bool]) -> None:
    """Ask until the answer is yes, a moment between two questions, as a probe does."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and alive():
        try:
            if answered():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("the server did not become ready")
