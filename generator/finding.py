"""What a check says: one place, one rule, one sentence, one way out.

Every complaint about something that a person wrote is a `Finding`; a bug of ours is left to crash. Messages
start in lower case, hold literals in backticks and end without a full stop; the hint is the way out.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file of the repository; line and column count from 1, 0 means the whole file."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        numbers = [str(number) for number in (self.line, self.column) if number]
        return ":".join([self.file, *numbers])


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One problem: where it is, which rule it breaks, what is wrong and what to do about it."""

    where: Place
    rule: str
    message: str
    hint: str = ""
    severity: Severity = field(default=Severity.ERROR)

    def __post_init__(self) -> None:
        """Hold the sentences to one line: they quote what people wrote, and a line break would forge a finding."""
        for name in ("message", "hint"):
            text: str = getattr(self, name)
            if not text.isprintable():
                object.__setattr__(self, name, "".join(sign if sign.isprintable() else _escaped(sign) for sign in text))


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode()


class CannotRunError(Exception):
    """The command could not do its work at all (exit 2): no repository, a missing tool, an unreadable folder."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
