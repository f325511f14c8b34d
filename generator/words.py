"""Small help with words: the nearest known one to a mistyped one."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known words, or nothing where none is near."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=2, cutoff=0.6)
    return "did you mean " + " or ".join(f"`{by_lower[name]}`" for name in close) + "?" if close else ""
