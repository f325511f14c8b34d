"""Kubelets and the cloud's node manager at a real API server: Nodes appear, get ready and go."""

from typing import Any
from urllib.parse import quote

from reconciler.kube.api import NODES, Transport

Object = dict[str, Any]
NOT_READY = "node.kubernetes.io/not-ready"


class ApiNodeWriter:
    """Works beside a node controller, and without one: it takes away the taint of a Node that is not ready."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create_node(self, body: Object) -> None:
        await self._transport.ask("POST", NODES, body)

    async def patch_node_status(self, name: str, status: Object) -> None:
        path = f"{NODES}/{quote(name)}"
        body = await self._transport.ask("PATCH", f"{path}/status", {"status": status}, merge=True)
        kept = [each for each in body["spec"].get("taints") or () if each["key"] != NOT_READY]
        metadata = {"resourceVersion": body["metadata"]["resourceVersion"]}
        await self._transport.ask("PATCH", path, {"metadata": metadata, "spec": {"taints": kept}}, merge=True)

    async def remove_node(self, name: str) -> None:
        await self._transport.ask("DELETE", f"{NODES}/{quote(name)}")
