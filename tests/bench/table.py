"""Figures as a Markdown table that is also readable as it is."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

HEAD = ("figure", "clock (median)", "processor", "to our render", "goal")


@dataclass(frozen=True, slots=True)
class Row:
    figure: str
    clock: str
    processor: str = ""
    ratio: str = ""
    goal: str = ""


def table(rows: Sequence[Row]) -> str:
    return aligned([HEAD, *(astuple(row) for row in rows)])


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """Lines of cells, the first of them the head."""
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(_line(line, widths) for line in (cells[0], rule, *cells[1:]))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |"
