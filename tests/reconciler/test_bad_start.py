"""Does the process that ships wait for what is down at its start, and say what it lacks, rather than end?"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver import ApiServer, running_api_server
from tests.fakearm.aks import Times
from tests.fakearm.answer import RefusedError
from tests.fakearm.cloud import FLAGS, FakeCloud, fake_cloud
from tests.reconciler.fake_kube import claim_body
from tests.reconciler.live import Reconciler, is_ready, live_claim, prepare, wait_for

pytestmark = pytest.mark.slow
QUICK = ("--settle=1s", "--list-period=1s", "--idle-period=2s", "--leader-election=false")


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with running_api_server() as found:
        prepare(found)
        yield found


@pytest.fixture
def cloud(server: ApiServer, tmp_path: Path) -> Iterator[FakeCloud]:
    with fake_cloud(tmp_path, server.kubeconfig, Times(2.0, 1.0, 1.0)) as found:
        yield found


@pytest.fixture
def process(server: ApiServer, cloud: FakeCloud, tmp_path: Path) -> Iterator[Reconciler]:
    started = Reconciler(server, tmp_path / "log", *FLAGS, *QUICK, environment=cloud.environment)
    try:
        yield started
    finally:
        if started.running:
            started.kill()


def said(process: Reconciler, text: str) -> bool:
    return any(text in json.dumps(each) for each in process.messages())


def launched(server: ApiServer, name: str) -> dict[str, Any]:
    body = live_claim(server.api(), name) or {}
    found = [each for each in (body.get("status") or {}).get("conditions") or () if each["type"] == "Launched"]
    return found[0] if found else {"reason": ""}


def ends_well(server: ApiServer, process: Reconciler, name: str) -> None:
    """The claim gets ready, is deleted, and the process was the same one all the time."""
    api = server.api()
    wait_for(lambda: is_ready(api, name), process.describe)
    api.request("DELETE", f"/apis/karpenter.sh/v1/nodeclaims/{name}")
    wait_for(lambda: live_claim(api, name) is None, process.describe)
    assert process.stop() == 0, process.describe()
    assert "Traceback" not in process.log.read_text()


def test_an_arm_that_is_down_at_the_start_is_waited_for(
    server: ApiServer, cloud: FakeCloud, process: Reconciler
) -> None:
    cloud.do(lambda: cloud.arm.faults.refuse("GET", RefusedError(503, "ServiceUnavailable", "down"), times=3))
    server.api().create(claim_body("armdown"))
    wait_for(lambda: said(process, "the node pools cannot be read"), process.describe)
    ends_well(server, process, "armdown")


def test_a_right_that_is_missing_is_named_and_heals(server: ApiServer, cloud: FakeCloud, process: Reconciler) -> None:
    cloud.do(lambda: cloud.arm.denied.add("write"))
    server.api().create(claim_body("noright"))
    wait_for(lambda: launched(server, "noright")["reason"] == "AuthorizationFailed", process.describe)
    assert "lacks a right on the cluster" in launched(server, "noright")["message"]
    server.api().request("DELETE", "/apis/karpenter.sh/v1/nodeclaims/noright")
    wait_for(lambda: live_claim(server.api(), "noright") is None, process.describe)
    cloud.do(lambda: cloud.arm.denied.discard("write"))
    server.api().create(claim_body("noright"))
    ends_well(server, process, "noright")


def test_a_token_that_expires_is_replaced(server: ApiServer, cloud: FakeCloud, process: Reconciler) -> None:
    wait_for(lambda: cloud.do(lambda: cloud.arm.count("GET")) >= 2, process.describe)

    def expire() -> None:
        cloud.arm.tokens, cloud.arm.expired, cloud.identity.token = {"new"}, {"good"}, "new"

    cloud.do(expire)
    server.api().create(claim_body("expired"))
    ends_well(server, process, "expired")
    used = cloud.do(lambda: {each.headers.get("authorization") for each in cloud.arm.seen})
    assert used == {"Bearer good", "Bearer new"}


def test_an_api_server_that_is_down_at_the_start_is_waited_for(tmp_path: Path) -> None:
    with running_api_server() as server:
        prepare(server)
        with fake_cloud(tmp_path, server.kubeconfig, Times(2.0, 1.0, 1.0)) as cloud:
            server.kill("kube-apiserver")
            process = Reconciler(server, tmp_path / "log", *FLAGS, *QUICK, environment=cloud.environment)
            try:
                wait_for(lambda: said(process, "watch begins again"), process.describe)
                time.sleep(3)  # It goes on without one.
                assert process.running, process.describe()
                server.start()
                server.api().create(claim_body("early"))
                ends_well(server, process, "early")
            finally:
                if process.running:
                    process.kill()


def test_an_api_server_without_the_definition_of_claims_is_waited_for(tmp_path: Path) -> None:
    with running_api_server() as server, fake_cloud(tmp_path, server.kubeconfig, Times(2.0, 1.0, 1.0)) as cloud:
        process = Reconciler(server, tmp_path / "log", *FLAGS, *QUICK, environment=cloud.environment)
        try:
            wait_for(lambda: said(process, "watch begins again"), process.describe)
            prepare(server).create(claim_body("first"))
            ends_well(server, process, "first")
        finally:
            if process.running:
                process.kill()
