"""/metrics on one port, /livez and /readyz on another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import generate_latest

from reconciler.health import Pulse, sick, unready
from reconciler.telemetry import Telemetry


@asynccontextmanager
async def serving(
    telemetry: Telemetry, bind: str, metrics_port: int, health_port: int
) -> AsyncIterator[tuple[int, int]]:
    """While the block runs; the ports that are really used."""

    async def metrics(_request: web.Request) -> web.Response:
        text = generate_latest(telemetry.update().registry)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def livez(_request: web.Request) -> web.Response:
        return _answer(sick(telemetry.pulse()))

    async def readyz(_request: web.Request) -> web.Response:
        pulse: Pulse = telemetry.pulse()
        return _answer([*sick(pulse), *unready(pulse)])

    async with (
        _site(bind, metrics_port, [web.get("/metrics", metrics)]) as first,
        _site(bind, health_port, [web.get("/livez", livez), web.get("/readyz", readyz)]) as second,
    ):
        yield first, second


def _answer(problems: list[str]) -> web.Response:
    return web.Response(status=503 if problems else 200, text="\n".join(problems or ["ok"]) + "\n")


@asynccontextmanager
async def _site(bind: str, port: int, routes: list[web.RouteDef]) -> AsyncIterator[int]:
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, bind, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
