"""What does this process remember of a claim beyond the API server and Azure? All of it may be lost at any time.

Losing it costs a LIST or a refused request more, never a pool: what must outlive the process is on the claim or the
pool.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reconciler.errors import Verdict
from reconciler.offerings import Offering, Refusal

LONGEST_SILENCE = 300.0
"""Of seconds in which reasons come and go and none of them is written."""
FIRST_HOLD = timedelta(seconds=2)


@dataclass
class Memory:
    """Of one claim, by its UID."""

    since: float
    """When this process first saw the claim."""
    uncertain: float = float("-inf")
    """A LIST that began before this does not prove that the claim has no pool: what was asked may yet take effect."""
    deleted: float | None = None
    """When it was first seen deleted."""
    drained: bool = False
    ended: float = float("-inf")
    """When Azure last accepted to delete the pool of its name."""
    refused_etag: str = ""
    """Of the pool, when Azure last said that it had changed since."""
    missed: float | None = None
    """When the first of the last LISTs began that all lack its pool."""
    refusal: Refusal | None = None
    """The last refusal that speaks of this claim alone."""
    failures: int = 0
    settled: bool = False
    silent: float | None = None
    """Since when a status waits to be written, for whatever reasons."""
    due: tuple[tuple[str, ...], float] = ((), float("-inf"))
    """The reasons of the status that waits to be written, and since when it does."""

    def refuse(self, offering: Offering, verdict: Verdict, words: str, now: datetime) -> None:
        """Do not ask again before the verdict's time is over; ever longer for what may heal at once."""
        self.failures += 1
        growing = min(verdict.longest_hold, FIRST_HOLD * 2 ** min(self.failures - 1, 16))
        self.refusal = Refusal(offering, verdict, now + max(verdict.hold, growing), words)

    def patience(self, reasons: tuple[str, ...], wanted: timedelta, now: float) -> float:
        """How many seconds a status with these reasons must still wait; a Node that flaps is told of as well."""
        self.silent = now if self.silent is None else self.silent
        if self.due[0] != reasons:
            self.due = (reasons, now)
        left = min(self.due[1] + wanted.total_seconds(), self.silent + LONGEST_SILENCE) - now
        if left <= 0:
            self.silent = None
        return left

    def refused(self, now: datetime) -> Refusal | None:
        return self.refusal if self.refusal is not None and self.refusal.until > now else None


@dataclass
class Memories:
    _known: dict[str, Memory] = field(default_factory=dict)

    def of(self, uid: str, now: float) -> Memory:
        return self._known.setdefault(uid, Memory(now))

    def keep(self, uids: set[str]) -> None:
        """Forget the claims that are gone."""
        self._known = {uid: each for uid, each in self._known.items() if uid in uids}

    def unsettled(self) -> bool:
        return any(not each.settled for each in self._known.values())

    def forget(self, uid: str) -> None:
        self._known.pop(uid, None)
