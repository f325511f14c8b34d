"""Start each server in turn, load it, and print a table; what others on the machine used is part of each row."""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from inference.engine.transformers.load import calculates_bfloat16
from tests import models
from tests.bench.load import Seen, run, warm_up
from tests.bench.peers import PEERS, Peer
from tests.servers import ROOT, free_port

READY_SECONDS = 240
TOKENS = 64
Load = tuple[int, int | None]
"""Clients, and tokens of each answer; none: mixed."""
LOADS = ((1, TOKENS), (8, TOKENS), (32, TOKENS), (8, None), (32, None))
HEAD = f"{'server':32}{'load':>9}{'tok/s':>8}{'TTFT p50':>10}{'p95':>8}{'MiB':>7}{'ready':>7}{'others':>8}"


def folder_of(dtype: str) -> str:
    """A model of 115 million parameters in the shape of a small Llama, without an end, so that lengths are exact."""
    folder = Path(tempfile.gettempdir()) / f"kaitops-bench-{dtype}"
    if not (folder / "tokenizer.json").is_file():
        shape = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "vocab_size": 16384}
        heads = {"num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "max_position_embeddings": 2048}
        config = models.llama(**shape, **heads, tie_word_embeddings=True, initializer_range=0.02, eos_token_id=None)
        import torch

        models.save(folder, config, getattr(torch, dtype))
    return str(folder)


@contextmanager
def started(peer: Peer, folder: str, dtype: str, log: Path) -> Iterator[tuple[str, psutil.Process, float]]:
    port, began = free_port(), time.perf_counter()
    environ = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "PYTHONPATH": str(ROOT)}
    with log.open("w") as sink:
        process = subprocess.Popen(
            peer.command(folder, dtype, port), cwd=ROOT, env=environ, stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        # One client: to make a new one takes as much of a processor as a server's start can spare.
        with httpx.Client(base_url=url, timeout=5) as client:
            while not _healthy(client):
                if process.poll() is not None or time.perf_counter() - began > READY_SECONDS:
                    raise RuntimeError(f"did not become ready; its log is {log}")
                time.sleep(0.05)
        yield url, psutil.Process(process.pid), time.perf_counter() - began
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _healthy(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def memory(process: psutil.Process) -> float:
    return sum(float(member.memory_full_info().pss) for member in family(process)) / (1 << 20)


class Others:
    """Processors that everybody but us and the server kept busy."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._began, self._machine, self._own = time.perf_counter(), self._busy(), self._ours()

    def _busy(self) -> float:
        times = psutil.cpu_times()
        return float(sum(times) - times.idle - times.iowait)

    def _ours(self) -> float:
        return sum(sum(member.cpu_times()[:2]) for member in [*family(self._process), psutil.Process()])

    def share(self) -> float:
        used = (self._busy() - self._machine) - (self._ours() - self._own)
        return max(0.0, used / (time.perf_counter() - self._began))


def row(name: str, clients: int, tokens: int | None, seen: Seen, *, mib: float, ready: float, others: float) -> str:
    load = f"{clients}{'' if tokens else ' mixed'}"
    first, slow = seen.quantile(seen.first, 0.5), seen.quantile(seen.whole, 0.95)
    return f"{name:32}{load:>9}{seen.rate:8.1f}{first:10.2f}{slow:8.2f}{mib:7.0f}{ready:7.1f}{others:8.2f}"


def measured(name: str, folder: str, dtype: str, loads: Sequence[Load], seconds: float) -> Iterator[str]:
    """Start a server, and load it in each of the ways."""
    log = Path(tempfile.gettempdir()) / f"kaitops-bench-{name.replace(' ', '-')}.log"
    form = PEERS[name].form(folder)
    with started(PEERS[name], folder, dtype, log) as (url, process, ready):
        asyncio.run(warm_up(url, form))
        for clients, tokens in loads:
            others = Others(process)
            seen = asyncio.run(run(url, form, clients, tokens, seconds))
            yield row(name, clients, tokens, seen, mib=memory(process), ready=ready, others=others.share())


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench")
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--dtype", default="bfloat16" if calculates_bfloat16() else "float32")
    wanted = parser.parse_args()
    folder = folder_of(wanted.dtype)
    sys.stdout.write(f"{wanted.dtype}, {len(os.sched_getaffinity(0))} processors, {json.dumps(folder)}\n{HEAD}\n")
    loads = [(clients, tokens) for clients, tokens in LOADS if clients in wanted.clients]
    for name in wanted.only:
        for some in [[load] for load in loads] if PEERS[name].goes_on else [loads]:
            for line in measured(name, folder, wanted.dtype, some, wanted.seconds):
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
