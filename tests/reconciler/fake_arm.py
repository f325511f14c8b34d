"""Azure Resource Manager over HTTP on loopback, for the real SDK: allowances, etags, operations, pages and errors.

The pools behind it are the simulated AKS; this is what ARM puts around them: URLs, headers, bodies, codes, and the
ways in which an answer fails to arrive.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web
from azure.core.credentials import AccessToken
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

from reconciler.azure import AzureError
from reconciler.azure.arm import ArmPools, arm_client
from reconciler.azure.throttle import Bucket
from reconciler.desired import Desired
from reconciler.errors import Trouble
from reconciler.nodeclass import NodeClass
from reconciler.nodepool import Pool
from reconciler.offerings import Offering
from reconciler.simulate import Delays, SimulatedAks

CLUSTER = "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/aks"
Answer = Callable[[], web.StreamResponse]
PAGE = 2


@dataclass
class FakeArm:
    """The server's state, and the requests that it saw."""

    aks: SimulatedAks = field(default_factory=lambda: SimulatedAks(Delays(0.2, 0.1, 0.1, 0.2)))
    url: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and the last part of the path of each."""
    bodies: dict[str, Any] = field(default_factory=dict)
    """The body of the last PUT of each pool."""
    headers: list[dict[str, str]] = field(default_factory=list)
    fault: Callable[[str, str], str] = lambda _method, _name: ""
    """For a request: `lost` loses the answer after its effect, `reset` before it, a number is a status."""
    others: Bucket = field(default_factory=lambda: Bucket(60, 1))
    puts: dict[str, Bucket] = field(default_factory=dict)
    stale_pages: bool = False
    """The second page of a LIST fails."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        self.requests.append((request.method, name))
        self.headers.append(dict(request.headers))
        fault = self.fault(request.method, name)
        if fault == "reset":
            _cut(request)
        if fault and fault[0].isdigit():
            return _broken(fault)
        wait = self._bucket(request.method, name).take(asyncio.get_running_loop().time())
        if wait:
            return _refusal(429, Trouble("Throttled", "too many requests"), {"Retry-After": str(int(wait) + 1)})
        try:
            answer = await self._answer(request, name)
        except AzureError as error:
            answer = _refusal(error.status, error.trouble)
        if fault == "lost":
            _cut(request)
        return answer

    def _bucket(self, method: str, name: str) -> Bucket:
        return self.puts.setdefault(name, Bucket(20, 1 / 60)) if method == "PUT" else self.others

    async def _answer(self, request: web.Request, name: str) -> web.StreamResponse:
        if name == "aks":
            return _json({"name": "aks", "location": "eastus", "properties": _cluster(self.aks)})
        if name == "agentPools":
            return await self._list(int(request.query.get("$skipToken", "0")))
        if request.method == "PUT":
            return await self._put(request, name)
        if request.method == "DELETE":
            return await self._delete(request, name)
        found = {pool.name: pool for pool in await self.aks.list()}
        if name not in found:
            raise AzureError(Trouble("NotFound", "Agent Pool not found"), 404)
        return _json(_body(found[name]))

    async def _list(self, at: int) -> web.StreamResponse:
        if at and self.stale_pages:
            raise AzureError(Trouble("InternalServerError", "the next page is gone"), 500)
        pools = await self.aks.list()
        page = {"value": [_body(pool) for pool in pools[at : at + PAGE]]}
        more = {"nextLink": f"{self.url}{CLUSTER}/agentPools?$skipToken={at + PAGE}"} if pools[at + PAGE :] else {}
        return _json(page | more)

    async def _put(self, request: web.Request, name: str) -> web.StreamResponse:
        body = self.bodies[name] = await request.json()
        match = request.headers.get("If-Match")
        if match is not None:
            await self.aks.tag(name, _unquoted(match), body["properties"]["tags"])
        else:
            assert request.headers["If-None-Match"] == "*"
            await self.aks.create(_desired(name, body["properties"]))
        operation = {"Azure-AsyncOperation": f"{self.url}/subscriptions/sub/operations/{name}"}
        return _json({"name": name, "properties": body["properties"]}, 201, operation)

    async def _delete(self, request: web.Request, name: str) -> web.StreamResponse:
        if name not in {pool.name for pool in await self.aks.list()}:
            return web.Response(status=204)
        await self.aks.delete(name, _unquoted(request.headers.get("If-Match", "")))
        return web.Response(status=202, headers={"Location": f"{self.url}/subscriptions/sub/operations/{name}"})


