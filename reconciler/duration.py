"""Durations, times and amounts as Kubernetes writes them."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

_DURATION = re.compile(r"(?:\d+(?:h|m|s))+")
_PART = re.compile(r"(\d+)([hms])")
_SECONDS = {"h": 3600, "m": 60, "s": 1}
_QUANTITY = re.compile(r"([+-]?[0-9.]+)(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d+)?")
_BINARY: dict[str, int] = {
    unit: 1024**power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)
}
LONGEST = timedelta(days=36500)
"""A hundred years: what is longer is as good as for ever, and dates that far away cannot be reckoned with."""
LONGEST_NUMBER = 40
"""Digits."""
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def parse_duration(text: str) -> timedelta:
    """`1h30m` as a time span.

    Raises:
        ValueError: the text is none.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError(f"`{text}` is no duration: write hours, minutes and seconds as in `1h30m` or `90s`")
    seconds = sum(int(number[:LONGEST_NUMBER]) * _SECONDS[unit] for number, unit in _PART.findall(text))
    return timedelta(seconds=min(seconds, LONGEST.total_seconds()))


def format_duration(span: timedelta) -> str:
    """`1h30m`, never finer than a second."""
    total = int(span.total_seconds())
    parts = ((total // 3600, "h"), (total // 60 % 60, "m"), (total % 60, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def parse_time(text: str) -> datetime:
    """A moment; one that names no time zone, as people write it, is in UTC.

    Raises:
        ValueError: the text is none.
    """
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_quantity(text: str | int) -> Decimal:
    """`1024Gi` as a number.

    Raises:
        ValueError: the text is none, or one that nobody means: a billion digits must not be reckoned out.
    """
    text = str(text)
    match = _QUANTITY.fullmatch(text) if len(text) <= LONGEST_NUMBER else None
    if match is None or match[1].count(".") > 1 or not match[1].strip("+-."):
        raise ValueError(f"`{text[:LONGEST_NUMBER]}` is no quantity: write it as in `100Gi`")
    number, unit = Decimal(match[1]), match[2] or ""
    if unit in _BINARY:
        return number * _BINARY[unit]
    power: int = _DECIMAL[unit] if unit in _DECIMAL else int(unit[1:])
    if abs(power) > LONGEST_NUMBER:
        raise ValueError(f"`{text}` is no quantity: write it as in `100Gi`")
    return number.scaleb(power)
