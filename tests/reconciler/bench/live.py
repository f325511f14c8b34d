"""How fast is the process that ships, and what does it weigh? By the clock on the wall.

A real API server, Azure's SDK over TLS, and the fake ARM, whose pools take seconds: what is measured is what the
reconciler adds.
"""

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.apiserver import Api, ApiServer, running_api_server
from tests.fakearm.aks import Times
from tests.fakearm.allowance import Allowance, Bucket
from tests.fakearm.cloud import FLAGS, FakeCloud, fake_cloud
from tests.reconciler.fake_kube import claim_body
from tests.reconciler.live import Reconciler, conditions, prepare, wait_for

ALONE = "--leader-election=false"
WIDE = "--pool-limit=1000"
CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"
WRITES = re.compile(r"apiserver_request_total\{(.*)\} (\S+)")
PATIENCE = 400.0


@dataclass
class Stage:
    server: ApiServer
    cloud: FakeCloud
    folder: Path

    @property
    def api(self) -> Api:
        return self.server.api()

    @contextmanager
    def process(self, *flags: str, log: str = "log") -> Iterator[Reconciler]:
        """One that works, as soon as it has read the pools."""
        began = self.listed()
        found = Reconciler(self.server, self.folder / log, *FLAGS, *flags, environment=self.cloud.environment)
        try:
            if ALONE in flags:
                wait_for(lambda: self.listed() > began, found.describe)
            yield found
        finally:
            if found.running:
                found.kill()

    def listed(self) -> int:
        return self.cloud.do(lambda: self.cloud.arm.count("GET", "agentPools"))

    def puts(self) -> dict[str, float]:
        """When the first PUT of each pool came."""
        seen = self.cloud.do(lambda: [each for each in self.cloud.arm.seen if each.method == "PUT"])
        return {each.path.rpartition("/")[2]: each.at for each in reversed(seen)}

    def claims(self) -> dict[str, bool]:
        """Whether each is ready."""
        items = self.api.request("GET", CLAIMS).body["items"]
        return {each["metadata"]["name"]: conditions(each).get("Ready") == "True" for each in items}

    def create(self, name: str) -> float:
        self.api.create(claim_body(name))
        return time.monotonic()

    def delete_all(self, process: Reconciler) -> None:
        for name in self.claims():
            self.api.request("DELETE", f"{CLAIMS}/{name}")
        wait_for(lambda: not self.claims(), process.describe, PATIENCE)

    def writes(self) -> "Counter[str]":
        """What the API server counted of the writes of a reconciler, by kind; the lease is none of a claim's."""
        found: Counter[str] = Counter()
        for labels, count in WRITES.findall(str(self.api.request("GET", "/metrics").body)):
            row = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            if (row["resource"], row["verb"]) in OURS and row["code"].startswith("2"):
                found[row["resource"]] += int(float(count))
        return found


OURS = {("nodeclaims", "PATCH"), ("nodes", "PATCH"), ("events", "POST")}
"""The claims are made and deleted by whom we play, the Nodes by their machine."""
NODE_WRITES_OF_A_MACHINE = 2
"""Its readiness, and the taint of a Node that is not ready."""


@contextmanager
def stage() -> Iterator[Stage]:
    with running_api_server() as server, TemporaryDirectory() as folder:
        prepare(server)
        with fake_cloud(Path(folder), server.kubeconfig, Times(create=3.0, update=1.0, delete=2.0)) as cloud:
            cloud.aks.limit = 1000
            cloud.fleet.join = 0.0  # As in Azure, whose pool is done when its Node is there.
            cloud.arm.allowance = Allowance(others=Bucket(6000, 100), cluster=Bucket(6000, 100))
            yield Stage(server, cloud, Path(folder))


def percentile(values: list[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, ceil(share * len(ranked)) - 1)]


@dataclass(frozen=True)
class Speed:
    seen_to_put: list[float]
    """Of claims that come one by one."""
    burst: float
    """From the first of many claims to the last PUT."""
    node_to_ready: list[float]
    writes: "dict[str, float]"
    """In a claim's life, by kind."""


def measure_speed(here: Stage, alone: int, together: int) -> Speed:
    with here.process(ALONE, WIDE) as process:
        before = here.writes()
        seen = _one_by_one(here, process, alone)
        here.delete_all(process)
        time.sleep(1)
        writes = {kind: count / alone for kind, count in (here.writes() - before).items()}
        writes["nodes"] -= NODE_WRITES_OF_A_MACHINE
        began = time.monotonic()
        for number in range(together):
            here.create(f"burst{number}")
        ready = _when_ready(here, process, together)
        puts = here.puts()
        burst = max(puts[name] for name in ready) - began
        due = here.cloud.do(lambda: dict(here.cloud.fleet.ready_at))
        return Speed(seen, burst, [ready[name] - due[name] for name in ready], writes)


def _one_by_one(here: Stage, process: Reconciler, count: int) -> list[float]:
    """Each comes when the last has its pool, some seconds later."""
    made: dict[str, float] = {}
    for number in range(count):
        name = f"alone{number}"
        made[name] = here.create(name)
        wait_for(lambda: made.keys() <= here.puts().keys(), process.describe)
        time.sleep(3.0 + number % 7 / 7)
    wait_for(lambda: all(here.claims().values()), process.describe)
    return [here.puts()[name] - at for name, at in made.items()]


def _when_ready(here: Stage, process: Reconciler, count: int) -> dict[str, float]:
    found: dict[str, float] = {}

    def look() -> bool:
        for name, ready in here.claims().items():
            if ready:
                found.setdefault(name, time.monotonic())
        return len(found) >= count

    wait_for(look, process.describe, PATIENCE)
    return found


@dataclass(frozen=True)
class Weight:
    claims: int
    mib: float
    core: float
    """Share of a core while nothing happens."""


def measure_weight(here: Stage, count: int, seconds: float) -> Weight:
    """At rest, with all claims ready."""
    with here.process(ALONE, WIDE) as process:
        for number in range(count):
            here.create(f"heavy{number}")
        wait_for(lambda: all(here.claims().values()), process.describe, PATIENCE)
        time.sleep(35)  # Until it lists as rarely as an idle one.
        before = _cpu_seconds(process.pid)
        time.sleep(seconds)
        used = _cpu_seconds(process.pid) - before
        return Weight(len(here.claims()), _rss_mib(process.pid), used / seconds)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mib(pid: int) -> float:
    (line,) = (each for each in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines() if "VmRSS" in each)
    return int(line.split()[1]) / 1024


def measure_failover(here: Stage, end: Callable[[Reconciler], object], times: int) -> list[float]:
    """From the end of the leader to the next one's first work."""
    found = []
    for number in range(times):
        with here.process(log=f"first{number}") as first:
            wait_for(lambda: _leads(first), first.describe)
            with here.process(log=f"second{number}") as second:
                wait_for(lambda: second.port("health_port"), second.describe)
                time.sleep(3)
                began = time.monotonic()
                end(first)
                wait_for(lambda: _leads(second), second.describe)
                found.append(time.monotonic() - began)
                second.stop()
    return found


def _leads(process: Reconciler) -> bool:
    return any(each["message"] == "leads" for each in process.messages())
