"""How far something that only grows can go before it no longer fits."""

from collections.abc import Callable


def largest(limit: int, suffices: Callable[[int], bool]) -> int:
    """The largest number up to `limit` for which it still suffices; 0 where not even 1 does."""
    if suffices(limit):
        return limit
    low, high = 0, limit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if suffices(middle) else (low, middle)
    return low
