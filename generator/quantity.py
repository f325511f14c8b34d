"""Amounts as Kubernetes writes them: `500m`, `4`, `16Gi`."""

FACTORS = {
    **{f"{letter}i": 1024.0**power for power, letter in enumerate("KMGT", 1)},
    **{letter: 1000.0**power for power, letter in enumerate("kMGT", 1)},
    "m": 1e-3,
}
"""The longer suffix first: `Gi` ends in no other."""


def amount(quantity: str) -> float:
    """A quantity that the catalog's types have accepted, in cores or bytes."""
    for suffix, factor in FACTORS.items():
        if quantity.endswith(suffix):
            return float(quantity.removesuffix(suffix)) * factor
    return float(quantity)
