"""The Argo CD Application of each unit: in which order the root makes them, and how each is synced."""

from dataclasses import dataclass

from generator.resolve.platform import Platform

IN_CLUSTER = "https://kubernetes.default.svc"
WAVES = {
    "gitops": "-30",
    "namespaces": "-20",
    "policies": "-15",
    "gateway": "-10",
    "monitoring": "-10",
    "reconciler": "-10",
}
"""The order in which the root creates the platform's Applications; models come after all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One unit as Argo CD sees it."""

    name: str
    source: str
    argocd: str
    labels: dict[str, str]
    wave: str
    project: str
    repo: str
    revision: str
    path: str
    generate_paths: str
    server: str
    namespace: str
    options: tuple[str, ...]
    cascade: bool
    """Whether its objects go with it. A model's do, or its GPUs would stay; a platform part's never by accident."""


def application(platform: Platform, unit: str, source: str, namespace: str, *, prune_last: bool) -> Application:
    """The Argo CD Application of one unit.

    Args:
        platform: The cluster.
        unit: Folder of the unit below the cluster's.
        source: Catalog file that the unit comes from.
        namespace: Where the unit's objects go.
        prune_last: Whether old objects wait until the new ones are healthy.
    """
    gitops = platform.gitops
    path = f"clusters/{platform.name}/{unit}"
    platform_part = unit in WAVES
    return Application(
        name=f"{platform.name}-{unit}",
        source=source,
        argocd=gitops.namespace,
        labels={**platform.labels, "kaitops.dev/cluster": platform.name, "kaitops.dev/unit": unit},
        wave=WAVES.get(unit, "0"),
        project=gitops.root_project if unit == "gitops" else gitops.project,
        repo=gitops.repo,
        revision=gitops.revision,
        path=path,
        cascade=not platform_part,
        generate_paths=_generate_paths(unit),
        server=IN_CLUSTER if unit == "gitops" else gitops.server,
        namespace=gitops.namespace if unit == "gitops" else namespace,
        options=_options(unit, prune_last=prune_last),
    )


def _options(unit: str, *, prune_last: bool) -> tuple[str, ...]:
    """How Argo CD syncs one unit.

    Only the root, which may hold hundreds of Applications and waits for none, applies no more than what differs. A
    retry of anything else must wait again for what the try before has applied: a revision that is there and Degraded
    does not differ, so that the retry would go on to the Service and prune the revision that serves.
    """
    return (
        *(("ApplyOutOfSyncOnly=true",) if unit == "gitops" else ()),
        "RespectIgnoreDifferences=true",
        *(("PruneLast=true",) if prune_last else ()),
    )


def _generate_paths(unit: str) -> str:
    """What a unit is made of, so that Argo CD draws it anew for no other change."""
    if unit == "policies":
        return ".;/policies"
    return ".;/clusters/base;/clusters/components" if unit in WAVES else "."
