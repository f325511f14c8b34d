"""`make demo`: a real API server, the reconciler with a simulated Azure, and two claims, as a timeline."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.apiserver import Api, running_api_server
from tests.reconciler.fake_kube import claim_body
from tests.reconciler.live import is_ready, live_claim, nodes, prepare, reconciling

FLAGS = ("--azure=simulated", "--location=eastus", "--simulated-speed=3", "--settle=2s", "--leader-election=false")
CLAIMS = {"wsgpu": "Standard_NC24ads_A100_v4", "wscpu": "Standard_D16s_v5"}
SECONDS = 180


class Timeline:
    """Prints what is new since the last look."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._began = time.monotonic()
        self._known: dict[str, str] = {}

    def say(self, words: str) -> None:
        sys.stdout.write(f"{time.monotonic() - self._began:6.1f} s  {words}\n")
        sys.stdout.flush()

    def look(self) -> None:
        now = dict(self._facts())
        for key in [each for each in self._known if each not in now and "," not in each]:
            self.say(f"{key}: gone")
        for key, value in now.items():
            if self._known.get(key) != value:
                self.say(f"{key}: {value}")
        self._known = now

    def _facts(self) -> Iterator[tuple[str, str]]:
        for name in CLAIMS:
            claim = live_claim(self._api, name)
            if claim:
                yield from _conditions(claim)
        for node in nodes(self._api):
            ready = next(each["status"] for each in node["status"]["conditions"] if each["type"] == "Ready")
            yield f"Node {node['metadata']['name']}", "ready" if ready == "True" else "not ready"


def _conditions(claim: dict[str, Any]) -> Iterator[tuple[str, str]]:
    name = claim["metadata"]["name"]
    yield f"NodeClaim {name}", "is being deleted" if "deletionTimestamp" in claim["metadata"] else "exists"
    for each in (claim.get("status") or {}).get("conditions") or ():
        if each["reason"] not in ("AwaitingReconciliation", "ReconcilingDependents"):
            said = f" ({each['message']})" if each["message"] else ""
            yield f"NodeClaim {name}, {each['type']}", f"{each['status']} {each['reason']}{said}"


def main() -> int:
    with running_api_server() as server, TemporaryDirectory() as folder:
        api = prepare(server)
        timeline = Timeline(api)
        timeline.say("a Kubernetes API server runs, with Karpenter's NodeClaim")
        with reconciling(server, Path(folder) / "log", *FLAGS) as process:
            for name, size in CLAIMS.items():
                timeline.say(f"KAITO asks for {name}: one {size}")
                api.create(claim_body(name, size))
            if not _wait(timeline, lambda: all(is_ready(api, name) for name in CLAIMS)):
                sys.stdout.write(process.describe())
                return 1
            for name in CLAIMS:
                timeline.say(f"KAITO deletes {name}")
                api.request("DELETE", f"/apis/karpenter.sh/v1/nodeclaims/{name}")
            gone = _wait(timeline, lambda: not any(live_claim(api, name) for name in CLAIMS))
            timeline.say("nothing is left" if gone and not nodes(api) else "something is left")
            return int(not gone)


def _wait(timeline: Timeline, condition: Any) -> bool:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        timeline.look()
        if condition():
            timeline.look()
            return True
        time.sleep(0.2)
    return False


if __name__ == "__main__":
    sys.exit(main())
