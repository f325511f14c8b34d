"""Which live cluster does a person mean, and which cluster of the catalog is it?"""

import sys
from pathlib import Path

import click

from generator.checks.server import Target
from generator.cli.session import check_clusters
from generator.finding import CannotRunError
from generator.kube import connect
from generator.load import Catalog


def target(catalog: Catalog, context: str, kubeconfig: Path | None, cluster: str | None) -> Target:
    """Sign in to the cluster of a context.

    Raises:
        CannotRunError: there is no such context, or nothing says which cluster of the catalog it is.
    """
    if cluster is not None:
        check_clusters([cluster], catalog.clusters)
    name = cluster or _cluster_of(catalog, context)
    entry = catalog.clusters[name]
    where, minor = entry.place("kubernetes"), entry.value.spec.kubernetes
    return Target(name, where, minor, connect(context, kubeconfig), _tell if sys.stderr.isatty() else None)


def _cluster_of(catalog: Catalog, context: str) -> str:
    """`az aks get-credentials` names a context like the AKS cluster."""
    clusters = catalog.clusters
    same = [name for name, entry in clusters.items() if context in (name, entry.value.spec.azure.cluster)]
    candidates = same or [*clusters]
    if len(candidates) == 1:
        return candidates[0]
    names = ", ".join(f"`{name}`" for name in candidates)
    raise CannotRunError(
        f"nothing says which cluster of the catalog the context `{context}` is", f"say it with `--cluster`: {names}"
    )


def _tell(answered: int, of: int) -> None:
    click.echo(f"\rasked about {answered} of {of} objects", nl=answered == of, err=True)
