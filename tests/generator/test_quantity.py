"""Are Kubernetes' amounts read as Kubernetes reads them?"""

import pytest

from generator.quantity import amount


@pytest.mark.parametrize(
    ("quantity", "value"),
    [("8Gi", 8 * 2**30), ("512Mi", 2**29), ("1073741824", 2**30), ("1T", 1e12), ("500m", 0.5), ("1.5G", 1.5e9)],
)  # fmt: skip
def test_amounts(quantity: str, value: float) -> None:
    assert amount(quantity) == pytest.approx(value)
