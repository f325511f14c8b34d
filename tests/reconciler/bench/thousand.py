"""`python -m tests.reconciler.bench.thousand`: what do 1,000 claims meet in one cluster, and what would machines?

The first two rows are the reconciler at work against the fake ARM, in virtual time: with the 100 pools that AKS
allows, and with as many as it likes. The others are reckoned with AKS's token buckets alone, since the SDK has no
stable way to make machines yet.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from reconciler.nodeclaim import Claim
from tests.bench.table import aligned
from tests.fakearm.allowance import Allowance, Bucket
from tests.fakearm.bench import Bench, run_over_http
from tests.reconciler.bench.virtual import AZURE, MINUTE, Asked, Cluster, Counted, settings
from tests.reconciler.fake_kube import claim_body

LIFE = 5 * MINUTE
"""How long each claim is used."""
BATCH = 50
"""Machines in one request, at most."""


@dataclass
class Fate:
    """What became of many claims that came at once."""

    asked: Asked
    all_ready: float
    """Seconds until every claim had been ready."""
    most_pools: int
    in_order: bool
    """The older were served first."""


@dataclass
class Crowd:
    """Claims that come within minutes, and end some time after they got ready."""

    cluster: Cluster
    count: int
    served: set[str] = field(default_factory=set)
    most_pools: int = 0

    async def come(self) -> None:
        """One a second: the API server dates them no finer, and the oldest go first."""
        for number in range(self.count):
            self.cluster.kube.claim_store.create(claim_body(f"ws{number:04d}"))
            await asyncio.sleep(1.0)

    async def live(self) -> None:
        """Until each has had its node."""
        loop, coming = asyncio.get_running_loop(), asyncio.create_task(self.come())
        while len(self.served) < self.count:
            await asyncio.sleep(5.0)
            self.most_pools = max(self.most_pools, len(self.cluster.bench.aks.records) - 1)
            for name in self._newly_ready():
                self.served.add(name)
                loop.call_later(LIFE, self.cluster.kube.claim_store.delete, name)
        await coming

    def _newly_ready(self) -> list[str]:
        bodies = self.cluster.kube.claim_store.items
        return [name for name, body in bodies.items() if name not in self.served and Claim(body).ready]


def fate(count: int, limit: int) -> Fate:
    async def scene(bench: Bench) -> Fate:
        bench.aks.times, bench.aks.limit = AZURE, limit
        cluster, counted = Cluster(bench, settings(limit)), Counted(bench)
        crowd = Crowd(cluster, count)
        await asyncio.sleep(MINUTE)
        began = bench.aks.clock()
        asked = await counted.during(crowd.live())
        await cluster.close()
        order = list(cluster.pools.asked)
        return Fate(asked, bench.aks.clock() - began, crowd.most_pools, order == sorted(order))

    return run_over_http(scene)


def spent(bucket: Bucket, requests: int) -> float:
    """Seconds until so many requests were let through."""
    now = 0.0
    for _ in range(requests):
        while wait := bucket.take(now):
            now += wait
    return now


def machines(count: int) -> Iterable[tuple[str, float]]:
    """One pool of machines: its PUTs count per pool, all else per subscription."""
    yield "PUT of one machine each", spent(Allowance().puts["pool"], count)
    yield f"PUT of {BATCH} machines each", spent(Allowance().puts["pool"], -(-count // BATCH))
    yield "deletion of one machine each", spent(Allowance().others, count)
    yield f"deletion of {BATCH} machines each", spent(Allowance().others, -(-count // BATCH))


def _row(what: str, found: Fate) -> tuple[str, ...]:
    asked = found.asked
    calls = f"{asked.calls['PUT']} PUTs, {asked.calls['DELETE']} DELETEs, {asked.reads_per_second:.2f} reads/s"
    return what, _span(found.all_ready), str(found.most_pools), calls, str(asked.throttled)


def _span(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.reconciler.bench.thousand", description=__doc__)
    parser.add_argument("--claims", type=int, default=1000)
    count = parser.parse_args().claims
    logging.disable(logging.CRITICAL)
    head = ("claims, one a second", "until each was ready", "pools at most", "requests to ARM", "throttled")
    rows: list[tuple[str, ...]] = []
    for what, limit in ((f"{count}, 100 pools, each used for 5 min", 100), (f"{count}, no want of pools", count + 100)):
        rows.append(_row(what, fate(count, limit)))
        sys.stderr.write(" | ".join(rows[-1]) + "\n")  # The next one takes minutes.
    rows += [(f"machines: {what}", _span(seconds), "1", "reckoned", "") for what, seconds in machines(count)]
    sys.stdout.write(aligned([head, *rows]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
