"""Azure VM sizes as data: what each has, what it costs, and which replaces a retired one."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from generator.facts import read_facts


@dataclass(frozen=True, slots=True)
class Sku:
    """One VM size; memory in GiB, prices in USD per hour by region."""

    name: str
    family: str
    gpus: int
    gpu_memory_gib: float
    vcpus: int
    memory_gib: float
    usd_per_hour: dict[str, float]


@dataclass(frozen=True, slots=True)
class Retired:
    replacement: str
    why: str


@dataclass(frozen=True, slots=True)
class Skus:
    sizes: dict[str, Sku]
    retired: dict[str, Retired]
    priced: date
    """The day of the price table."""


def load_skus(path: Path) -> Skus:
    """Read `catalog/facts/skus.yaml`."""
    data = read_facts(path)
    sizes = {
        name: Sku(
            name=name,
            family=family,
            gpus=row["gpus"],
            gpu_memory_gib=row.get("gpuMemoryGiB", 0),
            vcpus=row["vcpus"],
            memory_gib=row["memoryGiB"],
            usd_per_hour=row.get("usdPerHour", {}),
        )
        for family, rows in data["families"].items()
        for name, row in rows["sizes"].items()
    }
    retired = {name: Retired(**row) for name, row in data["retired"].items()}
    return Skus(sizes, retired, date.fromisoformat(data["sources"]["prices"]["checked"]))
