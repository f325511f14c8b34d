"""Is it time for the claim to end: is it too old, was its Node deleted, is its machine broken?

What looks broken while the cluster is stopped, started or upgraded is not: then nothing is concluded from Nodes.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from reconciler import names
from reconciler.decide.action import Decision, DeleteClaim, Draft, PatchNode, Seen
from reconciler.decide.machine import pick
from reconciler.duration import format_duration
from reconciler.node import Node


def expire(seen: Seen, draft: Draft) -> Decision | None:
    life = seen.claim.expires_after
    if life is None or seen.now - seen.claim.created < life:
        return None
    return draft.decision(
        DeleteClaim("Expired", f"the claim is older than its `expireAfter` of {format_duration(life)}")
    )


def check(seen: Seen, draft: Draft) -> Decision | None:
    return _deleted_node(seen, draft) or _broken_node(seen, draft)


def _deleted_node(seen: Seen, draft: Draft) -> Decision | None:
    """Somebody deletes the Node, which our finalizer holds: an upgrade that replaces it, or a wish to end the claim."""
    going = [node for node in seen.nodes if node.deleting and node.held]
    if not going:
        return None
    living = [node for node in seen.nodes if not node.deleting]
    busy = seen.pool is None or not seen.pool.settled or not seen.steady
    if living or busy:
        return Decision(PatchNode(going[0], release_patch(going[0])))
    return draft.decision(DeleteClaim("NodeDeleted", f"somebody deleted Node `{going[0].name}`"))


def _broken_node(seen: Seen, draft: Draft) -> Decision | None:
    node, _ = pick(seen)
    since = node.not_ready_since if node else None
    if node is None or since is None or not seen.limits.repair or not _judgeable(seen):
        return None
    left = seen.limits.repair_after - (seen.now - since)
    if left > timedelta() or not seen.repairable:
        return None
    message = f"Node `{node.name}` has not been ready for {format_duration(seen.now - since)}"
    return draft.decision(DeleteClaim("NodeRepair", message, forced=True))


def _judgeable(seen: Seen) -> bool:
    return seen.steady and seen.pool is not None and seen.pool.settled and not seen.pool.stopped


def release_patch(node: Node) -> Mapping[str, Any]:
    """Our finalizer off a Node."""
    kept = [each for each in node.finalizers if each != names.TERMINATION_FINALIZER]
    return {"metadata": {"finalizers": kept}}
