"""`python -m tests.reconciler.soak`: reconcilers that are killed again and again lose no pool, make none twice.

Real processes, signing in through Azure's own SDK over TLS, against a real API server and the fake ARM, where one
request in twenty fails in some way and one in fifty is throttled. Claims come and go, as KAITO's do; two thirds of the
time one process without a lease is killed every few seconds, then two that share one. The search for orphans is
switched off, so nothing tidies up behind the protocol. When all is calm, each claim has its node, and nothing is left.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from reconciler import names
from tests.apiserver import Api, ApiServer, RefusedError, running_api_server
from tests.fakearm.aks import Times
from tests.fakearm.allowance import Allowance, Bucket
from tests.fakearm.answer import Json, error
from tests.fakearm.cloud import FLAGS, FakeCloud, fake_cloud
from tests.fakearm.faults import RandomFaults
from tests.reconciler.fake_kube import claim_body
from tests.reconciler.live import Reconciler, conditions, nodes, prepare, wait_for

TIMES = Times(create=4.0, update=1.0, delete=2.0)
"""A pool takes sixty times as long in Azure; the flags below are as much shorter."""
SPEED = ("--settle=1s", "--list-period=1s", "--idle-period=2s", "--sweep-period=1000h", "--repair-after=10m")
SIZES = ("Standard_NC24ads_A100_v4", "Standard_D16s_v5")
CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"
SAME_NAME = "wssamename"
"""A pool of a claim's name that is not ours."""


@dataclass(frozen=True, slots=True)
class Plan:
    claims: int
    """Made in all."""
    seconds: float
    """Of faults and kills."""
    alive: int
    """At most at one time; a cluster takes 100 pools."""
    seed: int
    errors: float = 0.05
    """Share of the requests to ARM that fail, and of the pools that do."""
    throttles: float = 0.02
    calm: float = 600.0
    """Within which everything has to converge afterwards."""


@dataclass
class Figures:
    """What came of it; the first three must be 0."""

    leaked: set[str] = field(default_factory=set)
    """UIDs of claims that were gone while their pool was not."""
    duplicates: int = 0
    foreign_touched: int = 0
    claims: int = 0
    ended_by_us: int = 0
    kills: int = 0
    lives: int = 0
    lost_leases: int = 0
    pools: int = 0
    failed_pools: int = 0
    requests: dict[str, int] = field(default_factory=dict)
    converged_after: float = 0.0

    def __str__(self) -> str:
        faults = sum(count for kind, count in self.requests.items() if kind != "NONE")
        total = sum(self.requests.values())
        return (
            f"{self.claims} claims, {self.kills} kills of {self.lives} processes, {self.pools} pools made of which"
            f" {self.failed_pools} failed by chance, {total} requests to ARM of which {faults} failed by chance;"
            f" {self.ended_by_us} claims given up by the reconciler; converged {self.converged_after:.0f} s after calm:"
            f" {len(self.leaked)} leaked, {self.duplicates} duplicate, {self.foreign_touched} foreign pools touched"
        )


class Keeper:
    """Keeps reconcilers alive, and kills them."""

    def __init__(self, server: ApiServer, cloud: FakeCloud, log: Path, random: Random, figures: Figures) -> None:
        self._server, self._cloud, self.log, self._random, self._figures = server, cloud, log, random, figures
        self._slots: list[tuple[Reconciler, float]] = []
        self._pair = False

    def tick(self, *, pair: bool, merciful: bool = False) -> None:
        """One process without a lease, or two with one."""
        if pair != self._pair:
            self.end()
            self._pair = pair
        kept = []
        for process, dies_at in self._slots:
            if not process.running:
                self._figures.lost_leases += 1
            elif time.monotonic() > dies_at and not merciful:
                process.kill()
                self._figures.kills += 1
            else:
                kept.append((process, dies_at))
        self._slots = kept
        while len(self._slots) < (2 if pair else 1):
            self._slots.append((self._start(), time.monotonic() + self._life()))

    def _life(self) -> float:
        return self._random.uniform(3, 40) if self._pair else self._random.uniform(1, 6)

    def _start(self) -> Reconciler:
        self._figures.lives += 1
        election = f"--leader-election={'true' if self._pair else 'false'}"
        flags = (*FLAGS, *SPEED, election)
        return Reconciler(self._server, self.log, *flags, environment=self._cloud.environment)

    def end(self) -> None:
        for process, _ in self._slots:
            if process.running:
                process.kill()
        self._slots = []


