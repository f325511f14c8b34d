"""Small help with words: the nearest known one to a mistyped one, and those that nobody should read."""

import difflib
import re
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known words, or nothing where none is near."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=2, cutoff=0.6)
    return "did you mean " + " or ".join(f"`{by_lower[name]}`" for name in close) + "?" if close else ""


CREDENTIAL = re.compile(
    r"^(hf_|sk-|ghp_|gho_|github_pat_|glpat-|eyJ[\w-]{10})|AccountKey=|SharedAccess|[?&]sig=|-----BEGIN|://[^/\s:@]+:[^/\s@]+@"
)
"""What tokens of hubs and forges, keys of Azure, JSON web tokens and passwords in URLs look like."""


def looks_secret(text: str) -> bool:
    """Whether a text is better not repeated in a log."""
    return CREDENTIAL.search(text) is not None
