"""What do several commands ask in the same words? Their options and arguments, each written once."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from generator.cli.completing import CLUSTERS

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def cluster_option(text: str, metavar: str = "NAME") -> Callable[[Decorated], Decorated]:
    """`--cluster`, once, as the parameter `cluster`."""
    return click.option("--cluster", metavar=metavar, shell_complete=CLUSTERS, help=text)


def clusters_option(text: str) -> Callable[[Decorated], Decorated]:
    """`--cluster`, as often as wanted, as the parameter `clusters`."""
    return click.option("--cluster", "clusters", multiple=True, metavar="NAME", shell_complete=CLUSTERS, help=text)
