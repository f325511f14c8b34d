"""Does the mirror see an update that it missed, whatever went wrong with its watch, without a storm of calls?

Nine faults, each of which made a common Python client go blind, die or ask hundreds of times a second; two more. The
server is ours, over HTTP, since a real API server does none of this on demand; the client is the real one.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from reconciler.kube.api import Collection, Transport
from reconciler.runtime.reflector import Reflector

pytestmark = pytest.mark.slow

FAULT_SECONDS = 0.7
WATCH_SECONDS, SLACK_SECONDS = 1.0, 0.5
ERRORS = {"410": "Gone", "500": "InternalError", "503": "Unavailable", "429": "TooManyRequests", "403": "Forbidden"}


@dataclass
class Server:
    """A list and a watch of one kind; `fault` says how the watch misbehaves."""

    value: str = "old"
    version: int = 1
    fault: str = ""
    lists: int = 0
    watches: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self, value: str) -> None:
        self.value, self.version = value, self.version + 1
        self.changed.set()

    def body(self) -> dict[str, Any]:
        return {"metadata": {"name": "ws1", "resourceVersion": str(self.version)}, "value": self.value}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            self.lists += 1
            return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": [self.body()]})
        self.watches += 1
        if self.fault in ERRORS:
            status = {"code": int(self.fault), "reason": ERRORS[self.fault], "message": "as the test asks"}
            return web.json_response(status, status=int(self.fault))
        return await self._stream(request, int(request.query["resourceVersion"]))

    async def _stream(self, request: web.Request, seen: int) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        if self.fault == "ends at once":
            return response
        if self.fault.startswith("in-stream"):
            code = int(self.fault.split()[1])
            await _send(response, {"type": "ERROR", "object": {"code": code, "message": "etcdserver: no leader"}})
            return response
        if self.fault == "cut":
            await response.write(b'{"type": "MODIFIED", "object": {"metadata"')
            assert request.transport
            request.transport.abort()
            return response
        if self.fault == "silence":
            await asyncio.sleep(30)
        await self._tell(response, seen)
        return response

    async def _tell(self, response: web.StreamResponse, seen: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(WATCH_SECONDS):
                while True:
                    if self.version > seen:
                        await _send(response, {"type": "MODIFIED", "object": self.body()})
                        seen = self.version
                    self.changed.clear()
                    await self.changed.wait()


async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
    await response.write(json.dumps(event).encode() + b"\n")


Scene = Callable[[Server, Reflector], Awaitable[None]]


def with_server(scene: Scene) -> None:
    async def main() -> None:
        server = Server()
        application = web.Application()
        application.router.add_get("/things", server.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        configuration = Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
        transport = Transport(configuration)
        reflector = Reflector(Collection(transport, "/things"), lambda _name: None, WATCH_SECONDS, SLACK_SECONDS)
        running = asyncio.create_task(reflector.run())
        try:
            await asyncio.wait_for(reflector.synced.wait(), 10)
            await scene(server, reflector)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await transport.close()
            await runner.cleanup()

    asyncio.run(main())


async def sees(reflector: Reflector, value: str, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while reflector.items.get("ws1", {}).get("value") != value:  # noqa: ASYNC110 - the mirror has no event of its own
            await asyncio.sleep(0.01)


FAULTS = ["in-stream 410", "410", "500", "503", "429", "403", "cut", "in-stream 500", "silence"]


@pytest.mark.parametrize("fault", [*FAULTS, "ends at once"])
def test_an_update_that_a_fault_hid_is_seen(fault: str) -> None:
    async def scene(server: Server, reflector: Reflector) -> None:
        server.fault = fault
        # Whatever watch is open ends by itself, and the next one meets the fault.
        await asyncio.sleep(WATCH_SECONDS + 0.1)
        server.set("missed")
        await asyncio.sleep(FAULT_SECONDS)
        before = server.lists + server.watches
        server.fault = ""
        await sees(reflector, "missed", 5)
        assert before < 25, "it asks in a storm"
        server.set("after")
        await sees(reflector, "after", 5)

    with_server(scene)


def test_a_watch_that_keeps_answering_gone_is_asked_ever_more_slowly() -> None:
    """Where LIST works and each WATCH is refused, a client that only lists again asks without end."""

    async def scene(server: Server, reflector: Reflector) -> None:
        server.fault = "410"
        await asyncio.sleep(4)
        assert 2 < server.watches < 12
        server.set("by list")
        await sees(reflector, "by list", 10)

    with_server(scene)


def test_silence_is_noticed_within_75_seconds_by_default() -> None:
    reflector = Reflector(None, lambda _name: None)  # type: ignore[arg-type] # only its defaults are read
    assert reflector.watch_seconds + reflector.slack_seconds <= 75


def test_what_went_while_nobody_watched_is_forgotten() -> None:
    async def scene(server: Server, reflector: Reflector) -> None:
        told: list[str] = []
        reflector.changed = told.append
        reflector.items["gone"] = {"metadata": {"name": "gone", "resourceVersion": "1"}}
        server.fault = "410"
        await asyncio.sleep(WATCH_SECONDS + 1)
        assert "gone" not in reflector.items
        assert "gone" in told

    with_server(scene)