def _unquoted(etag: str) -> str:
    """The SDK writes an etag as HTTP has it."""
    return etag.strip('"')


def _cut(request: web.Request) -> None:
    """The connection breaks."""
    assert request.transport
    request.transport.abort()
    raise asyncio.CancelledError


def _broken(fault: str) -> web.Response:
    status, _, wait = fault.partition("+")
    codes = {"401": "InvalidAuthenticationToken", "403": "AuthorizationFailed", "409": "OperationNotAllowed"}
    message = "Another agentpool operation (x - Creating) is in progress" if status == "409" else "as the test asks"
    code = codes.get(status, "Throttled" if status == "429" else "InternalServerError")
    return _refusal(int(status), Trouble(code, message), {"Retry-After": wait} if wait else {})


def _refusal(status: int, trouble: Trouble, headers: dict[str, str] | None = None) -> web.Response:
    more = {"x-ms-correlation-request-id": "correlation-1"} | (headers or {})
    return _json({"error": _trouble(trouble)}, status, more)


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(text=json.dumps(body), status=status, headers=headers, content_type="application/json")


def _trouble(trouble: Trouble) -> dict[str, Any]:
    details = {"details": [_trouble(each) for each in trouble.details]} if trouble.details else {}
    return {"code": trouble.code, "message": trouble.message, **details}


def _cluster(aks: SimulatedAks) -> dict[str, Any]:
    return {"provisioningState": aks.state.state, "powerState": {"code": aks.state.power}}


def _body(pool: Pool) -> dict[str, Any]:
    """A pool as a LIST shows it; what it does not know is left out."""
    found: dict[str, Any] = {
        "provisioningState": pool.state,
        "powerState": {"code": pool.power},
        "eTag": pool.etag,
        "vmSize": pool.size,
        "mode": pool.mode,
        "count": 1,
        "tags": dict(pool.tags),
        "nodeLabels": dict(pool.labels),
        "availabilityZones": list(pool.zones),
        "scaleSetPriority": "Spot" if pool.spot else "Regular",
    }
    wrong = {"status": {"provisioningError": _trouble(pool.error)}} if pool.error else {}
    return {"id": f"{CLUSTER}/agentPools/{pool.name}", "name": pool.name, "properties": {**found, **wrong}}


def _desired(name: str, properties: dict[str, Any]) -> Desired:
    spot = properties.get("scaleSetPriority") == "Spot"
    offering = Offering(properties["vmSize"], tuple(properties.get("availabilityZones") or ()), spot)
    return Desired(
        name,
        offering,
        properties["osSKU"],
        properties["osDiskSizeGB"],
        NodeClass(),
        properties["nodeLabels"],
        tuple(properties.get("nodeTaints") or ()),
        properties["tags"],
    )


class Unsigned(SansIOHTTPPolicy[Any, Any]):
    """Instead of a bearer token, which the SDK does not send over plain HTTP."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        request.http_request.headers["Authorization"] = "Bearer test"


class NoCredential:
    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return AccessToken("test", 2**31)

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


@asynccontextmanager
async def serving_arm(arm: FakeArm) -> AsyncIterator[ArmPools]:
    """The server, and the adapter with the real SDK that speaks to it."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", arm.handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    arm.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client = arm_client(NoCredential(), "sub", base_url=arm.url, authentication_policy=Unsigned())
    pools = ArmPools(client, "rg", "aks")
    try:
        yield pools
    finally:
        await pools.close()
        await runner.cleanup()
