"""What does a size cost? A file says so, or nobody does: a figure is never guessed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

Prices = Mapping[str, float]
"""USD per hour at list price, by size; a size that is missing has no known price."""


def read_prices(file: str, location: str) -> Prices:
    """A mapping of sizes to prices, or the catalog's table of sizes with prices by region.

    Raises:
        ValueError: the file is neither.
        OSError: it cannot be read.
    """
    if not file:
        return {}
    try:
        raw = yaml.safe_load(Path(file).read_text("utf-8"))
        families = raw.get("families", {"": {"sizes": raw}})
        rows = [row for family in families.values() for row in family["sizes"].items()]
        return {size: float(price) for size, body in rows if (price := _price(body, location)) is not None}
    except (AttributeError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ValueError(f"`{file}` is no table of prices: {' '.join(str(error).split())}") from error


def _price(body: Any, location: str) -> float | None:
    found = (body.get("usdPerHour") or {}).get(location) if isinstance(body, dict) else body
    return None if found is None else float(found)
