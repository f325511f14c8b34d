"""Which instance type is asked for next, and what was refused a while ago?

Azure's refusals hold for more than the pool that met them: a family without quota has none for the next claim either.
What was refused is left alone until its time is over, so that a claim goes on to its next choice and nobody asks in a
loop.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.errors import Scope, Verdict


@dataclass(frozen=True, slots=True)
class Offering:
    """What Azure is asked to sell: a size, in zones (none: wherever there is one), for a spot price or not."""

    size: str
    zones: tuple[str, ...] = ()
    spot: bool = False

    @property
    def family(self) -> str:
        """`Standard_NC24ads_A100_v4` and `Standard_NC48ads_A100_v4` are one family: all but the number of cores."""
        return re.sub(r"(?<=[A-Za-z])\d+", "", self.size, count=1).lower()

    @property
    def cores(self) -> int:
        match = re.search(r"_[A-Za-z]+(\d+)", self.size)
        return int(match[1]) if match else 0


@dataclass(frozen=True, slots=True)
class Refusal:
    offering: Offering
    verdict: Verdict
    until: datetime
    words: str = ""
    """What Azure said."""

    def covers(self, other: Offering) -> bool:
        mine, scope = self.offering, self.verdict.scope
        if scope is Scope.SPOT:
            return other.spot
        if scope is Scope.FAMILY:
            return (other.family, other.spot) == (mine.family, mine.spot) and other.cores >= mine.cores
        same_place = (other.size, other.zones) == (mine.size, mine.zones)
        if scope is Scope.BOTH:
            return same_place
        return scope is Scope.SIZE and same_place and other.spot == mine.spot


@dataclass
class Refusals:
    """The memory of one process; losing it costs one more refusal each, no money."""

    _known: dict[Offering, Refusal] = field(default_factory=dict)

    def remember(self, offering: Offering, verdict: Verdict, now: datetime) -> None:
        if verdict.scope is not Scope.NONE:
            self._known[offering] = Refusal(offering, verdict, now + verdict.held(spot=offering.spot))

    def __len__(self) -> int:
        return len(self._known)

    def of(self, offering: Offering, now: datetime) -> Refusal | None:
        """The refusal that holds longest for what is asked, if any does."""
        self._known = {key: each for key, each in self._known.items() if each.until > now}
        covering = [each for each in self._known.values() if each.covers(offering)]
        return max(covering, key=lambda each: each.until, default=None)


@dataclass(frozen=True, slots=True)
class Choice:
    """The first offering that nothing is known against, or why there is none and until when."""

    offering: Offering | None
    refusals: tuple[Refusal, ...] = ()

    @property
    def until(self) -> datetime:
        return min(each.until for each in self.refusals)


def choose(offerings: Iterable[Offering], known: Refusals, now: datetime) -> Choice:
    """In the claim's order of preference."""
    refused = []
    for offering in offerings:
        refusal = known.of(offering, now)
        if refusal is None:
            return Choice(offering)
        refused.append(refusal)
    return Choice(None, tuple(refused))
