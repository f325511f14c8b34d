"""What would KAITO's controller and the others of a cluster write into an object's status?

No registry has KAITO. The stand-in gives an object the states of `tests/gitops/health/`, which were written from
KAITO's sources and which the health checks are proved against, one after the other. Pure: objects in, patches out.
"""

import copy
import functools
from pathlib import Path
from typing import Any

import yaml

from tests.apiserver import Object

STATES = Path(__file__).parent.parent / "gitops" / "health"
FINALIZERS = {
    "Workspace": "workspace.finalizer.kaito.sh",
    "InferenceSet": "inferenceset.finalizer.kaito.sh",
    "RAGEngine": "ragengine.finalizer.kaito.sh",
}
WAITING = {
    "Workspace": "progressing-pending-node",
    "InferenceSet": "progressing-one-of-two",
    "RAGEngine": "progressing-node",
}
SERVING = {"Workspace": "healthy-serving", "InferenceSet": "healthy-all-ready", "RAGEngine": "healthy-serving"}
TUNED = "healthy-tuning-succeeded"


@functools.cache
def _status(kind: str, state: str) -> Object:
    found: Object = yaml.safe_load((STATES / kind / f"{state}.yaml").read_text())["object"]["status"]
    return found


def course_of(kind: str, body: Object) -> tuple[str, ...]:
    """The states that an object goes through when all goes well."""
    return (WAITING[kind], TUNED if "tuning" in body else SERVING[kind])


def status_of(kind: str, state: str, body: Object) -> Object:
    """A recorded state, as of the object's own generation and size."""
    status = copy.deepcopy(_status(kind, state))
    for condition in status["conditions"]:
        condition["observedGeneration"] = body["metadata"]["generation"]
        condition["lastTransitionTime"] = body["metadata"]["creationTimestamp"]
    if kind == "InferenceSet":
        wanted = body["spec"].get("replicas", 1)
        status["replicas"] = wanted
        status["readyReplicas"] = wanted if state == SERVING[kind] else 0
    return status


def child_service(body: Object) -> Object:
    """The Service that KAITO makes for a Workspace, under its name and owned by it: not Argo CD's to prune."""
    meta = body["metadata"]
    owner = {"apiVersion": body["apiVersion"], "kind": body["kind"], "name": meta["name"], "uid": meta["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "ownerReferences": [owner | {"controller": True}],
        },
        "spec": {"selector": {"kaito.sh/workspace": meta["name"]}, "ports": [{"port": 80, "targetPort": 5000}]},
    }


def child_workspace(body: Object) -> Object:
    """One replica of an InferenceSet. Labels and annotations come from its template, never from itself."""
    meta, template = body["metadata"], body["spec"]["template"]
    owner = {"apiVersion": body["apiVersion"], "kind": body["kind"], "name": meta["name"], "uid": meta["uid"]}
    return {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {
            **template.get("metadata", {}),
            "generateName": f"{meta['name']}-",
            "namespace": meta["namespace"],
            "labels": {"inferenceset.kaito.sh/created-by": meta["name"]},
            "ownerReferences": [owner | {"controller": True}],
        },
        "resource": {**template.get("resource", {}), "labelSelector": body["spec"]["labelSelector"]},
        "inference": template["inference"],
    }


def condition(kind: str, body: Object, status: str = "True", reason: str = "", message: str = "") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason or kind,
        "message": message,
        "observedGeneration": body["metadata"]["generation"],
        "lastTransitionTime": body["metadata"]["creationTimestamp"],
    }


def deployment_status(body: Object) -> Object:
    """Its pods run: there is no node here that could start one."""
    wanted = body["spec"].get("replicas", 1)
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), wanted)
    return {"observedGeneration": body["metadata"]["generation"], **counts}


def gateway_status(body: Object) -> Object:
    return {"conditions": [condition("Accepted", body), condition("Programmed", body)]}


def route_status(body: Object, missing: list[str]) -> Object:
    """Istio refuses a route whose backend is not there, and says so at once."""
    resolved = condition("ResolvedRefs", body)
    if missing:
        resolved = condition("ResolvedRefs", body, "False", "BackendNotFound", f"backend {missing[0]} not found")
    parent = {"controllerName": "istio.io/gateway-controller", "parentRef": body["spec"]["parentRefs"][0]}
    return {"parents": [parent | {"conditions": [condition("Accepted", body), resolved]}]}


def secret_status(body: Object) -> Object:
    made = condition("Ready", body, reason="SecretSynced", message="secret synced")
    return {"conditions": [{key: value for key, value in made.items() if key != "observedGeneration"}]}
