"""Does each sort of edit roll out as the verdict table says: live, restart, blue-green, recreate?

Each test has a model of its own, of the committed catalog or added by it, so that their order is of no account.
"""

import pytest

from tests.apiserver import Object
from tests.e2e.environment import Environment, is_done
from tests.e2e.journal import Event

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def is_served(event: Event) -> bool:
    return bool(event.body.get("status", {}).get("state") == "Ready")


def is_leaving(event: Event) -> bool:
    return "deletionTimestamp" in event.body["metadata"] or event.change == "DELETED"


def workspaces(env: Environment, unit: str) -> dict[str, Object]:
    """The unit's Workspaces as they are now."""
    label = "app.kubernetes.io/name"
    return {
        name: body
        for name, body in env.journal.all("Workspace").items()
        if body["metadata"].get("labels", {}).get(label) == unit
    }


def only_workspace(env: Environment, unit: str) -> Object:
    (found,) = workspaces(env, unit).values()
    return found


def target(service: Object) -> str:
    return str(service["spec"]["selector"]["kaito.sh/workspace"])


NEW_MODEL = """\
apiVersion: catalog.kaitops.dev/v1
kind: Model
metadata:
  name: NAME
spec:
  owner: chat
  description: A model of one test alone
  license: mit
  source:
    preset:
      name: phi-4-mini-instruct
      revision: c0fb9e74abda11b496b7907a9c6c9009a7a0488f
  serving:
    context: 8192
  clusters:
    dev: {sku: Standard_NC24ads_A100_v4}
"""


def added(env: Environment, unit: str) -> str:
    """Add a model that serves, of this test alone; its file."""
    file = f"models/{unit}.yaml"
    env.publisher.put(file, NEW_MODEL.replace("NAME", unit))
    commit = env.publish("a new model")
    env.journal.until(lambda: is_done(env.application(unit), commit), "the first replica serves")
    return file


def test_a_blue_green_edit_serves_without_a_gap(dev: Environment) -> None:
    unit = "phi-4-mini"
    old = only_workspace(dev, unit)["metadata"]["name"]
    mark = dev.journal.mark()
    dev.publisher.edit("models/phi-4-mini.yaml", {"context: 8192": "context: 4096"})
    new = dev.kaito(unit)["metadata"]["name"]
    dev.rollout(unit, "a shorter context")
    events = dev.journal.since(mark)
    made = next(event for event in events if event.name == new and event.change == "ADDED")
    served = next(event for event in events if event.name == new and is_served(event))
    moved = next(
        event for event in events if event.name == unit and event.kind == "Service" and target(event.body) == new
    )
    pruned = next(event for event in events if event.name == old and is_leaving(event))
    assert made.order < served.order < moved.order < pruned.order
    assert list(workspaces(dev, unit)) == [new]
    configs = [name for name in dev.journal.all("ConfigMap", "chat") if name.startswith(f"{unit}-config-")]
    assert configs == [dev.kaito(unit)["inference"]["config"]]


def test_a_canary_is_promoted_without_a_new_object(dev: Environment) -> None:
    """It gets its share when it serves, and becomes the one that serves as the object that it is."""
    unit = "songbird"
    file = added(dev, unit)
    old = only_workspace(dev, unit)["metadata"]["name"]
    served, tried = (
        "{sku: Standard_NC24ads_A100_v4}",
        "{sku: Standard_NC24ads_A100_v4, canary: {weight: 10, context: 4096}}",
    )
    dev.publisher.edit(file, {served: tried})
    dev.rollout(unit, "a canary")
    (canary,) = (body["metadata"] for name, body in workspaces(dev, unit).items() if name != old)
    refs = dev.journal.now("HTTPRoute", "chat", unit)["spec"]["rules"][0]["backendRefs"]
    assert {ref["name"]: ref["weight"] for ref in refs} == {unit: 90, f"{unit}-canary": 10}
    assert target(dev.journal.now("Service", "chat", unit)) == old
    assert target(dev.journal.now("Service", "chat", f"{unit}-canary")) == canary["name"]
    mark = dev.journal.mark()
    dev.publisher.edit(file, {tried: served.replace("}", ", context: 4096}")})
    dev.rollout(unit, "promoted")
    after = only_workspace(dev, unit)["metadata"]
    assert (after["name"], after["uid"], after["generation"]) == (canary["name"], canary["uid"], canary["generation"])
    events = dev.journal.since(mark)
    moved = next(
        event
        for event in events
        if (event.kind, event.name) == ("Service", unit) and target(event.body) == after["name"]
    )
    pruned = next(event for event in events if event.name == old and is_leaving(event))
    assert moved.order < pruned.order


