"""`python -m reconciler` as a process of its own, against a real API server, with the rights that it is given."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.apiserver import Api, ApiServer, load_definitions
from tests.apiserver.client import RefusedError
from tests.installation.rendered import kubeconfig, rendered_objects
from tools.distill.sources import definitions, fetch

ROOT = Path(__file__).parents[2]
SECONDS = 120.0


def prepare(server: ApiServer) -> Api:
    """The NodeClaim definition of the pinned Karpenter, and the unit that is rolled out: the reconciler's rights."""
    api = server.api()
    load_definitions(api, [crd for crd, _ in definitions(fetch()) if crd["spec"]["names"]["kind"] == "NodeClaim"])
    for body in rendered_objects("dev").values():
        api.apply(body)
    kubeconfig(server)
    return api


class Reconciler:
    """A process, its log and its ports."""

    def __init__(
        self, server: ApiServer, log: Path, *flags: str, environment: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.log = log
        # The simulated machines write Nodes, which is no right of a reconciler: they sign in for themselves.
        command = [sys.executable, "-m", "reconciler", "run", f"--kubeconfig={kubeconfig(server)}"]
        command += [f"--simulated-kubeconfig={server.kubeconfig}"]
        ports = ["--metrics-port=0", "--health-port=0", "--bind=127.0.0.1"]
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [*command, *ports, *flags],
                cwd=ROOT,
                stdout=file,
                stderr=file,
                env={**os.environ, "PYTHONWARNINGS": "error", **environment},
            )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """A clean stop; its exit status."""
        self._process.terminate()
        return self._process.wait(timeout=30)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def messages(self) -> list[dict[str, Any]]:
        found = []
        for line in self.log.read_text().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def port(self, which: str) -> int:
        wait_for(lambda: any("metrics_port" in each for each in self.messages()), self.describe)
        return int(next(each[which] for each in reversed(self.messages()) if which in each))

    def describe(self) -> str:
        return self.log.read_text()[-3000:]


@contextmanager
def reconciling(server: ApiServer, log: Path, *flags: str) -> Iterator[Reconciler]:
    process = Reconciler(server, log, *flags)
    try:
        yield process
    finally:
        if process.running:
            process.kill()


def wait_for(condition: Callable[[], object], describe: Callable[[], str] = str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, describe()
        time.sleep(0.1)


def live_claim(api: Api, name: str) -> dict[str, Any] | None:
    """The claim as it is now; None: there is none."""
    try:
        found: dict[str, Any] = api.request("GET", f"/apis/karpenter.sh/v1/nodeclaims/{name}").body
    except RefusedError as error:
        if error.status == 404:
            return None
        raise
    return found


def conditions(claim: dict[str, Any] | None) -> dict[str, str]:
    bodies = ((claim or {}).get("status") or {}).get("conditions") or ()
    return {each["type"]: each["status"] for each in bodies}


def is_ready(api: Api, name: str) -> bool:
    return conditions(live_claim(api, name)).get("Ready") == "True"


def nodes(api: Api) -> list[dict[str, Any]]:
    return list(api.request("GET", "/api/v1/nodes").body["items"])
