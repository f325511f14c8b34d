"""How does ARM say no? One shape: a status, and an error with a code, a message and perhaps its causes."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


class RefusedError(Exception):
    """An answer that is no success."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: tuple[Json, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.headers = dict(headers or {})
        self.body: Json = {"error": error(code, message, *details)}


def error(code: str, message: str, *details: Json) -> Json:
    """An error as in the body of an answer, in an operation and in a pool's `provisioningError`."""
    found: Json = {"code": code, "message": message}
    return {**found, "details": list(details)} if details else found


def throttled(seconds: int) -> RefusedError:
    return RefusedError(
        429, "Throttled", "the request is throttled, too many requests", headers={"Retry-After": str(seconds)}
    )


def in_progress(what: str) -> RefusedError:
    return RefusedError(
        409,
        "OperationNotAllowed",
        f"Another {what} is in progress, please wait for it to finish: https://aka.ms/aks-pending-operation",
    )


def precondition_failed(why: str) -> RefusedError:
    return RefusedError(412, "PreconditionFailed", why)
