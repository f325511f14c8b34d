"""Does what leaves the catalog leave the cluster, in the right order and with nothing of anybody else's?"""

import pytest

from tests.e2e.argocd import NAMESPACE
from tests.e2e.environment import Environment
from tests.e2e.test_change import is_leaving, only_workspace

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_a_retired_model_is_taken_down_with_all_that_is_its_own(dev: Environment) -> None:
    unit, file = "blob-volume", "models/blob-volume.yaml"
    workspace = only_workspace(dev, unit)["metadata"]["name"]
    others = set(dev.journal.all("Workspace")) - {workspace}
    mark = dev.journal.mark()
    dev.publisher.edit(file, {"  clusters:": "  retired: true\n  clusters:"})
    commit = dev.publish("retire a model")
    dev.wait("gitops", commit)
    dev.journal.until(lambda: not dev.application(unit), "the Application is gone")
    gone = [(event.kind, event.name) for event in dev.journal.since(mark) if event.change == "DELETED"]
    assert gone.index(("HTTPRoute", unit)) < gone.index(("Workspace", workspace))
    assert gone.index(("Service", unit)) < gone.index(("Workspace", workspace))
    assert gone.index(("Workspace", workspace)) < gone.index(("Application", f"dev-{unit}"))
    left = [name for kind in ("Service", "HTTPRoute", "PersistentVolumeClaim") for name in dev.journal.all(kind)]
    assert not [name for name in left if name.startswith(f"{unit}-") and not name.startswith("blob-volume-inline")]
    assert others <= set(dev.journal.all("Workspace"))
    dev.publisher.put(file, None)
    dev.rollout("gitops", "remove its entry")


def test_a_suspended_model_frees_its_node_and_keeps_its_storage(dev: Environment) -> None:
    unit, file = "files-volume", "models/files-volume.yaml"
    claim = dev.journal.now("PersistentVolumeClaim", "research", "model-pvc")["metadata"]["uid"]
    dev.publisher.edit(file, {"  clusters:": "  suspended: true\n  clusters:"})
    dev.rollout(unit, "suspend a model")
    assert not [name for name in dev.journal.all("Workspace") if name.startswith(unit)]
    assert not dev.journal.now("Service", "research", unit)
    assert dev.journal.now("PersistentVolumeClaim", "research", "model-pvc")["metadata"]["uid"] == claim
    dev.publisher.edit(file, {"  suspended: true\n": ""})
    dev.rollout(unit, "and back")
    assert dev.journal.now("Service", "research", unit)
    assert dev.journal.now("PersistentVolumeClaim", "research", "model-pvc")["metadata"]["uid"] == claim


def test_losing_the_root_loses_no_model(dev: Environment) -> None:
    before = set(dev.journal.all("Workspace"))
    mark = dev.journal.mark()
    root = dev.application("gitops")
    dev.kube.api.delete(root)
    dev.journal.until(lambda: not dev.application("gitops"), "the root is gone")
    again = {key: root[key] for key in ("apiVersion", "kind", "spec")}
    kept = {key: root["metadata"][key] for key in ("name", "namespace", "labels")}
    dev.kube.api.apply({**again, "metadata": kept})
    commit = dev.publish("nothing")
    dev.wait("gitops", commit)
    leaving = [event for event in dev.journal.since(mark) if event.kind == "Workspace" and is_leaving(event)]
    assert not leaving
    assert set(dev.journal.all("Workspace")) == before
    assert dev.journal.now("Application", NAMESPACE, "dev-gateway")
