"""Which claims and Nodes are there, as far as the API server told us, and which Node is whose?"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from reconciler.kube import Kube
from reconciler.node import Node
from reconciler.nodeclaim import Claim
from reconciler.runtime.reflector import Reflector


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
        return Claim(body) if body else None

    def all_claims(self) -> list[Claim]:
        return [Claim(body) for body in self.claims.items.values()]

    def all_nodes(self) -> list[Node]:
        return [Node(body) for body in self.nodes.items.values()]

    def nodes_near(self, name: str) -> list[Node]:
        """The Nodes of a pool, and those that a claim of its name owns."""
        known = sorted(self._of_claim.get(name, ()))
        return [Node(self.nodes.items[each]) for each in known if each in self.nodes.items]

    def repairable(self, percent: int) -> bool:
        """Whether few enough of our Nodes are broken: many at once are a broken network, not broken machines."""
        ours = [node for node in self.all_nodes() if node.registered and node.pool in self.claims.items]
        broken = sum(not node.ready for node in ours)
        return broken <= ceil(len(ours) * percent / 100)


def _claims(node: Node) -> set[str]:
    owners = {each["name"] for each in node.owners if each.get("kind") == "NodeClaim"}
    return owners | ({node.pool} if node.pool else set())
