"""How every answer leaves: errors in the form that belongs to the path, streams as server-sent events."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from inference.api.work import ClientGoneError, Desk
from inference.engine.protocol import EngineDeadError
from inference.errors import RequestError

CLIENT_GONE = 499
"""What proxies log for a client that left; nobody reads it."""


def openai_error(error: RequestError) -> dict[str, Any]:
    return {"error": {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}}


def error_response(error: RequestError, path: str) -> Response:
    """OpenAI's form under `/v1`, KAITO's `detail` elsewhere."""
    body = openai_error(error) if path.startswith("/v1") else {"detail": error.message}
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    if error.status == 401:  # noqa: PLR2004 -- HTTP's own name for it
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, error.status, headers)


def as_request_error(error: Exception) -> RequestError:
    if isinstance(error, RequestError):
        return error
    if isinstance(error, EngineDeadError):
        return RequestError(
            "the engine has ended; another replica can answer", status=503, code="engine_dead", retry_after=1
        )
    return RequestError("internal error", status=500, code="internal_error")


def event(data: Any) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


class Whole(Response):
    """Does the work of an answer that is sent at once, while it watches the client."""

    def __init__(self, desk: Desk, count: int, work: Callable[[], Awaitable[Any]]) -> None:
        super().__init__()
        self._desk = desk
        self._count = count
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._desk.admission.places(self._count):
                answer: Response = JSONResponse(await self._desk.attended(receive, self._work()))
        except ClientGoneError:
            answer = Response(status_code=CLIENT_GONE)
        except (RequestError, EngineDeadError) as error:
            answer = error_response(as_request_error(error), scope["path"])
        await answer(scope, receive, send)


class Events(Response):
    """Streams an answer: the status waits for the first event, so that a refusal still has its own."""

    def __init__(self, desk: Desk, count: int, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(
            media_type="text/event-stream", headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        )
        self._desk = desk
        self._count = count
        self._events = events
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._desk.admission.places(self._count):
                await self._desk.attended(receive, self._send_all(send))
        except ClientGoneError:
            return
        except (RequestError, EngineDeadError) as error:
            await self._refuse(as_request_error(error), scope, receive, send)

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._events) as events:
            async for data in events:
                if not self._begun:
                    await self._begin(send)
                await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self, send: Send) -> None:
        self._begun = True
        headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _refuse(self, error: RequestError, scope: Scope, receive: Receive, send: Send) -> None:
        """As a response of its own, or as the last event where the stream has begun."""
        if not self._begun:
            await error_response(error, scope["path"])(scope, receive, send)
            return
        await send({"type": "http.response.body", "body": event(openai_error(error)), "more_body": False})
