"""What did Azure answer, and did it answer at all? Every request goes through `ask`, which raises only our own errors.

What matters is the difference between a no, after which nothing happened, and no answer, after which anything may have.
So a success whose body breaks off counts as no answer, and so does one that nobody can read.
"""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from azure.core.exceptions import AzureError as SdkError
from azure.core.exceptions import HttpResponseError

from reconciler.azure.port import AzureError, LostError
from reconciler.errors import Trouble

T = TypeVar("T")
REQUEST_SECONDS = 60.0
"""For a whole request, with its sign-in and every page."""
FIRST_REFUSAL = 400

CODES = {
    401: "AuthenticationFailed",
    403: "AuthorizationFailed",
    409: "Conflict",
    412: "PreconditionFailed",
    429: "TooManyRequests",
}
"""What an answer without a code of its own is called: proxies and gateways know nothing of Azure's."""


async def ask(request: Callable[[], Awaitable[T]]) -> T:
    """Send, and tell in our own words what went wrong.

    Raises:
        AzureError: Azure said no, or the sign-in failed and nothing was sent.
        LostError: no answer came, or none that can be read.
    """
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            return await request()
    except HttpResponseError as error:
        if (error.status_code or 0) < FIRST_REFUSAL:
            raise LostError(f"the answer of Azure cannot be read: {line(error)}") from error
        raise _refusal(error) from error
    except SdkError as error:
        raise LostError(f"no answer from Azure: {line(error)}") from error
    except ValueError as error:
        raise LostError(f"the answer of Azure cannot be read: {line(error)}") from error
    except TimeoutError as error:
        raise LostError(f"no answer from Azure within {REQUEST_SECONDS:.0f} seconds") from error


def precondition_failed(why: str) -> AzureError:
    return AzureError(Trouble("PreconditionFailed", why), 412)


def line(error: Exception) -> str:
    """Words of the SDK in one line."""
    return " ".join(str(error).split())[:500]


def _refusal(error: HttpResponseError) -> AzureError:
    headers: Mapping[str, str] = getattr(error.response, "headers", {})
    return AzureError(
        _trouble(error),
        error.status_code or 0,
        retry_after=retry_after(headers),
        correlation=headers.get("x-ms-correlation-request-id", ""),
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, as a number or as a date by the clock of whoever sent it."""
    wait = headers.get("Retry-After", "").strip()
    try:
        seconds = float(wait)
    except ValueError:
        return _seconds_until(wait, headers.get("Date", ""))
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _seconds_until(date: str, now: str) -> float | None:
    try:
        started = parsedate_to_datetime(now) if now else datetime.now(UTC)
        return max((parsedate_to_datetime(date) - started).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _trouble(error: HttpResponseError) -> Trouble:
    """AKS puts code and message below `error`, or at the top; the SDK reads only the first kind."""
    found = _json(error.response.text() if error.response is not None else "")
    inner = found.get("error")
    found = inner if isinstance(inner, dict) else found
    if "code" in found:
        return read_trouble(found)
    return Trouble(CODES.get(error.status_code or 0, str(error.status_code or "")), line(error))


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def read_trouble(found: Mapping[str, Any]) -> Trouble:
    """An error as Azure spells it, in an answer and in a pool's `provisioningError` alike."""
    details = tuple(read_trouble(each) for each in found.get("details") or () if isinstance(each, dict))
    return Trouble(str(found.get("code") or ""), str(found.get("message") or ""), details)
