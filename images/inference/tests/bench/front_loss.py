"""What vLLM loses through our front: both servers stand, and are loaded in turn, so that a slow minute meets both.

The order changes from pair to pair. One pair says little on a shared machine; the median of many does, and the
quartiles say how far to believe it.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from inference.engine.transformers.load import calculates_bfloat16
from tests.bench.__main__ import TOKENS, folder_of, started
from tests.bench.load import Form, run, warm_up
from tests.bench.peers import PEERS

BARE, THROUGH = "vLLM", "ours, vLLM"
PAUSE_SECONDS = 1.0
"""After a window its clients are gone, but not yet their requests."""


async def rate(url: str, form: Form, clients: int, seconds: float) -> float:
    seen = await run(url, form, clients, TOKENS, seconds)
    await asyncio.sleep(PAUSE_SECONDS)
    return seen.rate


def pairs(urls: dict[str, str], form: Form, clients: int, count: int, seconds: float) -> list[float]:
    """Of each pair, the speed through the front as a share of the bare one's."""
    shares = []
    for number in range(count):
        order = (BARE, THROUGH) if number % 2 else (THROUGH, BARE)
        found = {name: asyncio.run(rate(urls[name], form, clients, seconds)) for name in order}
        shares.append(found[THROUGH] / found[BARE])
        sys.stdout.write(f"  {found[BARE]:7.1f} {found[THROUGH]:7.1f} tok/s  {shares[-1]:.3f}\n")
        sys.stdout.flush()
    return shares


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.front_loss")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    wanted = parser.parse_args()
    dtype = "bfloat16" if calculates_bfloat16() else "float32"
    folder = folder_of(dtype)
    form = PEERS[BARE].form(folder)
    with ExitStack() as servers:
        urls = {}
        for name in (BARE, THROUGH):
            log = Path(tempfile.gettempdir()) / f"kaitops-bench-{name.replace(' ', '-')}.log"
            urls[name], *_ = servers.enter_context(started(PEERS[name], folder, dtype, log))
            asyncio.run(warm_up(urls[name], form))
        shares = pairs(urls, form, wanted.clients, wanted.pairs, wanted.seconds)
    low, middle, high = statistics.quantiles(shares, n=4)
    sys.stdout.write(
        f"vLLM through the front, {wanted.clients} clients, {len(os.sched_getaffinity(0))} processors: "
        f"{middle:.3f} of the bare one ({low:.3f} to {high:.3f})\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
