"""A real API server, through the official client's own transport and sign-in.

Only those two of its parts are used: typed models and generated calls would double the memory, and its watch and leader
election fail where ours must not.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from reconciler import names
from reconciler.clock import Clock
from reconciler.kube.port import BlockedError, ConflictError, GoneError, KubeError, Object
from reconciler.runtime.elector import LEASE_SECONDS, Lease

REQUEST_SECONDS = 30.0
PAGE = 500
MERGE = "application/merge-patch+json"
CLAIMS = f"/apis/{names.API_VERSION}/{names.PLURAL}"
NODES = "/api/v1/nodes"


async def configure(kubeconfig: str, context: str) -> Configuration:
    """How to reach the API server and sign in.

    Raises:
        KubeError: neither a usable kubeconfig nor a pod's service account.
    """
    found = Configuration()
    try:
        if kubeconfig:
            await config.load_kube_config(kubeconfig, context or None, client_configuration=found)
        else:
            config.load_incluster_config(client_configuration=found)
    except (config.ConfigException, OSError) as error:
        raise KubeError(f"no way to the API server: {' '.join(str(error).split())}") from error
    return found


class Transport:
    """Requests and their refusals; one connection pool."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._rest = RESTClientObject(configuration)

    async def close(self) -> None:
        await self._rest.close()

    async def _headers(self, content_type: str) -> dict[str, str]:
        found = {"Content-Type": content_type, "Accept": "application/json", "User-Agent": "kaitops-reconciler"}
        signed = (await self._configuration.auth_settings()).get("BearerToken")
        return found | ({signed["key"]: str(signed["value"])} if signed else {})

    async def open(
        self, method: str, path: str, body: Object | None, seconds: float, content_type: str = "application/json"
    ) -> aiohttp.ClientResponse:
        """Send one request; the answer's body is still to be read.

        Raises:
            KubeError: no answer, or one of 400 or more.
        """
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            headers = await self._headers(content_type)
            url = self._configuration.host + path
            answer = await self._rest.request(method, url, headers, body, _request_timeout=timeout)
            response: aiohttp.ClientResponse = answer.response
            if response.status >= HTTPStatus.BAD_REQUEST:
                raise refusal(response.status, await response.text(), response.headers.get("Retry-After"))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise KubeError(f"{method} {path} got no answer: {error!r}") from error
        return response

    async def ask(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        seconds: float = REQUEST_SECONDS,
        merge: bool = False,
    ) -> Object:
        response = await self.open(method, path, body, seconds, MERGE if merge else "application/json")
        try:
            found: Object = json.loads(await response.read())
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise KubeError(f"{method} {path} got half an answer: {error!r}") from error
        return found


def refusal(status: int, text: str, retry_after: str | None) -> KubeError:
    """What an answer of 400 or more means."""
    try:
        body = json.loads(text)
        message = str(body.get("message", text))
    except (ValueError, AttributeError):
        message = text[:256]
    wait = float(retry_after) if retry_after and retry_after.isdecimal() else None
    kinds: dict[int, type[KubeError]] = {404: GoneError, 409: ConflictError}
    return kinds.get(status, KubeError)(message, status, wait)


class Collection:
    """All objects of one kind, listed in pages and watched: a `Source` of a reflector."""

    def __init__(self, transport: Transport, path: str) -> None:
        self._transport = transport
        self._path = path

    async def list(self) -> tuple[list[Object], str]:
        found: list[Object] = []
        token = ""
        while True:
            query = {"limit": str(PAGE)} | ({"continue": token} if token else {})
            page = await self._transport.ask("GET", f"{self._path}?{urlencode(query)}")
            found += page["items"]
            token = page["metadata"].get("continue", "")
            if not token:
                return found, str(page["metadata"]["resourceVersion"])

    async def watch(self, version: str, seconds: float) -> AsyncIterator[tuple[str, Object]]:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, int(seconds))),
        }
        response = await self._transport.open("GET", f"{self._path}?{urlencode(query)}", None, seconds + 30)
        try:
            async for line in _lines(response.content):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    body = event["object"]
                    raise KubeError(str(body.get("message", body)), int(body.get("code", 0)))
                yield event["type"], event["object"]
        finally:
            response.close()


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines of any length; what is left of a line that was cut off is an error when it is read as JSON."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
    if rest.strip():
        yield rest


class KubeLease:
    """The Lease object: its holder, and times for people to read."""

    def __init__(self, transport: Transport, namespace: str, name: str, clock: Clock) -> None:
        self._transport = transport
        self._name = name
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._clock = clock

    async def read(self) -> Lease:
        try:
            body = await self._transport.ask("GET", f"{self._path}/{self._name}", seconds=3)
        except GoneError:
            return Lease("", "")
        return _lease(body)

    async def write(self, holder: str, version: str) -> Lease:
        now = self._clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name} | ({"resourceVersion": version} if version else {}),
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": int(LEASE_SECONDS), "renewTime": now},
        }
        path = f"{self._path}/{self._name}" if version else self._path
        return _lease(await self._transport.ask("PUT" if version else "POST", path, body, seconds=3))


