"""What `kaitops fit` is asked, and what it answers: plain values between the options and the report."""

from dataclasses import dataclass
from pathlib import Path

from generator.fit.verdict import Fit
from generator.skus import Sku


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of the command."""

    skus: tuple[str, ...] = ()
    context: int | None = None
    concurrency: int | None = None
    quantization: str = ""
    cluster: str | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """A model that is not of the catalog."""

    preset: str | None = None
    config: Path | None = None
    weights_gib: float | None = None
    index: Path | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One VM size: a verdict, or why nobody can tell; KAITO's number may be known all the same."""

    sku: Sku
    fit: Fit | None = None
    why: str = ""
    kaito_nodes: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    subject: str
    cluster: str
    region: str
    context: int
    concurrency: int
    rows: tuple[Row, ...]
    own: str = ""
    """The VM size that the entry asks for."""
    single: bool = False
    """One VM size was asked about by name."""
    training: bool = False

    @property
    def unknown(self) -> bool:
        return any(row.fit is None for row in self.rows)

    @property
    def fits(self) -> bool:
        """Whether it fits where the entry puts it; of a model that has no entry, on any size."""
        judged = [row for row in self.rows if row.sku.name == self.own] if self.own and not self.single else self.rows
        return any(row.fit is not None and row.fit.fits for row in judged)
