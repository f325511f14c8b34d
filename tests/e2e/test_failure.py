"""What happens to a revision that does not come up, and does it hold back the commit that mends it?"""

import pytest

from tests.apiserver import Object
from tests.e2e.environment import Environment
from tests.e2e.test_change import is_leaving, only_workspace, target, workspaces

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def health(application: Object) -> str:
    return str(application.get("status", {}).get("health", {}).get("status"))


def test_a_failing_revision_never_gets_the_traffic_and_the_mending_commit_gets_through(dev: Environment) -> None:
    unit, file = "qwen2-5-coder-7b", "models/qwen2-5-coder-7b.yaml"
    old = only_workspace(dev, unit)["metadata"]["name"]
    mark = dev.journal.mark()
    dev.publisher.edit(file, {"context: 16384": "context: 32768"})
    failing = dev.kaito(unit)["metadata"]["name"]
    dev.operators.let(failing, "progressing-pending-node", "degraded-out-of-memory")
    dev.publish("a context that does not fit")
    dev.journal.until(lambda: health(dev.application(unit)) == "Degraded", "degraded")
    # The sync is tried again with everything already applied: still the old revision must keep the traffic.
    dev.journal.until(lambda: dev.operation(unit).get("retryCount", 0) >= 2, "two retries")
    assert target(dev.journal.now("Service", "research", unit)) == old
    assert set(workspaces(dev, unit)) == {old, failing}
    dev.publisher.edit(file, {"context: 32768": "context: 8192"})
    mended = dev.kaito(unit)["metadata"]["name"]
    dev.rollout(unit, "a context that fits")
    assert list(workspaces(dev, unit)) == [mended]
    targets = [target(event.body) for event in dev.journal.since(mark) if (event.kind, event.name) == ("Service", unit)]
    assert failing not in targets
    assert targets[-1] == mended


def test_a_person_sees_why_a_revision_failed(dev: Environment) -> None:
    unit = "phi-3-adapter"
    dev.publisher.edit("models/phi-3-adapter.yaml", {"strength: 1.0": "strength: 0.5"})
    failing = dev.kaito(unit)["metadata"]["name"]
    dev.operators.let(failing, "degraded-out-of-memory")
    dev.publish("a strength that does not work")
    dev.journal.until(lambda: dev.operation(unit).get("retryCount", 0) >= 1, "one retry")
    results = dev.operation(unit)["syncResult"]["resources"]
    found = next(result for result in results if result["name"] == failing)
    assert "shorten the context" in found["message"], found
    dev.operators.let(failing, "healthy-serving")
    dev.journal.until(lambda: list(workspaces(dev, unit)) == [failing], "the healed revision takes over")


def test_a_revert_of_a_failing_revision_leaves_what_runs_alone(dev: Environment) -> None:
    unit, file = "phi-3-dolly", "models/phi-3-dolly.yaml"
    old = only_workspace(dev, unit)["metadata"]["name"]
    mark = dev.journal.mark()
    dev.publisher.edit(file, {"context: 8192": "context: 65536"})
    failing = dev.kaito(unit)["metadata"]["name"]
    dev.operators.let(failing, "degraded-waiting-for-quota")
    dev.publish("a longer context")
    dev.journal.until(lambda: dev.operation(unit).get("retryCount", 0) >= 1, "one retry")
    dev.publisher.edit(file, {"context: 65536": "context: 8192"})
    dev.rollout(unit, "back again")
    assert list(workspaces(dev, unit)) == [old]
    events = dev.journal.since(mark)
    assert not [event for event in events if event.name == old and event.kind == "Workspace" and is_leaving(event)]
    assert {target(event.body) for event in events if (event.kind, event.name) == ("Service", unit)} <= {old}


def test_a_revert_while_a_revision_starts_waits_for_it(dev: Environment) -> None:
    """Argo CD takes no commit while a sync waits; the way out is the end of that sync, by hand."""
    unit, file = "bloomz-8bit", "models/bloomz-8bit.yaml"
    old = only_workspace(dev, unit)["metadata"]["name"]
    mark = dev.journal.mark()
    dev.publisher.edit(file, {"memory: 16Gi": "memory: 24Gi"})
    starting = dev.kaito(unit)["metadata"]["name"]
    dev.operators.let(starting, "progressing-pending-node")
    dev.publish("more memory")
    dev.journal.until(lambda: "Workspace" in dev.operation(unit).get("message", ""), "the sync waits for the Workspace")
    dev.publisher.edit(file, {"memory: 24Gi": "memory: 16Gi"})
    commit = dev.publish("back again")
    compared = lambda: dev.application(unit)["status"]["sync"]["revision"] == commit  # noqa: E731
    dev.journal.until(compared, "Argo CD has seen the revert")
    assert dev.operation(unit)["phase"] == "Running"
    assert dev.operation(unit)["operation"]["sync"]["revision"] != commit
    dev.kube.merge(dev.application(unit), {"status": {"operationState": {"phase": "Terminating"}}})
    dev.wait(unit, commit)
    assert list(workspaces(dev, unit)) == [old]
    events = dev.journal.since(mark)
    assert {target(event.body) for event in events if (event.kind, event.name) == ("Service", unit)} <= {old}
