"""Production: sets of replicas, an autoscaler that is left alone, and nothing deleted without a person."""

from datetime import UTC, datetime

import pytest

from tests.apiserver import Object
from tests.e2e.environment import Environment
from tests.e2e.test_change import only_workspace

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def replicas(env: Environment, unit: str) -> int:
    return int(the_set(env, unit)["spec"]["replicas"])


def the_set(env: Environment, unit: str) -> Object:
    (found,) = (body for name, body in env.journal.all("InferenceSet").items() if name.startswith(f"{unit}-"))
    return found


def sync_options(env: Environment, unit: str) -> list[str]:
    found: list[str] = env.application(unit)["spec"]["syncPolicy"]["syncOptions"]
    return found


def approve(env: Environment, unit: str) -> None:
    """What the button in Argo CD's own interface does."""
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    env.change(env.application(unit), {"metadata": {"annotations": {"argocd.argoproj.io/deletion-approved": now}}})


def test_an_autoscaler_is_left_alone(prod: Environment) -> None:
    unit = "llama-3-1-8b"
    prod.change(the_set(prod, unit), {"spec": {"replicas": 3}})
    prod.rollout(unit, "nothing")
    assert replicas(prod, unit) == 3
    prod.change(the_set(prod, unit), {"spec": {"replicas": 1}})


def test_a_fixed_number_of_replicas_is_healed(prod: Environment) -> None:
    prod.change(the_set(prod, "phi-4"), {"spec": {"replicas": 5}})
    prod.journal.until(lambda: replicas(prod, "phi-4") == 2, "two replicas again")


def test_replicas_of_kaito_are_not_argocds(prod: Environment) -> None:
    name = the_set(prod, "phi-4")["metadata"]["name"]
    children = [
        one for one in prod.journal.all("Workspace").values() if one["metadata"].get("generateName") == f"{name}-"
    ]
    assert len(children) >= 2
    assert not [one for one in children if "argocd.argoproj.io/tracking-id" in one["metadata"].get("annotations", {})]


def test_an_old_revision_waits_for_a_person(prod: Environment) -> None:
    unit = "phi-4-mini"
    old = only_workspace(prod, unit)["metadata"]["name"]
    prod.publisher.edit("models/phi-4-mini.yaml", {"context: 16384": "context: 32768"})
    new = prod.kaito(unit)["metadata"]["name"]
    commit = prod.publish("a longer context")
    prod.journal.until(lambda: "pruning confirmation" in prod.operation(unit).get("message", ""), "it asks")
    assert prod.journal.now("Service", "chat", unit)["spec"]["selector"]["kaito.sh/workspace"] == new
    assert prod.journal.now("Workspace", "chat", old)
    approve(prod, unit)
    prod.wait(unit, commit)
    assert not prod.journal.now("Workspace", "chat", old)


def test_a_retired_model_waits_for_a_person(prod: Environment) -> None:
    unit = "qwen2-5-coder-32b"
    name = only_workspace(prod, unit)["metadata"]["name"]
    prod.publisher.edit("models/qwen2-5-coder-32b.yaml", {"  clusters:": "  retired: true\n  clusters:"})
    prod.publish("retire a model")
    prod.journal.until(lambda: "deletionTimestamp" in prod.application(unit)["metadata"], "the Application is leaving")
    # Everybody else's changes go on meanwhile, those of the root included.
    prod.publisher.edit("models/mistral-7b-own-nodes.yaml", {"rollout: Recreate": "rollout: BlueGreen"})
    prod.publish("another model's sync options")
    prod.journal.until(
        lambda: "PruneLast=true" in sync_options(prod, "mistral-7b-own-nodes"), "the root has applied it"
    )
    assert "deletionTimestamp" not in prod.journal.now("Workspace", "chat", name)["metadata"]
    approve(prod, unit)
    prod.journal.until(lambda: not prod.application(unit), "the Application is gone")
    assert not prod.journal.now("Workspace", "chat", name)
