"""Probes, the list of models, and metrics in both forms that are asked for at `/metrics`."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from inference.api.load import measured
from inference.api.work import Desk
from inference.deployment import Phase, Served
from inference.errors import RequestError


def router(desk: Desk) -> APIRouter:
    routes = APIRouter()

    @routes.get("/health", tags=["probes"], summary="Whether requests are served, in KAITO's words")
    async def health() -> dict[str, str]:
        _alive(desk)
        desk.deployment.require()
        return {"status": "Healthy"}

    @routes.get("/readyz", tags=["probes"], summary="The same, as an orchestrator asks it")
    async def ready() -> dict[str, str]:
        _alive(desk)
        desk.deployment.require()
        return {"status": "ready"}

    @routes.get("/livez", tags=["probes"], summary="Whether the process should be left alone")
    async def live() -> dict[str, str]:
        _alive(desk)
        return {"status": desk.deployment.phase.value}

    @routes.get("/v1/models", tags=["OpenAI"], summary="The model and its adapters")
    async def models() -> dict[str, Any]:
        served = desk.deployment.require()
        return {"object": "list", "data": [_card(served, name) for name in served.every_name]}

    @routes.get("/v1/models/{name:path}", tags=["OpenAI"], summary="One of them")
    async def model(name: str) -> dict[str, Any]:
        served = desk.deployment.require()
        served.adapter(name)
        return _card(served, name)

    @routes.get(
        "/metrics", tags=["metrics"], response_model=None, summary="For people, or for Prometheus by its `Accept`"
    )
    async def metrics(request: Request) -> Response:
        if _scraped(request.headers.get("accept"), desk):
            return await exposition()
        return JSONResponse(measured())

    @routes.get("/prometheus/metrics", tags=["metrics"], response_model=None, summary="For Prometheus alone")
    async def exposition() -> Response:
        return PlainTextResponse(desk.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    @routes.get("/v1/metrics", tags=["metrics"], response_model=None, summary="For people")
    async def load() -> Response:
        return JSONResponse(measured())

    return routes


def _alive(desk: Desk) -> None:
    """A dead engine never comes back, so its process must end."""
    served = desk.deployment.loaded
    failure = served.engine.failure if served else None
    if failure or desk.deployment.phase is Phase.FAILED:
        raise RequestError(f"the engine is dead: {failure or desk.deployment.reason}", status=503, code="engine_dead")


def _scraped(accept: str | None, desk: Desk) -> bool:
    """Whether Prometheus' text is wanted and not KAITO's JSON.

    Programs in Go, the endpoint picker of an inference gateway among them, do not even say that they take everything.
    They get what KAITO's runtime of the same engine answers, which is vLLM's own text under vLLM.
    """
    if accept is None:
        served = desk.deployment.loaded
        return served is not None and served.engine.capabilities.engine == "vllm"
    return "application/json" not in accept and ("text/plain" in accept or "openmetrics" in accept)


def _card(served: Served, name: str) -> dict[str, Any]:
    adapter = name not in served.names
    return {
        "id": name,
        "object": "model",
        "created": served.created,
        "owned_by": "kaitops",
        "root": served.root if not adapter else name,
        "parent": served.name if adapter else None,
        "max_model_len": served.engine.capabilities.context,
    }
