"""Which rendered files differ between a commit and what is rendered now? By Git's hashes, so that few are read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from generator.document import Body
from generator.history import Snapshot, blob_id
from generator.plan.objects import Item
from generator.tree.index import INDEX, parse

BY_HAND = frozenset({"base", "components"})
"""Folders of `clusters/` that no cluster owns."""


@dataclass(frozen=True, slots=True)
class FilePair:
    """One file's content on both sides; None where it is not."""

    path: str
    before: bytes | None
    after: str | None

    @property
    def cluster(self) -> str:
        return self.path.split("/")[1]

    @property
    def unit(self) -> str:
        return self.path.split("/")[2]

    def items(self) -> tuple[list[Item], list[Item]]:
        """The objects of both sides; a kustomization is none."""
        return [*_item(self.path, self.before)], [*_item(self.path, self.after)]


def changed_files(base: Snapshot, rendered: Mapping[str, str]) -> list[FilePair]:
    """The files that were rendered at the base or are now, and are not the same."""
    found = []
    for path in sorted({*_owned(base), *rendered}):
        text, sha = rendered.get(path), base.blobs.get(path)
        if text is None or sha is None or blob_id(text.encode(), sha) != sha:
            found.append(FilePair(path, base.read(path) if sha else None, text))
    return found


def clusters_of(base: Snapshot) -> list[str]:
    names = {path.split("/")[1] for path in base.below("clusters") if path.count("/") > 1}
    return sorted(names - BY_HAND)


def _owned(base: Snapshot) -> Iterator[str]:
    """What the base's indexes name; a file that somebody put beside it is nobody's to delete."""
    for cluster in clusters_of(base):
        index = f"clusters/{cluster}/{INDEX}"
        if index in base.blobs:
            paths = (f"clusters/{cluster}/{path}" for path in parse(base.read(index)).hashes)
            yield from (path for path in paths if path in base.blobs)


def _item(path: str, content: bytes | str | None) -> Iterator[Item]:
    if content is None:
        return
    try:
        body = yaml.load(content, yaml.CSafeLoader)  # JSON is YAML
    except yaml.YAMLError:
        return  # a conflicted or hand-broken file at the base: what stood there cannot be told
    if isinstance(body, dict) and path.endswith(".json"):
        yield Item(path, _template(path, body))
    elif isinstance(body, dict) and body.get("kind") not in {None, "Kustomization"}:
        yield Item(path, body)


def _template(path: str, content: Body) -> Body:
    """What Azure deploys is no object of the cluster, and changes all the same."""
    return {"kind": "AzureTemplate", "metadata": {"name": path.rpartition("/")[2]}, "content": content}
