"""Which Node is the claim's machine, and what keeps it from its work?"""

from reconciler import names
from reconciler.conditions import Change, unknown
from reconciler.decide.action import Seen
from reconciler.node import EPHEMERAL_TAINTS, Node

NEVER_ALLOCATABLE = ("storage",)
"""KAITO requests the resource `storage`, which no Node ever reports: it is the size of the disk."""


def pick(seen: Seen) -> tuple[Node | None, bool]:
    """The Node of the claim, and whether there are too many to tell.

    An upgrade of the node image brings a second machine and takes the first: until it is over the Node that the claim
    is bound to stays its Node, and then the one that is left is.
    """
    living = [node for node in seen.nodes if node.provider_id and not node.deleting]
    if len(living) <= 1:
        return (living[0] if living else None), False
    bound = [node for node in living if node.name == seen.claim.node_name]
    ready = [node for node in living if node.ready]
    if bound and (bound[0].ready or not ready) and (len(ready) <= 1 or not settled(seen)):
        return bound[0], False
    return (ready[0], False) if len(ready) == 1 else (None, True)


def settled(seen: Seen) -> bool:
    return seen.pool is not None and seen.pool.settled


def obstacle(seen: Seen, node: Node) -> Change | None:
    if not node.ready:
        return unknown(names.INITIALIZED, "NodeNotReady", f"Node `{node.name}` is not ready")
    for taint in seen.claim.startup_taints:
        if node.has_taint(taint["key"], taint["effect"]):
            message = f"the start-up taint `{taint['key']}:{taint['effect']}` is still on Node `{node.name}`"
            return unknown(names.INITIALIZED, "StartupTaintsExist", message)
    for key, effect in EPHEMERAL_TAINTS:
        if node.has_taint(key, effect):
            message = f"the taint `{key}:{effect}` is still on Node `{node.name}`"
            return unknown(names.INITIALIZED, "KnownEphemeralTaintsExist", message)
    return _missing_resource(seen, node)


def _missing_resource(seen: Seen, node: Node) -> Change | None:
    wanted = [name for name, amount in seen.claim.requests.items() if amount and name not in NEVER_ALLOCATABLE]
    gpus = [names.NVIDIA_GPU] if seen.needs_gpu else []
    for name in (*wanted, *gpus):
        if not node.allocatable(name):
            message = (
                f"Node `{node.name}` does not offer the resource `{name}` yet: its driver or device plugin is starting"
            )
            return unknown(names.INITIALIZED, "ResourceNotRegistered", message)
    return None
