"""Tokens become text while they arrive, and stop strings are found where they cross the border between two tokens."""

from collections.abc import Callable, Sequence

INCOMPLETE = "\ufffd"
LONGEST_CHARACTER = 6
"""After so many tokens an unfinished character is no longer waited for: the bytes are simply wrong."""


class Detokenizer:
    """Decodes a growing list of tokens; a character that several tokens share appears when it is whole."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._start = 0
        self._read = 0

    def push(self, ids: Sequence[int], *, last: bool = False) -> str:
        """Take more tokens and return the text that they complete."""
        self._ids += ids
        if self._read == len(self._ids):
            return ""
        before = self._decode(self._ids[self._start : self._read])
        text = self._decode(self._ids[self._start :])
        pending = text.endswith(INCOMPLETE) and len(self._ids) - self._read <= LONGEST_CHARACTER
        if (pending and not last) or len(text) < len(before):
            return ""
        self._start, self._read = self._read, len(self._ids)
        return text[len(before) :]


class StopStrings:
    """Passes text on until a stop string appears; what may still become one is held back."""

    def __init__(self, stops: Sequence[str], *, include: bool = False) -> None:
        self._stops = tuple(stops)
        self._include = include
        self._held = ""

    def push(self, text: str) -> tuple[str, str | None]:
        """Return the text that is certain, and the stop string if one was met."""
        if not self._stops:
            return text, None
        self._held += text
        found = [(self._held.find(stop), stop) for stop in self._stops if stop in self._held]
        if found:
            # Whatever is complete first, so that it does not matter how the text was cut.
            at, stop = min(found, key=lambda hit: (hit[0] + len(hit[1]), hit[0]))
            certain = self._held[: at + len(stop) if self._include else at]
            self._held = ""
            return certain, stop
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        certain, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return certain, None

    def flush(self) -> str:
        """What was held back and turned out to be no stop string."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How many of the last characters of `text` may be the beginning of `stop`."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
