"""Does `python -m reconciler --azure simulated` take a claim through its whole life at a real API server?"""

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apiserver import Api, ApiServer, running_api_server
from tests.reconciler.fake_kube import claim_body
from tests.reconciler.live import is_ready, live_claim, nodes, prepare, reconciling, wait_for

pytestmark = pytest.mark.slow

FAST = ("--azure=simulated", "--location=eastus", "--simulated-speed=20", "--settle=1s", "--list-period=2s")


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with running_api_server() as found:
        prepare(found)
        yield found


@pytest.fixture
def api(server: ApiServer) -> Api:
    return server.api()


def text(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize(("name", "size"), [("wsgpu", "Standard_NC24ads_A100_v4"), ("wscpu", "Standard_D16s_v5")])
def test_a_whole_life(server: ApiServer, api: Api, tmp_path: Path, name: str, size: str) -> None:
    with reconciling(server, tmp_path / "log", *FAST) as process:
        api.create(claim_body(name, size))
        wait_for(lambda: is_ready(api, name), process.describe)
        claim = live_claim(api, name)
        assert claim is not None
        (node,) = nodes(api)
        assert claim["status"]["nodeName"] == node["metadata"]["name"]
        assert claim["status"]["providerID"] == node["spec"]["providerID"]
        assert node["metadata"]["labels"]["karpenter.sh/registered"] == "true"
        assert node["metadata"]["ownerReferences"][0]["uid"] == claim["metadata"]["uid"]
        assert text(process.port("health_port"), "/readyz") == "ok\n"
        assert 'kaitops_reconciler_nodeclaims{phase="Ready"} 1.0' in text(process.port("metrics_port"), "/metrics")
        api.request("DELETE", f"/apis/karpenter.sh/v1/nodeclaims/{name}")
        wait_for(lambda: live_claim(api, name) is None, process.describe)
        assert nodes(api) == []
        events = api.request("GET", "/api/v1/namespaces/default/events").body["items"]
        reasons = [each["reason"] for each in events if each["involvedObject"]["name"] == name]
        assert sorted(reasons) == ["NodePoolCreating", "NodePoolDeleting"]
        assert process.stop() == 0, process.describe()
        assert [each for each in process.messages() if each["level"] in ("warning", "error")] == []


def test_an_api_server_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    with running_api_server() as server:
        prepare(server)
        with reconciling(server, tmp_path / "log", *FAST, "--leader-election=false") as process:
            api = server.api()
            api.create(claim_body("before"))
            wait_for(lambda: is_ready(api, "before"), process.describe)
            server.kill()
            server.start()
            api.request("DELETE", "/apis/karpenter.sh/v1/nodeclaims/before")
            api.create(claim_body("after"))
            wait_for(lambda: live_claim(api, "before") is None, process.describe)
            wait_for(lambda: is_ready(api, "after"), process.describe)


def test_a_frozen_leader_ends_and_the_standby_takes_over(server: ApiServer, api: Api, tmp_path: Path) -> None:
    with reconciling(server, tmp_path / "one", *FAST) as first:
        wait_for(lambda: any(each["message"] == "leads" for each in first.messages()), first.describe)
        with reconciling(server, tmp_path / "two", *FAST) as second:
            wait_for(lambda: second.port("health_port"), second.describe)
            assert not any(each["message"] == "leads" for each in second.messages())
            first.kill()
            wait_for(lambda: any(each["message"] == "leads" for each in second.messages()), second.describe, 25)
            api.create(claim_body("heir"))
            wait_for(lambda: is_ready(api, "heir"), second.describe)
            api.request("DELETE", "/apis/karpenter.sh/v1/nodeclaims/heir")
            wait_for(lambda: live_claim(api, "heir") is None, second.describe)
