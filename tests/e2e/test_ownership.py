"""What belongs to the repository, what to somebody else, and what happens where they meet?"""

from typing import Any

import pytest

from tests.apiserver import Object
from tests.e2e.argocd import FOREIGN, NAMESPACE
from tests.e2e.environment import Environment
from tests.e2e.test_change import is_leaving, only_workspace, target

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WORKSPACE_KEY = "resource.customizations.health.kaito.sh_Workspace"


def settings(env: Environment) -> dict[str, str]:
    found: dict[str, str] = env.journal.now("ConfigMap", NAMESPACE, "argocd-cm")["data"]
    return found


def test_the_health_checks_join_what_argocd_has_already(dev: Environment) -> None:
    assert FOREIGN.items() <= settings(dev).items()
    assert WORKSPACE_KEY in settings(dev)


def test_only_our_own_keys_are_healed(dev: Environment) -> None:
    ours = settings(dev)[WORKSPACE_KEY]
    config = dev.journal.now("ConfigMap", NAMESPACE, "argocd-cm")
    dev.change(config, {"data": {WORKSPACE_KEY: "return {}", "url": "https://other.example.com"}})
    dev.journal.until(lambda: settings(dev)[WORKSPACE_KEY] == ours, "our key is healed", 120)
    assert settings(dev)["url"] == "https://other.example.com"
    dev.change(config, {"data": {"url": FOREIGN["url"]}})


def test_a_health_check_of_git_is_at_work_after_its_commit(dev: Environment) -> None:
    unit = "azureml-workspace"
    path = dev.publisher.workshop.root / "clusters/base/gitops/health/kaito.sh_Workspace.lua"
    text = path.read_text()
    name = only_workspace(dev, unit)["metadata"]["name"]
    path.write_text(f'if obj.metadata.name == "{name}" then return {{status = "Degraded"}} end\n{text}')
    dev.rollout("gitops", "another health check")
    dev.refresh()
    dev.journal.until(lambda: health(dev, unit) == "Degraded", "the new check judges")
    path.write_text(text)
    dev.rollout("gitops", "the old one")
    dev.refresh()
    dev.journal.until(lambda: health(dev, unit) == "Healthy", "the old check judges again")


def health(env: Environment, unit: str) -> str:
    return str(env.application(unit)["status"]["health"]["status"])


def test_a_service_changed_by_hand_is_healed(dev: Environment) -> None:
    service = dev.journal.now("Service", "bloomz", "bloomz-560m")
    before = target(service)
    dev.change(service, {"spec": {"selector": {"kaito.sh/workspace": "elsewhere"}}})
    dev.journal.until(lambda: target(dev.journal.now("Service", "bloomz", "bloomz-560m")) == before, "healed")


def test_a_service_deleted_by_hand_comes_again(dev: Environment) -> None:
    service = dev.journal.now("Service", "research", "blob-download")
    dev.kube.api.delete(service)
    uid = service["metadata"]["uid"]
    dev.journal.until(
        lambda: dev.journal.now("Service", "research", "blob-download").get("metadata", {}).get("uid", uid) != uid,
        "the Service is there again",
    )


def test_what_kaito_makes_is_left_alone(dev: Environment) -> None:
    name = only_workspace(dev, "private-hub-model")["metadata"]["name"]
    mark = dev.journal.mark()
    dev.publisher.edit("models/private-hub-model.yaml", {"license: proprietary": "license: mit"})
    dev.rollout("private-hub-model", "another licence")
    assert dev.journal.now("Service", "research", name)["metadata"]["ownerReferences"]
    assert not [event for event in dev.journal.since(mark) if event.name == name and is_leaving(event)]


def stray(env: Environment, name: str, **source: Any) -> Object:
    """An Application of somebody who uses the units' project for something else."""
    spec = env.application("gateway")["spec"]
    destination = {**spec["destination"], "namespace": source.pop("namespace", "chat")}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {**spec, "source": {**spec["source"], **source}, "destination": destination},
    }


def complaints(env: Environment, name: str) -> str:
    status = env.journal.now("Application", NAMESPACE, name).get("status", {})
    results = status.get("operationState", {}).get("syncResult", {}).get("resources", [])
    return "\n".join(found.get("message", "") for found in [*status.get("conditions", []), *results])


ROLE = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: stray
rules: []
"""


@pytest.mark.parametrize(
    ("name", "source", "complaint"),
    [
        ("other-repository", {"repoURL": "https://git.example.com/other.git"}, "is not permitted in project"),
        ("other-namespace", {"namespace": "kube-system"}, "do not match any of the allowed destinations"),
        ("other-project", {"path": "clusters/dev/gitops", "namespace": NAMESPACE}, "do not match any of the allowed"),
        ("other-kind", {"path": "stray"}, "is not permitted in project"),
    ],
)
def test_the_project_refuses_what_is_not_ours(
    dev: Environment, name: str, source: dict[str, str], complaint: str
) -> None:
    folder = dev.publisher.checkout / "stray"
    folder.mkdir(exist_ok=True)
    (folder / "clusterrole.yaml").write_text(ROLE)
    dev.publish("a role")
    dev.kube.api.apply(stray(dev, name, **source))
    dev.journal.until(lambda: complaint in complaints(dev, name), complaint)
    dev.kube.api.delete(dev.journal.now("Application", NAMESPACE, name))
