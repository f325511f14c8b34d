"""Which of our kinds does the cluster serve, and by what path is each asked for?"""

from collections.abc import Iterable
from dataclasses import dataclass

from generator.document import Document
from generator.kube import Kube

OK = 200


@dataclass(frozen=True, slots=True)
class Resource:
    """How the cluster names a kind in its paths."""

    api_version: str
    plural: str
    namespaced: bool

    def path(self, name: str, namespace: str) -> str:
        scope = f"/namespaces/{namespace}" if self.namespaced else ""
        return f"{root(self.api_version)}{scope}/{self.plural}/{name}"


Kind = tuple[str, str]
"""API version and kind."""


def kind_of(document: Document) -> Kind:
    return document.body["apiVersion"], document.body["kind"]


def root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def find_resources(kube: Kube, kinds: Iterable[Kind]) -> dict[Kind, Resource]:
    """The kinds that the cluster serves."""
    wanted = set(kinds)
    found: dict[Kind, Resource] = {}
    for api_version in sorted({version for version, _ in wanted}):
        found |= _resources(kube, api_version)
    return {kind: resource for kind, resource in found.items() if kind in wanted}


def other_versions(kube: Kube, kind: Kind) -> list[str]:
    """The API versions in which the cluster serves a kind instead."""
    group, _, _ = kind[0].rpartition("/")
    answer = kube.get(f"/apis/{group}")
    offered = [each["groupVersion"] for each in answer.body["versions"]] if answer.status == OK else []
    return [version for version in offered if (version, kind[1]) in _resources(kube, version)]


def _resources(kube: Kube, api_version: str) -> dict[Kind, Resource]:
    answer = kube.get(root(api_version))
    offered = answer.body["resources"] if answer.status == OK else ()
    return {
        (api_version, each["kind"]): Resource(api_version, each["name"], each["namespaced"])
        for each in offered
        if "/" not in each["name"]  # a subresource, such as `workspaces/status`
    }
