"""ARM over HTTP: who asks, may they, how often, under which condition, and what becomes of the answer."""

import asyncio
import base64
import json
import re
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.fakearm.aks import FakeAks, Operation, Record
from tests.fakearm.allowance import Allowance
from tests.fakearm.answer import Json, RefusedError, throttled
from tests.fakearm.faults import Fault, Faults, Kind
from tests.fakearm.loop import Wire

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
GROUP, CLUSTER, LOCATION = "models", "fleet-dev", "eastus"
WIRE_HEADER = "x-test-wire"
PROVIDER = "providers/Microsoft.ContainerService"
_POOLS = re.compile(
    rf"/subscriptions/([^/]+)/resourceGroups/([^/]+)/{PROVIDER}/managedClusters/([^/]+)(/agentPools(?:/([^/]+))?)?"
)
_OPERATION = re.compile(rf"/subscriptions/([^/]+)/{PROVIDER}/locations/{LOCATION}/(operations|results)/([^/]+)")
ACTIONS = {"GET": "read", "PUT": "write", "DELETE": "delete"}


@dataclass(frozen=True)
class Seen:
    """A request that came, whatever was answered."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Json | None
    at: float


@dataclass
class Answer:
    status: int
    body: Json | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeArm:
    aks: FakeAks
    wire: Wire
    page: int = 1000
    """Pools in one page of a LIST."""
    retry_after: int | None = 10
    """What an accepted operation tells its pollers."""
    allowance: Allowance = field(default_factory=Allowance)
    faults: Faults = field(default_factory=Faults)
    tokens: set[str] = field(default_factory=lambda: {"good"})
    expired: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)
    """Tokens that need new claims first: continuous access evaluation."""
    denied: set[str] = field(default_factory=set)
    """Actions that the identity may not do: `read`, `write`, `delete`."""
    seen: list[Seen] = field(default_factory=list)
    refused: int = 0
    """Requests that were throttled by the allowance."""
    url: str = ""
    stop: Callable[[], Awaitable[None]] = field(init=False)
    """Nobody listens any more."""

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.url, self.stop = f"http://{host}:{port}", runner.cleanup
            yield
        finally:
            await runner.cleanup()

    def count(self, method: str, text: str = "") -> int:
        return sum(1 for each in self.seen if each.method == method and text in each.path)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else None
        headers = {key.lower(): value for key, value in request.headers.items()}
        self.seen.append(Seen(request.method, request.path, dict(request.query), headers, body, self.aks.clock()))
        fault = self.faults.take(request.method, request.path_qs)
        if fault is None:
            return self._respond(self._answer(request, body))
        return await self._spoilt(request, body, fault)

    async def _spoilt(self, request: web.Request, body: Json | None, fault: Fault) -> web.StreamResponse:
        match fault.kind:
            case Kind.REFUSE:
                assert fault.refusal is not None
                return self._respond(_refused(fault.refusal))
            case Kind.HOLD:
                await self.wire.hold(request.headers.get(WIRE_HEADER, ""), fault.seconds)
                return self._respond(self._answer(request, body))
            case Kind.CUT_BEFORE | Kind.LATE:
                if fault.kind is Kind.LATE:
                    asyncio.get_running_loop().call_later(fault.seconds, self._answer, request, body)
                return _cut(request)
        answer = self._answer(request, body)
        if fault.kind is Kind.CUT_AFTER:
            return _cut(request)
        if fault.kind is Kind.CUT_BODY:
            return await self._cut_within(request, answer)
        return web.Response(
            status=fault.status, text=fault.body, content_type=fault.content_type, headers=fault.headers
        )

    async def _cut_within(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        whole = self._respond(answer)
        half = web.StreamResponse(status=whole.status, headers={"Content-Type": "application/json"})
        text = (whole.text or "").encode()
        half.content_length = len(text) + 1
        await half.prepare(request)
        await half.write(text[: len(text) // 2])
        _cut(request)
        return half

    def _respond(self, answer: Answer) -> web.Response:
        headers = {**answer.headers, "x-ms-request-id": str(uuid.uuid4()), "x-ms-correlation-request-id": "c0ffee"}
        if answer.body is None:
            return web.Response(status=answer.status, headers=headers)
        return web.json_response(answer.body, status=answer.status, headers=headers)

    def _answer(self, request: web.Request, body: Json | None) -> Answer:
        try:
            self._authorize(request)
            return self._route(request, body)
        except RefusedError as refusal:
            return _refused(refusal)

    def _authorize(self, request: web.Request) -> None:
        """First the token, then the right: ARM says 401 for the one and 403 for the other."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token in self.revoked:
            claims = base64.urlsafe_b64encode(b'{"access_token":{"nbf":{"essential":true}}}').decode()
            raise _unauthenticated("InvalidAuthenticationToken", f'error="insufficient_claims", claims="{claims}"')
        if token in self.expired:
            raise _unauthenticated("ExpiredAuthenticationToken", 'error="invalid_token"')
        if token not in self.tokens:
            raise _unauthenticated("InvalidAuthenticationToken", 'error="invalid_token"')
        if (action := ACTIONS[request.method]) in self.denied:
            raise RefusedError(
                403, "AuthorizationFailed", f"the client does not have authorization to perform action {action}"
            )

    def _route(self, request: web.Request, body: Json | None) -> Answer:
        if "api-version" not in request.query:
            raise RefusedError(400, "MissingApiVersionParameter", "the api-version query parameter is required")
        if found := _OPERATION.fullmatch(request.path):
            self._allow("GET", "operation", "")
            return self._operation(found[2], found[3])
        found = _POOLS.fullmatch(request.path)
        if found is None:
            raise RefusedError(404, "InvalidResourceType", f"no such resource: {request.path}")
        _known(found[1], found[2], found[3])
        if found[4] is None:
            self._allow("GET", "cluster", "")
            return Answer(200, self._cluster())
        self._allow(request.method, "pool", found[5] or "")
        return self._pools(request, found[5] or "", body)

    def _allow(self, method: str, kind: str, name: str) -> None:
        if wait := self.allowance.take(method, kind, name, self.aks.clock()):
            self.refused += 1
            raise throttled(wait)

    def _pools(self, request: web.Request, name: str, body: Json | None) -> Answer:
        match request.method, name:
            case "GET", "":
                return self._list(request)
            case "GET", _:
                return Answer(200, self._shown(self.aks.get(name)))
            case "PUT", _ if name:
                return self._put(request, name, body)
            case "DELETE", _ if name:
                operation = self.aks.delete(name, _etag(request))
                return Answer(202, headers=self._follow(operation)) if operation else Answer(204)
        raise RefusedError(405, "MethodNotAllowed", "not this way")

    def _list(self, request: web.Request) -> Answer:
        start = int(request.query.get("$skiptoken", "0"))
        every = self.aks.list()
        found: Json = {"value": [self._shown(each) for each in every[start : start + self.page]]}
        if start + self.page < len(every):
            version = request.query["api-version"]
            found["nextLink"] = f"{self.url}{request.path}?api-version={version}&%24skiptoken={start + self.page}"
        return Answer(200, found)

    def _put(self, request: web.Request, name: str, body: Json | None) -> Answer:
        missing = request.headers.get("If-None-Match", "") == "*"
        before = len(self.aks.created)
        properties = (body or {}).get("properties") or {}
        record, operation = self.aks.put(name, properties, missing=missing, etag=_etag(request))
        status = 201 if len(self.aks.created) > before else 200
        return Answer(status, self._shown(record), self._follow(operation))

    def _operation(self, kind: str, name: str) -> Answer:
        operation = self.aks.operation(name)
        if kind == "results":
            return Answer(200 if operation.over else 202, headers={} if operation.over else self._follow(operation))
        headers = {} if operation.over or self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return Answer(200, operation.status(), headers)

    def _follow(self, operation: Operation | None) -> dict[str, str]:
        assert operation is not None
        base = f"{self.url}/subscriptions/{SUBSCRIPTION}/{PROVIDER}/locations/{LOCATION}"
        headers = {
            "Azure-AsyncOperation": f"{base}/operations/{operation.name}?api-version=2026-08-01",
            "Location": f"{base}/results/{operation.name}?api-version=2026-08-01",
        }
        return headers if self.retry_after is None else {**headers, "Retry-After": str(self.retry_after)}

    def _cluster(self) -> Json:
        state = {"provisioningState": self.aks.state, "powerState": {"code": self.aks.power}}
        return {"id": f"{_cluster_id()}", "name": CLUSTER, "location": LOCATION, "properties": state}

    def _shown(self, record: Record) -> Json:
        return {
            "id": f"{_cluster_id()}/agentPools/{record.name}",
            "name": record.name,
            "type": "Microsoft.ContainerService/managedClusters/agentPools",
            "properties": record.properties,
        }


