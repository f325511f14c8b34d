"""How do we ask a service so that passing trouble passes, and lasting trouble says who has to act?

Everything goes over TLS, redirects included. httpx takes the token off a redirect that leaves the host; what a service
names in its answers (the next page, its region) is asked with a token only on a host that may see it.
"""

import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from inference.errors import CANNOT_HEAL, TRY_AGAIN, WRONG_INPUT, StartError

log = logging.getLogger(__name__)

ATTEMPTS = 6
LONGEST_PAUSE = 30.0
LONGEST_ASKED_PAUSE = 300.0
"""The Hub counts requests in windows of five minutes."""
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
CHANGED = frozenset({httpx.codes.PRECONDITION_FAILED, httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE})
CODE_HEADERS = ("x-ms-error-code", "x-error-code")
HINTS = {
    "AuthorizationPermissionMismatch": "give the pod's identity the role `Storage Blob Data Reader` on the container",
    "AuthorizationFailure": "let the cluster's network through the storage account's firewall",
    "KeyBasedAuthenticationNotPermitted": "let the registry's storage account accept signatures",
    "RepoNotFound": "check `--repo`; a private repository looks like a missing one to who may not read it",
    "GatedRepo": "accept the model's terms on the Hub with the account that `HF_TOKEN` belongs to",
    "RevisionNotFound": "check that `--revision` is a commit of this repository",
}
Answer = TypeVar("Answer")


class Again(Exception):  # noqa: N818 -- a request to try again, raised and caught here
    """This attempt failed in a way that may pass."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


class Web:
    """The process's requests: one pool of connections, one way to wait, one switch that ends all."""

    def __init__(self, sleep: Callable[[float], object] | None = None) -> None:
        self.stopped = threading.Event()
        self._sleep = sleep or self.stopped.wait
        hooks = {"request": [_only_tls]}
        timeout = httpx.Timeout(30, connect=15)
        self._client = httpx.Client(timeout=timeout, follow_redirects=True, event_hooks=hooks)

    def close(self) -> None:
        self.stopped.set()
        self._client.close()

    def text(self, what: str, url: str, headers: Callable[[], Mapping[str, str]]) -> httpx.Response:
        """A short answer, read to its end."""
        return self.persistently(what, lambda: self._read("GET", url, headers()))

    def json(self, what: str, url: str, headers: Callable[[], Mapping[str, str]], body: object = None) -> Any:
        """What the answer says; with a body the question is a POST."""
        method = "GET" if body is None else "POST"
        response = self.persistently(what, lambda: self._read(method, url, headers(), body))
        try:
            return response.json()
        except ValueError as error:
            raise StartError(f"{_place(response)} answers no JSON", "check that it is the service itself that answers",
                             CANNOT_HEAL) from error  # fmt: skip

    def _read(self, method: str, url: str, headers: Mapping[str, str], body: object = None) -> httpx.Response:
        with self.stream(url, headers, method, body) as response:
            response.read()
        return response

    @contextmanager
    def stream(
        self, url: str, headers: Mapping[str, str], method: str = "GET", body: object = None
    ) -> Iterator[httpx.Response]:
        """One attempt, its status judged, its content still to come."""
        with self._client.stream(method, url, headers=dict(headers), json=body) as response:
            _judge(response)
            yield response

    def persistently(self, what: str, attempt: Callable[[], Answer], progress: Callable[[], int] = int) -> Answer:
        """Try until it works, with growing pauses; attempts that got further do not count."""
        failures, before = 0, progress()
        while True:
            try:
                return attempt()
            except (Again, httpx.TransportError, httpx.TooManyRedirects) as error:
                failures = failures + 1 if progress() == before else 1
                before = progress()
                reason = _reason(error)
                if self.stopped.is_set() or failures == ATTEMPTS:
                    raise StartError(
                        f"{what} failed {failures} times: {reason}", _way_out(reason), TRY_AGAIN
                    ) from error
                pause = _pause(error, failures)
                log.warning("%s: %s; again in %.1f s", what, reason, pause)
                self._sleep(pause)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _way_out(reason: str) -> str:
    unresolved = any(words in reason for words in ("Name or service not known", "No address associated", "resolution"))
    return "check the name in the entry and the cluster's DNS" if unresolved else ""


def _pause(error: Exception, failures: int) -> float:
    if isinstance(error, Again) and error.pause is not None:
        return min(LONGEST_ASKED_PAUSE, error.pause)
    jitter = random.uniform(0.5, 1)  # noqa: S311 -- only spreads the load
    return min(LONGEST_PAUSE, float(2 ** (failures - 1)) * jitter)


def _only_tls(request: httpx.Request) -> None:
    if request.url.scheme != "https":
        raise StartError(f"{request.url.copy_with(query=None)} is not reached over TLS", "use `https`", CANNOT_HEAL)


def _place(response: httpx.Response) -> httpx.URL:
    """Where it happened, without the signature that a query may hold."""
    return response.url.copy_with(query=None)


def _judge(response: httpx.Response) -> None:
    """Nothing for a good answer; otherwise who has to act: nobody, whoever wrote the entry, or whoever gives rights."""
    status = response.status_code
    if status < httpx.codes.BAD_REQUEST:
        return
    code = next((response.headers[name] for name in CODE_HEADERS if name in response.headers), "")
    said = f"{_place(response)} answered {status}" + (f" {code}" if code else "")
    if status in AGAIN:
        pause = response.headers.get("retry-after", "")
        raise Again(said, float(pause) if pause.isdigit() else None)
    if status in CHANGED:
        raise StartError(f"{_place(response)} changed during the download", "start again", TRY_AGAIN)
    if status == httpx.codes.NOT_FOUND:
        raise StartError(f"{said}: it does not exist", HINTS.get(code, "check the names in the entry"), WRONG_INPUT)
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        hint = HINTS.get(code, "give the pod's identity or token the right to read it")
        raise StartError(f"{said}: access is refused", hint, CANNOT_HEAL)
    raise StartError(said, HINTS.get(code, ""), CANNOT_HEAL)
