"""Tokens become text while they arrive, and stop strings are found where they cross the border between two tokens."""

import codecs
from collections.abc import Callable, Sequence

INCOMPLETE = "\ufffd"
MOST_BYTES = 4
LONGEST_CHARACTER = 6
"""After so many tokens an unfinished character is no longer waited for: the bytes are simply wrong."""
CONTEXT = 16
"""Tokens that are decoded again with those behind them, so that these are not taken for the beginning of a text."""
WINDOW = 4 * CONTEXT
"""The same at most, where tokens without text follow each other."""
Decode = Callable[[Sequence[int]], str]
Spell = Callable[[int], bytes | None]


def context(prompt: Sequence[int], decode: Decode, spell: Spell) -> list[int]:
    """The end of a prompt that an answer continues; nothing where it has no text, or ends inside a character."""
    end = list(prompt[-CONTEXT:])
    # It may have been cut inside a character, whose bytes can spoil all those behind them.
    cuts = (end[cut:] for cut in range(MOST_BYTES))
    return next((cut for cut in cuts if (text := decode(cut)) and _whole(text, cut, spell)), [])


def _whole(text: str, tokens: Sequence[int], spell: Spell) -> bool:
    """Whether the text does not end inside a character; a replacement character may also be meant as one."""
    if not text.endswith(INCOMPLETE):
        return True
    raw = spelled(tokens, spell)
    return raw is not None and not unfinished(raw) and raw.decode(errors="replace").endswith(text)


class Detokenizer:
    """Decodes a growing list of tokens; a character that several tokens share appears when it is whole.

    `before` is what the tokens continue. Decoders drop the space at the beginning of a text, and an answer is none.
    """

    def __init__(self, decode: Decode, spell: Spell = lambda _: None, before: Sequence[int] = ()) -> None:
        self._decode = decode
        self._spell = spell
        self._ids = list(before)
        self._start = 0
        self._read = len(self._ids)

    def push(self, ids: Sequence[int], *, last: bool = False) -> str:
        """Take more tokens and return the text that they complete."""
        self._ids += ids
        if self._read == len(self._ids):
            return ""
        before = self._decode(self._ids[self._start : self._read])
        text = self._decode(self._ids[self._start :])
        if (text.endswith(INCOMPLETE) and self._pending and not last) or len(text) < len(before):
            return ""
        if len(text) > len(before) or len(self._ids) - self._start > WINDOW:
            self._start = self._read
        self._read = len(self._ids)
        return text[len(before) :]

    @property
    def _pending(self) -> bool:
        """Whether the rest of a character is on its way; a replacement character may also be meant as one."""
        unread = self._ids[self._read :]
        if len(unread) > LONGEST_CHARACTER:
            return False
        raw = spelled(unread, self._spell)
        return raw is None or unfinished(raw)


def spelled(tokens: Sequence[int], spell: Spell) -> bytes | None:
    """The tokens' bytes, if all are known."""
    parts = [spell(token) for token in tokens]
    return None if None in parts else b"".join(part or b"" for part in parts)


def unfinished(raw: bytes) -> bool:
    """Whether the bytes end inside a character."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(raw)
    return bool(decoder.getstate()[0])


class StopStrings:
    """Passes text on until a stop string appears; what may still become one is held back."""

    def __init__(self, stops: Sequence[str], *, include: bool = False) -> None:
        self._stops = tuple(stops)
        self._include = include
        self._held = ""
        self._exempt = 0
        """Characters of what is held that complete no stop string."""

    def push(self, text: str, *, exempt: bool = False) -> tuple[str, str | None]:
        """Return the text that is certain, and the stop string if one was met; an `exempt` text completes none."""
        if not self._stops:
            return text, None
        self._held += text
        if exempt:
            self._exempt = len(self._held)
        found = [(at, stop) for stop in self._stops if (at := self._find(stop)) >= 0]
        if found:
            # Whatever is complete first, so that it does not matter how the text was cut.
            at, stop = min(found, key=lambda hit: (hit[0] + len(hit[1]), hit[0]))
            certain = self._held[: at + len(stop) if self._include else at]
            self._held = ""
            return certain, stop
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        cut = len(self._held) - keep
        certain, self._held, self._exempt = self._held[:cut], self._held[cut:], max(0, self._exempt - cut)
        return certain, None

    def _find(self, stop: str) -> int:
        return self._held.find(stop, max(0, self._exempt - len(stop) + 1))

    def flush(self) -> str:
        """What was held back and turned out to be no stop string."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How many of the last characters of `text` may be the beginning of `stop`."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
