"""The conditions of a claim's status, by Karpenter's rules.

A True condition has its type as its reason and no message; the time of a transition moves only with the status; `Ready`
is True when each living condition is True for the current generation. Karpenter's timeouts and ours are measured from
those times, so they are never rewritten.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reconciler.duration import format_time, parse_time
from reconciler.names import AWAITING, LIVING, READY

MESSAGE_LIMIT = 256
"""KAITO copies this many characters into the status of its Workspace."""


@dataclass(frozen=True, slots=True)
class Condition:
    type: str
    status: str
    reason: str
    message: str
    since: datetime
    generation: int

    @property
    def true(self) -> bool:
        return self.status == "True"

    def body(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "status": self.status,
            "reason": self.reason,
            "message": self.message,
            "lastTransitionTime": format_time(self.since),
            "observedGeneration": self.generation,
        }


Conditions = Mapping[str, Condition]


def read_conditions(bodies: Iterable[Mapping[str, Any]], created: datetime, generation: int) -> dict[str, Condition]:
    """The conditions of a status; a living one that is missing is Unknown since the claim was made."""
    waiting = {each: Condition(each, "Unknown", AWAITING, "", created, generation) for each in LIVING}
    return waiting | {each["type"]: _read(each, created) for each in bodies}


def _read(body: Mapping[str, Any], created: datetime) -> Condition:
    since = body.get("lastTransitionTime")
    return Condition(
        body["type"],
        body["status"],
        body.get("reason", ""),
        body.get("message", ""),
        parse_time(since) if since else created,
        body.get("observedGeneration", 0),
    )


@dataclass(frozen=True, slots=True)
class Change:
    """What one condition should say."""

    type: str
    status: str
    reason: str
    message: str = ""


def true(kind: str) -> Change:
    return Change(kind, "True", kind)


def unknown(kind: str, reason: str, message: str) -> Change:
    return Change(kind, "Unknown", reason, shorten(message))


def false(kind: str, reason: str, message: str) -> Change:
    return Change(kind, "False", reason, shorten(message))


def shorten(message: str) -> str:
    """One line that KAITO copies whole."""
    line = " ".join(message.split())
    return line if len(line) <= MESSAGE_LIMIT else line[: MESSAGE_LIMIT - 1] + "…"


def apply(conditions: Conditions, changes: Iterable[Change], now: datetime, generation: int) -> dict[str, Condition]:
    """The conditions after the changes, with `Ready` that follows from them."""
    found = dict(conditions)
    for change in changes:
        found[change.type] = _changed(found.get(change.type), change, now, generation)
    found[READY] = _changed(found.get(READY), _ready(found, generation), now, generation)
    return found


def _changed(old: Condition | None, change: Change, now: datetime, generation: int) -> Condition:
    since = old.since if old and old.status == change.status else now
    return Condition(change.type, change.status, change.reason, change.message, since, generation)


def _ready(conditions: Conditions, generation: int) -> Change:
    living = [conditions[each] for each in LIVING]
    open_ones = [each for each in living if not each.true or each.generation != generation]
    message = ", ".join(f"{each.type}={each.status if not each.true else 'Unknown'}" for each in open_ones)
    if not open_ones:
        return true(READY)
    if any(each.status == "False" for each in living):
        return false(READY, "UnhealthyDependents", message)
    return unknown(READY, "ReconcilingDependents", message)
