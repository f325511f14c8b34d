"""What goes wrong on request? A list of faults, each for the next requests that it fits, in order; or by chance."""

import re
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from tests.fakearm.answer import RefusedError, in_progress, throttled


class Kind(StrEnum):
    REFUSE = "an error instead of the work"
    CUT_BEFORE = "the connection is cut, and nothing was done"
    CUT_AFTER = "the work is done, and the connection is cut instead of an answer"
    CUT_BODY = "the work is done, and the connection is cut within the answer"
    LATE = "the connection is cut, and the work is done a while later"
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


@dataclass
class RandomFaults(Faults):
    """Each request may fail, in any of the ways that the next one knows nothing of."""

    random: Random = field(default_factory=Random)
    errors: float = 0.05
    throttles: float = 0.02
    late_seconds: float = 0.5
    """The longest that work may be done after its connection is gone."""
    raining: bool = True
    count: "Counter[str]" = field(default_factory=Counter)

    def take(self, method: str, target: str) -> Fault | None:
        found = super().take(method, target) or (self._by_chance(method) if self.raining else None)
        self.count[found.kind.name if found else "NONE"] += 1
        return found

    def _by_chance(self, method: str) -> Fault | None:
        drawn = self.random.random()
        if drawn < self.throttles:
            return Fault(Kind.REFUSE, method, refusal=throttled(self.random.randint(1, 3)))
        return self._error(method) if drawn < self.throttles + self.errors else None

    def _error(self, method: str) -> Fault:
        kind = self.random.choice(list(Kind))
        refusals = (
            RefusedError(500, "InternalServerError", "by chance"),
            RefusedError(503, "ServiceUnavailable", "by chance"),
            in_progress("managed cluster operation"),
        )
        return Fault(
            kind,
            method,
            refusal=self.random.choice(refusals),
            seconds=self.random.uniform(0, self.late_seconds),
            body="<html>a gateway's words</html>",
            content_type="text/html",
        )
