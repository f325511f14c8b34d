"""Is the API server of the tests a real one, and does nothing of it outlive its test process?"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.apiserver import GUEST, ApiServer, Object, RefusedError, load_definitions, running_api_server
from tests.apiserver.server import StartError, program

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CONFIG: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}, "data": {"a": "1"}}
SCHEMA: Object = {
    "type": "object",
    "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer", "maximum": 3}}}},
}
DEFINITION: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.example.test"},
    "spec": {
        "group": "example.test",
        "scope": "Namespaced",
        "names": {"kind": "Thing", "plural": "things"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}],
    },
}


def thing(name: str, **spec: object) -> Object:
    return {"apiVersion": "example.test/v1", "kind": "Thing", "metadata": {"name": name}, "spec": spec}


def policy(expression: str) -> list[Object]:
    """A policy over ConfigMaps of the namespace `policed`, and its binding, which only warns."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    group, name = "admissionregistration.k8s.io/v1", {"name": "test-policy"}
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "policed"}}}
    validations = [{"expression": expression, "message": "not like that"}]
    return [
        {
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": name,
            "spec": {"matchConstraints": {"resourceRules": [rule], **here}, "validations": validations},
        },
        {
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": name,
            "spec": {"policyName": "test-policy", "validationActions": ["Warn"]},
        },
    ]


def test_it_reports_the_version_that_is_pinned(api_server: ApiServer) -> None:
    version = api_server.api().request("GET", "/version").body
    pinned = next(
        line for line in (ROOT / "tools/kube/go.mod").read_text().splitlines() if "k8s.io/kubernetes v" in line
    )
    assert version["gitVersion"] == pinned.split()[1]
    assert [version["major"], version["minor"]] == version["gitVersion"].removeprefix("v").split(".")[:2]


def test_a_dry_run_is_judged_and_leaves_nothing(api_server: ApiServer) -> None:
    api = api_server.api()
    assert api.apply(CONFIG, dry_run=True).body["metadata"]["uid"]
    with pytest.raises(RefusedError) as caught:
        api.get(CONFIG)
    assert caught.value.status == 404


def test_an_unknown_field_is_refused(api_server: ApiServer) -> None:
    with pytest.raises(RefusedError, match="dta"):
        api_server.api().apply({**CONFIG, "dta": {}}, dry_run=True)


def test_a_loaded_definition_judges_its_kind(api_server: ApiServer) -> None:
    api = api_server.api()
    load_definitions(api, [DEFINITION])
    api.apply(thing("small", size=3), dry_run=True)
    with pytest.raises(RefusedError, match="should be less than or equal to 3"):
        api.apply(thing("large", size=4), dry_run=True)
    with pytest.raises(RefusedError, match=r"\.spec\.siez"):
        api.apply(thing("misspelt", siez=1), dry_run=True)


def test_a_policy_warns(api_server: ApiServer) -> None:
    api = api_server.api()
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "policed"}})
    for item in policy("object.data.a == '2'"):
        api.apply(item)
    item = {**CONFIG, "metadata": {"name": "warned", "namespace": "policed"}}
    deadline = time.monotonic() + 30
    while not (warnings := api.apply(item, dry_run=True).warnings):
        assert time.monotonic() < deadline
    assert any("not like that" in warning for warning in warnings)


def test_a_guest_may_do_what_is_granted_and_no_more(api_server: ApiServer) -> None:
    with pytest.raises(RefusedError) as caught:
        api_server.api(GUEST).apply(CONFIG, dry_run=True)
    assert (caught.value.status, caught.value.reason) == (403, "Forbidden")


def test_a_kubeconfig_lies_on_disk_for_each_user(api_server: ApiServer) -> None:
    config = json.loads(api_server.kubeconfig.read_text())
    assert [each["name"] for each in config["contexts"]] == ["admin", "guest"]
    kubectl = [str(Path(sys.executable).parent / "kubectl"), f"--kubeconfig={api_server.kubeconfig}", "auth", "whoami"]
    said = subprocess.run([*kubectl, "--context=guest"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "guest" in said
    assert "system:masters" not in said


def test_killed_and_started_again_it_has_its_data() -> None:
    with running_api_server() as server:
        before = server.api().apply(CONFIG).body
        for victims in (("kube-apiserver",), ("etcd",), ()):
            server.kill(*victims)
            server.start()
            assert server.api().get(CONFIG)["metadata"] == before["metadata"]


def test_it_is_gone_when_its_block_ends() -> None:
    with running_api_server() as server:
        pids = server.pids
        assert len(pids) == 2
    assert not any(is_running(pid) for pid in pids)
    assert not server.folder.exists()
    with socket.socket() as trial, pytest.raises(ConnectionRefusedError):
        trial.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))


def test_it_does_not_outlive_a_test_process_that_is_killed() -> None:
    lines = (
        "import time",
        "from tests.apiserver import running_api_server",
        "with running_api_server() as server:",
        "    print(server.folder, *server.pids, flush=True)",
        "    time.sleep(600)",
    )
    process = subprocess.Popen([sys.executable, "-c", "\n".join(lines)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with process:
        assert process.stdout
        folder, *pids = process.stdout.readline().split()
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while Path(folder).exists() or any(is_running(int(pid)) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_program_that_ends_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).write_text("#!/bin/sh\necho the disk is full >&2\nexit 3\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(StartError, match="ended with 3: the disk is full"), running_api_server():
        pass


def test_the_programs_of_kubebuilder_are_taken_where_it_names_them(tmp_path: Path) -> None:
    (tmp_path / "etcd").touch()
    assert program("etcd", {"KUBEBUILDER_ASSETS": str(tmp_path)}) == tmp_path / "etcd"
    assert program("etcd", {}) == ROOT / ".cache" / "tools" / "bin" / "etcd"
    with pytest.raises(FileNotFoundError, match="run `make tools`"):
        program("kube-apiserver", {"KUBEBUILDER_ASSETS": str(tmp_path)})
