"""The committed unit `reconciler` of a cluster as kustomize builds it: what is really rolled out."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from generator.checks.build import build_units
from generator.repository import Repository
from tests.apiserver import ApiServer

ROOT = Path(__file__).parents[2]
Object = dict[str, Any]
Key = tuple[str, str, str]
"""Kind, namespace (empty for none) and name."""
NAMESPACE, NAME = "kaitops-system", "kaitops-reconciler"
TOKEN_SECONDS = 24 * 3600
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{NAME}"


@cache
def rendered_objects(cluster: str) -> dict[Key, Object]:
    """In the order in which kustomize writes them: what others need comes first."""
    (built,) = build_units(Repository(ROOT), [f"clusters/{cluster}/reconciler"])
    assert not built.error
    return {
        (body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"]): body for body in built.objects
    }


def container(cluster: str) -> Object:
    (found,) = rendered_objects(cluster)["Deployment", NAMESPACE, NAME]["spec"]["template"]["spec"]["containers"]
    body: Object = found
    return body


def environment(cluster: str) -> dict[str, str]:
    """The variables that the pod starts with."""
    return {each["name"]: each["value"] for each in container(cluster)["env"]}


def kubeconfig(server: ApiServer) -> Path:
    """How its service account signs in: with a token, as a pod does. Made once, since the server may be down later."""
    path = server.folder / "reconciler.kubeconfig"
    if path.exists():
        return path
    for key in (("Namespace", "", NAMESPACE), ("ServiceAccount", NAMESPACE, NAME)):
        server.api().apply(rendered_objects("dev")[key])
    wish = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": TOKEN_SECONDS},
    }
    place = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{NAME}/token"
    token = server.api().request("POST", place, wish).body["status"]["token"]
    config = json.loads(server.kubeconfig.read_text())
    config["users"] = [{"name": NAME, "user": {"token": token}}]
    config["contexts"] = [{"name": NAME, "context": {"cluster": "local", "user": NAME}}]
    config["current-context"] = NAME
    path.write_text(json.dumps(config, indent=1))
    return path
