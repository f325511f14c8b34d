"""Which of our kinds does the cluster serve, and by what path is each asked for?"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

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
        answer = kube.get(root(api_version))
        offered = answer.body["resources"] if answer.status == OK else ()
        for each in offered:
            kind = (api_version, each["kind"])
            if kind in wanted and "/" not in each["name"]:  # a subresource, such as `workspaces/status`
                found[kind] = Resource(api_version, each["name"], each["namespaced"])
    return found


def served_versions(kube: Kube, group: str) -> list[str]:
    """The versions of a group that the cluster serves instead."""
    answer = kube.get(f"/apis/{group}")
    if answer.status != OK:
        return []
    versions: list[dict[str, Any]] = answer.body["versions"]
    return [each["groupVersion"] for each in versions]
