"""How the server says no: to the person who starts it, and to the client who asks it something.

Both are interfaces. A start that cannot succeed ends in one line with a way out and an exit code that tells an
orchestrator whether trying again may help; a request gets a status, a sentence and the field that is at fault.
"""

from collections.abc import Sequence

WRONG_INPUT = 1
CANNOT_HEAL = 2
TRY_AGAIN = 75
SERVER_SIDE = 500
SHOWN = 3


class StartError(Exception):
    """The process cannot do its work: its message is the last line of the log."""

    def __init__(self, message: str, hint: str = "", exit_code: int = WRONG_INPUT) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}; {self.hint}" if self.hint else message


class RequestError(Exception):
    """A request that cannot be served: `param` is the field at fault, `status` the HTTP status."""

    def __init__(
        self,
        message: str,
        param: str | None = None,
        *,
        status: int = 400,
        code: str | None = None,
        retry_after: int = 0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.status = status
        self.code = code
        self.retry_after = retry_after

    @property
    def kind(self) -> str:
        """OpenAI's `type` of the error."""
        names = {401: "authentication_error", 404: "not_found_error", 503: "overloaded_error", 504: "timeout_error"}
        return names.get(self.status, "invalid_request_error" if self.status < SERVER_SIDE else "server_error")


def listed(reasons: Sequence[str]) -> str:
    """The first of many reasons, in one line, and how many more there are."""
    more = f" and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    return ", ".join(reasons[:SHOWN]) + more


def unsupported(param: str, why: str) -> RequestError:
    """A field that the engine cannot honour is refused by name, never ignored."""
    return RequestError(f"`{param}` {why}", param, code="unsupported_parameter")
