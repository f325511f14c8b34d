"""What may stand here? Names for the shell's completion: read off file names, since every Tab asks again."""

from collections.abc import Callable, Iterable
from pathlib import Path

import click

from generator.finding import CannotRunError
from generator.repository import find_repository

Completion = Callable[[click.Context, click.Parameter, str], list[str]]


def among(names: Iterable[str]) -> Completion:
    """Those of fixed names that begin so."""
    return lambda _ctx, _parameter, incomplete: [name for name in names if name.startswith(incomplete)]


def entries(*folders: str) -> Completion:
    """The names of the entries in folders of the catalog; none where there is no catalog."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        try:
            root = find_repository(Path(ctx.find_root().params.get("directory") or ".")).root
        except CannotRunError:
            return []
        names = {path.stem for folder in folders for path in (root / "catalog" / folder).glob("*.yaml")}
        return among(sorted(names))(ctx, parameter, incomplete)

    return complete


CLUSTERS = entries("clusters")
MODELS = entries("models")
EVERY = entries("models", "tuning", "rag")