def test_a_live_edit_touches_nothing_that_runs(dev: Environment) -> None:
    unit = "azureml-registry"
    before = only_workspace(dev, unit)["metadata"]
    mark = dev.journal.mark()
    dev.publisher.edit("models/azureml-registry.yaml", {"license: proprietary": "license: mit"})
    dev.rollout(unit, "another licence")
    after = only_workspace(dev, unit)["metadata"]
    assert after["labels"]["kaitops.dev/license"] == "mit"
    assert (after["uid"], after["generation"]) == (before["uid"], before["generation"])
    assert not [event for event in dev.journal.since(mark) if event.name == before["name"] and is_leaving(event)]


def test_an_edit_with_rollout_restart_keeps_the_object(dev: Environment) -> None:
    unit, file = "llama-3-1-8b", "models/llama-3-1-8b.yaml"
    dev.publisher.edit(file, {"  clusters:": "  rollout: Restart\n  clusters:"})
    dev.rollout(unit, "accept restarts")
    before = only_workspace(dev, unit)
    mark = dev.journal.mark()
    dev.publisher.edit(file, {"context: 32768": "context: 16384"})
    dev.rollout(unit, "a shorter context")
    after = only_workspace(dev, unit)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["inference"]["config"] != before["inference"]["config"]
    events = dev.journal.since(mark)
    changed = next(
        event for event in events if event.kind == "Workspace" and event.body.get("inference") == after["inference"]
    )
    config = next(event for event in events if event.name == after["inference"]["config"])
    pruned = next(event for event in events if event.name == before["inference"]["config"] and is_leaving(event))
    assert config.order < changed.order < pruned.order


def test_an_edit_with_rollout_recreate_frees_the_gpus_first(dev: Environment) -> None:
    unit = "mistral-7b-own-nodes"
    old = only_workspace(dev, unit)["metadata"]["name"]
    mark = dev.journal.mark()
    dev.publisher.edit("models/mistral-7b-own-nodes.yaml", {"context: 16384": "context: 8192"})
    new = dev.kaito(unit)["metadata"]["name"]
    dev.rollout(unit, "a shorter context")
    events = dev.journal.since(mark)
    gone = next(event for event in events if (event.name, event.kind, event.change) == (old, "Workspace", "DELETED"))
    made = next(event for event in events if event.name == new and event.change == "ADDED")
    assert gone.order < made.order
    assert target(dev.journal.now("Service", "search", unit)) == new


def test_a_workspace_becomes_a_set_without_a_gap(dev: Environment) -> None:
    unit = "twins"
    file = added(dev, unit)
    old = only_workspace(dev, unit)["metadata"]["name"]
    mark = dev.journal.mark()
    dev.publisher.edit(file, {"_A100_v4}": "_A100_v4, replicas: 2}"})
    new = dev.kaito(unit)["metadata"]["name"]
    dev.rollout(unit, "two replicas")
    events = dev.journal.since(mark)
    served = next(
        event for event in events if event.name == new and event.body.get("status", {}).get("readyReplicas") == 2
    )
    moved = next(event for event in events if (event.kind, event.name) == ("Service", unit))
    pruned = next(event for event in events if event.name == old and is_leaving(event))
    assert served.order < moved.order < pruned.order
    assert moved.body["spec"]["selector"] == {"inferenceset.kaito.sh/created-by": new}
