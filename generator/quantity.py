"""Amounts as Kubernetes writes them: `500m`, `4`, `16Gi`; `16`, `16000m` and `0.016k` are the same one.

A value is exact, rounded away from zero to a billionth, and held to 64 bits, as in Kubernetes.
"""

import re
from fractions import Fraction
from math import ceil

NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?P<digits>[0-9]+(\.[0-9]*)?|\.[0-9]+)"
    r"(?P<suffix>[EPTGMK]i|[numkMGTPE]|[eE](?P<exponent>[+-]?[0-9]+))?"
)
BINARY = {f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", 1)}
DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
SMALLEST = 10**9
"""Parts of one that are told apart."""
LARGEST = Fraction(2**63 - 1)
LONGEST_EXPONENT = 4
"""Digits beyond which no amount is carried by 64 bits; a longer one would only cost time."""


def parse_quantity(text: str) -> Fraction | None:
    """The value of a quantity; None where the text is none."""
    found = NUMBER.fullmatch(text)
    if found is None or len((found["exponent"] or "").lstrip("+-0")) > LONGEST_EXPONENT:
        return None
    value = min(_rounded(Fraction(_digits(found["digits"])) * _factor(found["suffix"], found["exponent"])), LARGEST)
    return -value if found["sign"] == "-" else value


def _digits(text: str) -> str:
    return f"0{text}".rstrip(".") if text.startswith(".") or text.endswith(".") else text


def _factor(suffix: str | None, exponent: str | None) -> Fraction:
    if exponent is not None:
        return Fraction(10) ** int(exponent)
    if suffix in BINARY:
        return BINARY[suffix]
    return Fraction(10) ** DECIMAL[suffix] if suffix else Fraction(1)


def _rounded(value: Fraction) -> Fraction:
    return Fraction(ceil(value * SMALLEST), SMALLEST)


def is_quantity(text: str) -> bool:
    return parse_quantity(text) is not None


def to_quantity(text: str) -> Fraction:
    """The value of a quantity.

    Raises:
        ValueError: the text is none.
    """
    value = parse_quantity(text)
    if value is None:
        raise ValueError(f"`{text}` is no quantity")
    return value


def amount(text: str) -> float:
    """A quantity that the catalog's types have accepted, in cores or bytes."""
    return float(to_quantity(text))