def _cluster_id() -> str:
    return f"/subscriptions/{SUBSCRIPTION}/resourcegroups/{GROUP}/{PROVIDER}/managedClusters/{CLUSTER}"


def _known(subscription: str, group: str, cluster: str) -> None:
    """Names of Azure's resources know no case."""
    if subscription.lower() != SUBSCRIPTION:
        raise RefusedError(404, "SubscriptionNotFound", f"the subscription '{subscription}' could not be found")
    if group.lower() != GROUP:
        raise RefusedError(404, "ResourceGroupNotFound", f"resource group '{group}' could not be found")
    if cluster.lower() != CLUSTER:
        what = f"Microsoft.ContainerService/managedClusters/{cluster}"
        raise RefusedError(
            404, "ResourceNotFound", f"the resource '{what}' under resource group '{group}' was not found"
        )


def _unauthenticated(code: str, challenge: str) -> RefusedError:
    header = f'Bearer authorization_uri="https://login.invalid/", {challenge}'
    return RefusedError(401, code, "the access token is not accepted", headers={"WWW-Authenticate": header})


def _refused(refusal: RefusedError) -> Answer:
    return Answer(refusal.status, refusal.body, refusal.headers)


def _etag(request: web.Request) -> str:
    return request.headers.get("If-Match", "").strip('"')


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response()