class Kaito:
    """Makes and deletes claims at random times, sometimes anew under the same name."""

    def __init__(self, api: Api, plan: Plan, random: Random, figures: Figures) -> None:
        self._api, self._plan, self._random, self._figures = api, plan, random, figures
        self.made: set[str] = set()
        self.ended: set[str] = set()
        """UIDs of the claims that it made and deleted."""
        self._names: set[str] = set()
        self._began = time.monotonic()

    def tick(self, claims: dict[str, Json]) -> None:
        """Keep pace with the plan; each claim ends at any point of its life."""
        alive = [name for name, body in claims.items() if "deletionTimestamp" not in body["metadata"]]
        due = self._plan.claims * (time.monotonic() - self._began) / self._plan.seconds
        if self._figures.claims < min(due, self._plan.claims) and len(claims) < self._plan.alive:
            self._create(claims)
        if alive and self._random.random() < 0.1 * len(alive) / self._plan.alive + 0.02:
            name = self._random.choice(alive)
            self.delete(name, claims[name]["metadata"]["uid"])

    def _create(self, claims: dict[str, Json]) -> None:
        gone = sorted(self._names - claims.keys())
        again = bool(gone) and self._random.random() < 0.2
        name = self._random.choice(gone) if again else f"ws{self._random.randrange(16**9):09x}"
        made = self._api.create(claim_body(name, self._random.choice(SIZES))).body
        self.made.add(made["metadata"]["uid"])
        self._names.add(name)
        self._figures.claims += 1

    def delete(self, name: str, uid: str) -> None:
        try:
            self._api.request("DELETE", f"{CLAIMS}/{name}")
        except RefusedError as refusal:
            if refusal.status != 404:
                raise
        self.ended.add(uid)


