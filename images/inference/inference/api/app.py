"""The application: routes, the form of every error, and what surrounds each request."""

import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from inference.api import chat, completions, kaito, probes, responses
from inference.api.answers import as_request_error, error_response
from inference.api.middleware import BodyLimit, Keys, RequestLog, Spelling
from inference.api.work import Desk
from inference.errors import RequestError

log = logging.getLogger(__name__)
NOT_FOUND = 404
VALIDATION = 422


def build(desk: Desk) -> ASGIApp:
    """Everything that a client can reach; what is not here does not exist."""
    app = FastAPI(title="kaitops inference", version="0.1.0", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.include_router(kaito.router(desk, desk.front.pipeline))
    app.include_router(chat.router(desk))
    app.include_router(completions.router(desk))
    app.include_router(responses.router(desk))
    app.include_router(probes.router(desk))
    app.add_exception_handler(RequestError, _on_request_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_exception)
    wrapped: ASGIApp = BodyLimit(app, desk.limits.body_bytes)
    if desk.front.api_key_file:
        wrapped = Keys(wrapped, desk.front.api_key_file)
    return RequestLog(Spelling(wrapped))


async def _on_request_error(request: Request, error: Exception) -> Response:
    return error_response(as_request_error(error), request.url.path)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    """The first wrong field by name; OpenAI answers 400 where KAITO's FastAPI answered 422."""
    problems: Any = error.errors() if isinstance(error, RequestValidationError) else []
    first: Any = problems[0] if problems else {"loc": (), "msg": "wrong body"}
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    message = f"`{place}`: {first['msg']}" if place else str(first["msg"])
    status = 400 if request.url.path.startswith("/v1") else VALIDATION
    return error_response(RequestError(message, _field(first["loc"]), status=status), request.url.path)


def _field(location: tuple[Any, ...]) -> str | None:
    """The field of the request that a complaint is about, without the inner names of unions."""
    return next((part for part in location if isinstance(part, str) and part != "body"), None)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = str(error.detail).lower() if isinstance(error, HTTPException) else "internal error"
    if status == NOT_FOUND:
        detail = f"there is no `{request.url.path[:100]}` here; `/openapi.json` lists what there is"
    response = error_response(RequestError(detail, status=status), request.url.path)
    for name, value in (getattr(error, "headers", None) or {}).items():
        response.headers[name] = value
    return response


async def _on_exception(request: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return error_response(as_request_error(error), request.url.path)
