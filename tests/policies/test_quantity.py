"""Is a quantity what Kubernetes takes it for?"""

from fractions import Fraction

import pytest

from generator.policy.cel import Failure, check, compile_, given
from generator.quantity import is_quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("16", 16),
        ("16000m", 16),
        ("0.016k", 16),
        ("1.6e1", 16),
        ("160E-1", 16),
        ("+16", 16),
        ("16.", 16),
        (".5", Fraction(1, 2)),
        ("-1", -1),
        ("1Ki", 1024),
        ("1.5Gi", 1024**3 * 3 // 2),
        ("1M", 10**6),
        ("1E", 10**18),
        ("3n", Fraction(3, 10**9)),
        ("0.1n", Fraction(1, 10**9)),
        ("-0.1n", Fraction(-1, 10**9)),
        ("9223372036854775808", 2**63 - 1),
        ("1e1000", 2**63 - 1),
        ("16Ei", 2**63 - 1),
    ],
)
def test_a_quantity_has_its_value(text: str, value: Fraction) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    "text", ["", "many", "1 ", " 1", "1kk", "1ki", "1e", "--1", "1_000", "0x10", ".", "1,5", "1K", "1\n"]
)
def test_what_is_no_quantity(text: str) -> None:
    assert not is_quantity(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("quantity('2').isGreaterThan(quantity('1999m'))", True),
        ("quantity('2').isGreaterThan(quantity('2000m'))", False),
        ("quantity('2') == quantity('2000m')", True),
        ("isQuantity('2k')", True),
        ("isQuantity('2kk')", False),
    ],
)
def test_expressions_about_quantities(text: str, value: bool) -> None:
    check(text, "BOOL")
    assert compile_(text).run(given()) is value


def test_what_is_no_quantity_is_an_error_where_it_is_used() -> None:
    assert compile_("quantity('many') == quantity('1')").run(given()) == Failure("`many` is no quantity")
