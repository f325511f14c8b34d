"""Tokens become the same text in pieces as at once, and stop strings are found wherever the borders are."""

import random

import pytest

from inference.text.detokenize import Detokenizer, StopStrings


def decode(ids: list[int]) -> str:
    return bytes(ids).decode(errors="replace")


@pytest.mark.parametrize("text", ["plain", "naïve 世界 🎉👩‍👩‍👧 end", "\ufffd real replacement", "tab\t\n\r"])
def test_pieces_add_up_to_the_whole_and_never_hold_half_a_character(text: str) -> None:
    detokenizer = Detokenizer(lambda ids: decode(list(ids)))
    pieces = [detokenizer.push([byte]) for byte in text.encode()] + [detokenizer.push([], last=True)]
    assert "".join(pieces) == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


def test_wrong_bytes_are_shown_as_such_and_do_not_hold_the_rest_back() -> None:
    detokenizer = Detokenizer(lambda ids: decode(list(ids)))
    shown = "".join(detokenizer.push([byte]) for byte in b"\xf0" * 9)
    assert shown.startswith("\ufffd")
    assert detokenizer.push(list(b"ab"), last=True).endswith("ab")


def test_a_stop_string_is_found_however_the_text_is_cut() -> None:
    dice = random.Random(3)  # noqa: S311 -- nothing secret
    for _ in range(300):
        text = "".join(dice.choice("ab") for _ in range(30))
        stops = ["".join(dice.choice("ab") for _ in range(dice.randrange(1, 6))) for _ in range(2)]
        cuts = sorted(dice.sample(range(31), 5))
        parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, 30], strict=True)]
        scanner, seen, met = StopStrings(stops), "", None
        for part in parts:
            certain, met = scanner.push(part)
            seen += certain
            if met:
                break
        seen += scanner.flush() if not met else ""
        found = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
        assert seen == (text[: min(found)[1]] if found else text)
        assert bool(met) is bool(found)


def test_the_stop_string_is_kept_where_that_is_asked_for() -> None:
    assert StopStrings(["cd"], include=True).push("abcdef") == ("abcd", "cd")
