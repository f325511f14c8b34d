"""Two servers in pairs of windows: both stand, and are loaded in turn, so that a slow minute meets both.

The order changes from pair to pair. One pair says little on a shared machine; the median of many does, and the
quartiles say how far to believe it. Without arguments: what vLLM loses through our front.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from inference.engine.transformers.load import calculates_bfloat16
from tests.bench.__main__ import TOKENS, folder_of, started
from tests.bench.load import Form, run, warm_up
from tests.bench.peers import PEERS

PAUSE_SECONDS = 1.0
"""After a window its clients are gone, but not yet their requests."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A server that is up, and how it is asked."""

    url: str
    form: Form

    def rate(self, clients: int, seconds: float) -> float:
        """Tokens a second."""
        return asyncio.run(self._rate(clients, seconds))

    async def _rate(self, clients: int, seconds: float) -> float:
        seen = await run(self.url, self.form, clients, TOKENS, seconds)
        await asyncio.sleep(PAUSE_SECONDS)
        return seen.rate


def compare(first: Standing, second: Standing, clients: int, count: int, seconds: float) -> list[float]:
    """Of each pair, the second's speed as a share of the first's."""
    shares = []
    for number in range(count):
        order = (first, second) if number % 2 else (second, first)
        found = {server: server.rate(clients, seconds) for server in order}
        shares.append(found[second] / found[first])
        sys.stdout.write(f"  {clients:3} clients {found[first]:7.1f} {found[second]:7.1f} tok/s  {shares[-1]:.3f}\n")
        sys.stdout.flush()
    return shares


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.pairs")
    parser.add_argument("--peers", nargs=2, choices=PEERS, default=["vLLM", "ours, vLLM"])
    parser.add_argument("--clients", nargs="+", type=int, default=[32])
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    wanted = parser.parse_args()
    dtype = "bfloat16" if calculates_bfloat16() else "float32"
    folder = folder_of(dtype)
    with ExitStack() as servers:
        standing = []
        for name in wanted.peers:
            log = Path(tempfile.gettempdir()) / f"kaitops-bench-{name.replace(' ', '-')}.log"
            url, *_ = servers.enter_context(started(PEERS[name], folder, dtype, log))
            standing.append(Standing(url, PEERS[name].form(folder)))
            asyncio.run(warm_up(url, standing[-1].form))
        first, second = standing
        for clients in wanted.clients:
            shares = compare(first, second, clients, wanted.pairs, wanted.seconds)
            low, middle, high = statistics.quantiles(shares, n=4)
            sys.stdout.write(
                f"{wanted.peers[1]} at {clients} clients on {len(os.sched_getaffinity(0))} processors: "
                f"{middle:.3f} of {wanted.peers[0]} ({low:.3f} to {high:.3f})\n"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
