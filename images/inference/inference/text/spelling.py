"""The very bytes that a token adds to a text, also where they are only part of a character.

The tokenizer itself says what a token adds behind other text. Only where that holds a replacement character are the
bytes read from the token's name, in the two ways that byte vocabularies are written; what is read must decode to what
the tokenizer says, else nothing is claimed.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from inference.text.detokenize import INCOMPLETE

PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
"""Bytes that GPT-2's alphabet writes as the character of the same number; all others follow from 256 on."""
Decode = Callable[[Sequence[int], bool], str]
"""Tokens to text, with or without special ones."""
_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")


def _alphabet() -> dict[str, int]:
    others = [byte for byte in range(256) if byte not in PRINTABLE]
    return {chr(byte): byte for byte in PRINTABLE} | {chr(256 + place): byte for place, byte in enumerate(others)}


ALPHABET = _alphabet()


class Spelling:
    """What each token of one tokenizer adds, found once."""

    def __init__(self, decode: Decode, name: Callable[[int], Any], word: list[int]) -> None:
        self._decode = decode
        self._name = name
        self._before = word
        """Ordinary text: decoders treat the beginning of a text in another way than all that follows."""
        self._known: dict[tuple[int, bool, bool], bytes | None] = {}

    def of(self, token: int, *, special: bool, first: bool) -> bytes | None:
        """The token's bytes, behind other text or as the `first` of a text; None where the tokenizer hides them."""
        key = (token, special, first)
        if key not in self._known:
            self._known[key] = self._find(token, special, [] if first else self._before)
        return self._known[key]

    def _find(self, token: int, special: bool, before: list[int]) -> bytes | None:
        start, whole = self._decode(before, special), self._decode([*before, token], special)
        # Behind a byte, another one can turn both into something else: then it is read by itself.
        added = whole[len(start) :] if whole.startswith(start) else self._decode([token], special)
        if INCOMPLETE not in added:
            return added.encode()
        return next((raw for raw in _readings(self._name(token)) if raw.decode(errors="replace") == added), None)


def _readings(name: Any) -> Iterator[bytes]:
    """What a token's name in the vocabulary may mean."""
    if isinstance(name, bytes):
        yield name
    if not isinstance(name, str):
        return
    if found := _FALLBACK.fullmatch(name):
        yield bytes.fromhex(found[1])
    if all(character in ALPHABET for character in name):
        yield bytes(ALPHABET[character] for character in name)
    yield name.encode()
