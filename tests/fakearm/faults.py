"""What goes wrong on request? A list of faults, each for the next requests that it fits, in order."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from tests.fakearm.answer import RefusedError


class Kind(StrEnum):
    REFUSE = "an error instead of the work"
    CUT_BEFORE = "the connection is cut, and nothing was done"
    CUT_AFTER = "the work is done, and the connection is cut instead of an answer"
    CUT_BODY = "the work is done, and the connection is cut within the answer"
    HOLD = "the answer takes its time, and so does the work"
    REPLACE = "the work is done, and something else is answered"


@dataclass
class Fault:
    kind: Kind
    method: str
    path: str = ""
    """A regular expression that the path and query must contain."""
    times: int = 1
    refusal: RefusedError | None = None
    seconds: float = 0.0
    status: int = 200
    body: str = ""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Faults:
    pending: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        self.pending.append(fault)

    def refuse(self, method: str, refusal: RefusedError, *, path: str = "", times: int = 1) -> None:
        self.add(Fault(Kind.REFUSE, method, path, times, refusal))

    def take(self, method: str, target: str) -> Fault | None:
        for fault in self.pending:
            if fault.method == method and re.search(fault.path, target):
                fault.times -= 1
                if fault.times == 0:
                    self.pending.remove(fault)
                return fault
        return None
