"""What happens to every request before and after its handler: an id, a key, a limit of size, a line in the log."""

import hashlib
import hmac
import logging
import re
import time
import uuid
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference import logs
from inference.api.answers import error_response
from inference.errors import RequestError, StartError

log = logging.getLogger("inference.access")
OPEN_PATHS = frozenset({"/health", "/livez", "/readyz", "/metrics", "/v1/metrics", "/prometheus/metrics"})
"""Probes and scrapers bring no key."""
_REQUEST_ID = re.compile(r"[\w.:@/+=-]{1,128}", re.ASCII)


def read_keys(path: Path) -> tuple[bytes, ...]:
    """The digests of the keys in a mounted file, one key a line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise StartError(f"the key file `{path}` cannot be read", "mount a Secret with one key a line") from error
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not keys:
        raise StartError(
            f"the key file `{path}` holds no key", "put one key on each line, or leave out `--api_key_file`"
        )
    return tuple(hashlib.sha256(key.encode()).digest() for key in keys)


class Keys:
    """Asks for a bearer key on every path but those of probes; the file is read anew when it changes."""

    def __init__(self, app: ASGIApp, path: Path) -> None:
        self._app = app
        self._path = path
        self._digests = read_keys(path)
        self._changed = path.stat().st_mtime_ns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._admitted(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        refusal = RequestError(
            "a valid key is needed as `Authorization: Bearer ...`", status=401, code="invalid_api_key"
        )
        await error_response(refusal, scope["path"])(scope, receive, send)

    def _admitted(self, headers: Headers) -> bool:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = hashlib.sha256(key.strip().encode("latin-1")).digest()
        known = [hmac.compare_digest(given, digest) for digest in self._current()]
        return scheme.lower() == "bearer" and any(known)

    def _current(self) -> tuple[bytes, ...]:
        """A Secret that was rotated is seen with the next request; one that is being written keeps the old keys."""
        try:
            changed = self._path.stat().st_mtime_ns
            if changed != self._changed:
                self._digests, self._changed = read_keys(self._path), changed
        except (OSError, StartError):
            log.warning("the key file cannot be read again; the known keys stay valid")
        return self._digests


class Spelling:
    """Takes a path with a slash at its end as the one without, and answers HEAD wherever GET is answered.

    A redirect would name the scheme that reached us, which behind a gateway is not the client's. Load balancers ask
    probes by HEAD; the server leaves the body out by itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            scope = {**scope, "method": method, "path": scope["path"].rstrip("/") or "/"}
        await self._app(scope, receive, send)


class BodyLimit:
    """Reads a body of JSON up to the limit before anything parses it; what is longer is refused with a 413."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        body = None if length.isdigit() and int(length) > self._limit else await self._read(receive)
        strange = _strange(headers) if body else None
        if strange:
            await error_response(strange, scope["path"])(scope, receive, send)
            return
        if body is None:
            refusal = RequestError(f"the body is larger than {self._limit} bytes", status=413, code="body_too_large")
            await error_response(refusal, scope["path"])(scope, receive, send)
            return
        await self._app(scope, _Replay(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return bytes(body)
            body += message.get("body", b"")
            if len(body) > self._limit:
                return None
            if not message.get("more_body"):
                return bytes(body)


def _strange(headers: Headers) -> RequestError | None:
    """What is wrong with the way a body was sent; a parser would only find that it is no object."""
    coding = headers.get("content-encoding", "identity").lower()
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if coding != "identity":
        message = f"the body is sent as `{coding[:40]}`; send it without `Content-Encoding`"
    elif kind != "application/json" and not re.fullmatch(r"application/[\w.-]+\+json", kind):
        message = f"the body is sent as `{kind[:80]}`; send it with `Content-Type: application/json`"
    else:
        return None
    return RequestError(message, status=415, code="unsupported_media_type")


class _Replay:
    """Gives the body that was read, then whatever the server says next."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()


class RequestLog:
    """Gives each request an id and writes one line about it, without a word of prompt or answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        token = logs.request_id.set(request_id)
        began, status = time.perf_counter(), 0

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, marked)
        finally:
            self._write(scope, status, time.perf_counter() - began)
            logs.request_id.reset(token)

    def _write(self, scope: Scope, status: int, seconds: float) -> None:
        level = logging.DEBUG if scope["path"] in OPEN_PATHS else logging.INFO
        fields = {"method": scope["method"], "path": scope["path"], "status": status, "seconds": round(seconds, 4)}
        log.log(level, "request", extra={"fields": fields})
