"""Which claims and Nodes are there, as far as the API server told us, and which Node is whose?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol, TypeVar

from reconciler.kube import Kube
from reconciler.node import Node
from reconciler.nodeclaim import Claim
from reconciler.runtime.reflector import Object, Reflector


@dataclass
class Mirror:
    """Both kinds, and the claims that a Node speaks of: by the name of its pool, and by its owner."""

    kube: Kube
    touched: Callable[[str], None]
    """Called with the name of each claim that something happened to."""
    claims: Reflector = field(init=False)
    nodes: Reflector = field(init=False)
    _of_claim: dict[str, set[str]] = field(default_factory=dict)
    _claims_of: dict[str, set[str]] = field(default_factory=dict)
    _claim_views: dict[str, Claim] = field(default_factory=dict)
    _node_views: dict[str, Node] = field(default_factory=dict)
    """Kept as long as their objects: each decision looks at all of them, and reading one takes thirty times as long."""

    def __post_init__(self) -> None:
        self.claims = Reflector(self.kube.claims(), self.touched)
        self.nodes = Reflector(self.kube.nodes(), self._node_changed)

    @property
    def synced(self) -> bool:
        return self.claims.synced.is_set() and self.nodes.synced.is_set()

    async def wait(self) -> None:
        await self.claims.synced.wait()
        await self.nodes.synced.wait()

    def _node_changed(self, name: str) -> None:
        body = self.nodes.items.get(name)
        before = self._claims_of.pop(name, set())
        now = _claims(Node(body)) if body else set()
        for claim in before:
            self._of_claim[claim].discard(name)
        for claim in now:
            self._of_claim.setdefault(claim, set()).add(name)
        if now:
            self._claims_of[name] = now
        for claim in before | now:
            self.touched(claim)

    def claim(self, name: str) -> Claim | None:
        body = self.claims.items.get(name)
        return _viewed(self._claim_views, name, body, Claim) if body else None

    def all_claims(self) -> list[Claim]:
        return _all_viewed(self._claim_views, self.claims.items, Claim)

    def all_nodes(self) -> list[Node]:
        return _all_viewed(self._node_views, self.nodes.items, Node)

    def nodes_near(self, name: str) -> list[Node]:
        """The Nodes of a pool, and those that a claim of its name owns."""
        known = sorted(self._of_claim.get(name, ()))
        items = self.nodes.items
        return [_viewed(self._node_views, each, items[each], Node) for each in known if each in items]

    def repairable(self, percent: int) -> bool:
        """Whether few enough of our Nodes are broken: many at once are a broken network, not broken machines."""
        ours = [node for node in self.all_nodes() if node.registered and node.pool in self.claims.items]
        broken = sum(not node.ready for node in ours)
        return broken <= ceil(len(ours) * percent / 100)


class _View(Protocol):
    @property
    def raw(self) -> Object: ...


V = TypeVar("V", bound=_View)


def _viewed(views: dict[str, V], name: str, body: Object, read: Callable[[Object], V]) -> V:
    """The view of this very object."""
    found = views.get(name)
    if found is None or found.raw is not body:
        found = views[name] = read(body)
    return found


def _all_viewed(views: dict[str, V], items: Mapping[str, Object], read: Callable[[Object], V]) -> list[V]:
    for name in views.keys() - items.keys():
        del views[name]
    return [_viewed(views, name, body, read) for name, body in items.items()]


def _claims(node: Node) -> set[str]:
    owners = {each["name"] for each in node.owners if each.get("kind") == "NodeClaim"}
    return owners | ({node.pool} if node.pool else set())