def _lease(body: Object) -> Lease:
    spec = body.get("spec") or {}
    seconds = float(spec.get("leaseDurationSeconds") or LEASE_SECONDS)
    return Lease(spec.get("holderIdentity") or "", body["metadata"]["resourceVersion"], seconds)


class KubeApi:
    """The port `Kube`, spoken to a real server. The lease has connections of its own: traffic cannot starve it."""

    def __init__(self, configuration: Configuration, lease_namespace: str, lease_name: str, clock: Clock) -> None:
        self._transport = Transport(configuration)
        self._lease_transport = Transport(configuration)
        self._lease = KubeLease(self._lease_transport, lease_namespace, lease_name, clock)

    async def close(self) -> None:
        await asyncio.gather(self._transport.close(), self._lease_transport.close())

    def claims(self) -> Collection:
        return Collection(self._transport, CLAIMS)

    def nodes(self) -> Collection:
        return Collection(self._transport, NODES)

    def leases(self) -> KubeLease:
        return self._lease

    async def cluster_id(self) -> str:
        body = await self._transport.ask("GET", "/api/v1/namespaces/kube-system")
        return str(body["metadata"]["uid"])

    async def list_claims(self) -> list[Object]:
        return (await self.claims().list())[0]

    async def read_claim(self, name: str) -> Object:
        return await self._transport.ask("GET", f"{CLAIMS}/{quote(name)}")

    async def patch_claim(self, name: str, version: str, patch: Object) -> Object:
        return await self._patch(f"{CLAIMS}/{quote(name)}", version, patch)

    async def patch_claim_status(self, name: str, version: str, patch: Object) -> Object:
        return await self._patch(f"{CLAIMS}/{quote(name)}/status", version, {"status": patch})

    async def delete_claim(self, name: str, uid: str) -> None:
        await self._delete(f"{CLAIMS}/{quote(name)}", {"preconditions": {"uid": uid}})

    async def patch_node(self, name: str, version: str, patch: Object) -> Object:
        return await self._patch(f"{NODES}/{quote(name)}", version, patch)

    async def delete_node(self, name: str, uid: str) -> None:
        await self._delete(f"{NODES}/{quote(name)}", {"preconditions": {"uid": uid}})

    async def pods_on(self, node: str) -> list[Object]:
        query = urlencode({"fieldSelector": f"spec.nodeName={node}"})
        return list((await self._transport.ask("GET", f"/api/v1/pods?{query}"))["items"])

    async def evict(self, pod: Object) -> None:
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]},
            "deleteOptions": {"preconditions": {"uid": pod["metadata"]["uid"]}},
        }
        try:
            await self._transport.ask("POST", f"{_pod_path(pod)}/eviction", body)
        except KubeError as error:
            if error.status == HTTPStatus.TOO_MANY_REQUESTS:
                raise BlockedError(str(error), error.status, error.retry_after) from error
            raise

    async def delete_pod(self, pod: Object, grace_seconds: int) -> None:
        options = {"gracePeriodSeconds": grace_seconds, "preconditions": {"uid": pod["metadata"]["uid"]}}
        await self._delete(_pod_path(pod), options)

    async def attachments_on(self, node: str) -> list[Object]:
        found = (await self._transport.ask("GET", "/apis/storage.k8s.io/v1/volumeattachments"))["items"]
        return [each for each in found if each["spec"].get("nodeName") == node]

    async def volume(self, name: str) -> Object:
        return await self._transport.ask("GET", f"/api/v1/persistentvolumes/{quote(name)}")

    async def record(self, event: Object) -> None:
        await self._transport.ask("POST", f"/api/v1/namespaces/{event['metadata']['namespace']}/events", event)

    async def _patch(self, path: str, version: str, patch: Object) -> Object:
        """A merge patch that fails where the object has changed since the version."""
        metadata = {**patch.get("metadata", {}), "resourceVersion": version}
        return await self._transport.ask("PATCH", path, {**patch, "metadata": metadata}, merge=True)

    async def _delete(self, path: str, options: Object) -> None:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        try:
            await self._transport.ask("DELETE", path, body)
        except ConflictError as error:
            # Of these requests only the UID is a condition: another object has the name now.
            raise GoneError(str(error), error.status) from error


def _pod_path(pod: Object) -> str:
    metadata = pod["metadata"]
    return f"/api/v1/namespaces/{quote(metadata['namespace'])}/pods/{quote(metadata['name'])}"
