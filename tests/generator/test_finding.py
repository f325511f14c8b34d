"""A finding is one line, whatever it quotes."""

import pytest

from generator.finding import Finding, Place
from generator.report import write_findings


@pytest.mark.parametrize("odd", ["\n", "\r", "\x1b[31m", "\u2028", "\x85", "\u202e"])
def test_no_quoted_value_breaks_the_line_or_drives_the_terminal(odd: str) -> None:
    finding = Finding(Place("catalog/models/a.yaml", 1, 1), "catalog/shape", f"unknown field `a{odd}b`", f"not `{odd}`")
    assert (finding.message + finding.hint).isprintable()
    assert len(write_findings([finding], "text").split("\n")) == 2
    assert "a" in finding.message
    assert "b`" in finding.message


def test_plain_text_stays_as_it_is() -> None:
    finding = Finding(Place("a"), "r", "ünïcode `é` 你好", "→ so")
    assert (finding.message, finding.hint) == ("ünïcode `é` 你好", "→ so")