class Soak:
    def __init__(self, server: ApiServer, cloud: FakeCloud, log: Path, plan: Plan) -> None:
        self._random = Random(plan.seed)  # noqa: S311 -- a seed makes the order of faults the same again
        self._api, self._cloud, self._plan = server.api(), cloud, plan
        self.figures = Figures()
        self._keeper = Keeper(server, cloud, log, self._random, self.figures)
        self._kaito = Kaito(self._api, plan, self._random, self.figures)
        self._begun: dict[str, int] = {}
        self._failed: dict[str, int] = {}
        self._faults = RandomFaults(random=self._random, errors=plan.errors, throttles=plan.throttles)
        cloud.do(self._set_up)
        self._foreign = cloud.do(self._foreign_etags)

    def _set_up(self) -> None:
        """As much is allowed as Azure does, in a world that is faster."""
        aks, arm = self._cloud.aks, self._cloud.arm
        arm.allowance = Allowance(cluster=Bucket(600, 10), others=Bucket(600, 10))
        arm.faults = self._faults
        aks.outcome = self._outcome
        aks.settle("theirs", {"vmSize": "Standard_D4s_v5", "count": 1}, "Failed")
        aks.settle(SAME_NAME, {"vmSize": "Standard_D4s_v5", "count": 1})
        half = {names.TAG_MANAGED_BY: names.MANAGED_BY, names.TAG_CLAIM: "handmade", "team": "ml"}
        aks.settle("handmade", {"vmSize": "Standard_D4s_v5", "count": 1, "tags": half})

    def _foreign_etags(self) -> dict[str, str]:
        found = {name: self._cloud.aks.records.get(name) for name in ("systempool", "theirs", "handmade", SAME_NAME)}
        return {name: record.etag if record else "gone" for name, record in found.items()}

    def _outcome(self, _name: str, properties: Json) -> Json | None:
        uid = properties["tags"][names.TAG_UID]
        self._begun[uid] = self._begun.get(uid, 0) + 1
        if self._random.random() >= self._plan.errors or not self._faults.raining:
            return None
        self._failed[uid] = self._failed.get(uid, 0) + 1
        cause = error("VMExtensionProvisioningTimeout", "by chance")
        return error("ReconcileVMSSAgentPoolFailed", "the pool failed", cause)

    def run(self) -> Figures:
        try:
            self._api.create(claim_body(SAME_NAME))
            self._storm()
            self._calm()
        finally:
            self._keeper.end()
        self._count()
        return self.figures

    def _storm(self) -> None:
        began, told = time.monotonic(), 0
        while (passed := time.monotonic() - began) < self._plan.seconds:
            self._keeper.tick(pair=passed > self._plan.seconds * 2 / 3)
            self._kaito.tick(self._look())
            if passed // 60 > told:
                told = int(passed // 60)
                say(f"minute {told}: {self.figures.claims} claims, {self.figures.kills} kills")
            time.sleep(0.1)

    def _look(self) -> dict[str, Json]:
        """A pool that was there before its claim was looked for and is there afterwards is leaked if there was none."""
        before = self._cloud.do(self._ours)
        claims = self._claims()
        alive = {body["metadata"]["uid"] for body in claims.values()}
        self.figures.leaked |= (before.keys() & self._cloud.do(self._ours).keys()) - alive
        return claims

    def _ours(self) -> dict[str, str]:
        """Name by UID of the claim."""
        found = {each.name: (each.properties.get("tags") or {}) for each in self._cloud.aks.list()}
        return {tags[names.TAG_UID]: name for name, tags in found.items() if names.TAG_UID in tags}

    def _claims(self) -> dict[str, Json]:
        return {each["metadata"]["name"]: each for each in self._api.request("GET", CLAIMS).body["items"]}

    def _calm(self) -> None:
        """Neither kills nor faults; what is left of the storm has to settle."""
        began = time.monotonic()
        self._faults.raining = False
        self._kaito.delete(SAME_NAME, "")
        wait_for(self._converged, self._describe, self._plan.calm)
        self.figures.converged_after = time.monotonic() - began

    def _converged(self) -> bool:
        self._keeper.tick(pair=True, merciful=True)
        claims, pools = self._look(), self._cloud.do(self._ours)
        ready = all(conditions(body).get("Ready") == "True" for body in claims.values())
        with_nodes = sorted(each["metadata"]["labels"]["agentpool"] for each in nodes(self._api))
        return ready and sorted(pools.values()) == sorted(claims) == with_nodes

    def _describe(self) -> str:
        claims = {name: conditions(body) for name, body in self._claims().items()}
        pools = self._cloud.do(lambda: {each.name: each.state for each in self._cloud.aks.list()})
        return f"{self.figures}\nclaims {claims}\npools {pools}\n{self._keeper.log.read_text()[-5000:]}"

    def _count(self) -> None:
        figures = self.figures
        figures.pools, figures.failed_pools = sum(self._begun.values()), sum(self._failed.values())
        figures.duplicates = sum(max(0, n - 1 - self._failed.get(uid, 0)) for uid, n in self._begun.items())
        foreign = self._cloud.do(self._foreign_etags)
        figures.foreign_touched = sum(foreign[name] != etag for name, etag in self._foreign.items())
        figures.requests = dict(self._faults.count)
        alive = {body["metadata"]["uid"] for body in self._claims().values()}
        figures.ended_by_us = len(self._kaito.made - self._kaito.ended - alive)


def soak(plan: Plan, folder: Path) -> Figures:
    with running_api_server() as server:
        prepare(server)
        with fake_cloud(folder, server.kubeconfig, TIMES) as cloud:
            figures = Soak(server, cloud, folder / "log", plan).run()
    say(str(figures))
    return figures


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.reconciler.soak", description=__doc__)
    parser.add_argument("--claims", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    say(f"seed {given.seed}")
    with TemporaryDirectory() as folder:
        figures = soak(Plan(given.claims, 60 * given.minutes, alive=80, seed=given.seed), Path(folder))
    return int(bool(figures.leaked or figures.duplicates or figures.foreign_touched))


if __name__ == "__main__":
    sys.exit(main())
