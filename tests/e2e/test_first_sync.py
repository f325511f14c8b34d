"""Does a cluster come up from its root alone, with every unit healthy and each object in its turn?"""

import pytest

from tests.apiserver import Object
from tests.e2e.environment import Environment, is_done
from tests.e2e.journal import Event

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def first(events: list[Event], kind: str, name: str) -> Event:
    return next(event for event in events if (event.kind, event.name) == (kind, name))


def ready(body: Object) -> bool:
    return body.get("status", {}).get("state") in {"Ready", "Succeeded"}


def test_argocd_judges_kaito_before_anything_of_kaito_is_there(dev: Environment) -> None:
    events = dev.first_sync
    judged = next(
        event
        for event in events
        if event.name == "argocd-cm" and "resource.customizations.health.kaito.sh_Workspace" in event.body["data"]
    )
    models = [event for event in events if event.kind == "Application" and event.change == "ADDED"]
    units = [event for event in models if event.name not in {"dev-gitops", "dev-namespaces", "dev-gateway"}]
    assert judged.order < min(event.order for event in units)


def test_a_model_is_routed_to_once_it_is_served(dev: Environment) -> None:
    events = dev.first_sync
    routes = [event for event in events if (event.kind, event.change) == ("HTTPRoute", "ADDED")]
    assert len(routes) > 10
    for route in routes:
        service = first(events, "Service", route.name)
        name = service.body["spec"]["selector"]["kaito.sh/workspace"]
        served = next(event for event in events if event.name == name and ready(event.body))
        assert served.order < service.order < route.order


LATE_VOLUME = """\
apiVersion: catalog.kaitops.dev/v1
kind: RagEngine
metadata:
  name: minutes
spec:
  owner: chat
  description: Answers from the minutes, with its index on a volume of its own class
  embedding:
    local: {model: BAAI/bge-small-en-v1.5}
  storage: {size: 100Gi, storageClass: bound-on-first-use}
  inference: {model: phi-4-mini, contextWindow: 4000}
  clusters:
    dev: {sku: Standard_NV36ads_A10_v5}
"""


def test_a_volume_that_its_first_pod_binds_holds_nothing_up(dev: Environment) -> None:
    dev.publisher.put("rag/minutes.yaml", LATE_VOLUME)
    commit = dev.publish("an engine with a late volume")
    dev.journal.until(lambda: is_done(dev.application("minutes"), commit), "`minutes` rolled out")
    claims = dev.journal.all("PersistentVolumeClaim", "chat")
    assert claims["minutes-index"]["status"]["phase"] == "Bound"
