"""A deleted claim: empty its Nodes, delete its pool, and let it go when a later LIST shows that nothing is left.

Karpenter lets a claim without a providerID go at once, and leaks the pool that is still being made; here the LIST alone
decides. Nothing in it needs the claim's status to be writable, and no limit, price or budget holds it up.
"""

from datetime import datetime

from reconciler import names
from reconciler.conditions import shorten
from reconciler.decide.action import (
    LATER,
    SOON,
    UNREADABLE,
    Decision,
    DeletePool,
    Drain,
    DropFinalizer,
    Ignore,
    LookAgain,
    Notice,
    RemoveNode,
    Seen,
    Wait,
)
from reconciler.duration import parse_time
from reconciler.node import Node
from reconciler.nodeclaim import Claim
from reconciler.nodepool import Ownership, Pool


def decide(seen: Seen) -> Decision:
    if not seen.claim.held:
        return Decision(Ignore(), settled=True)
    if seen.own_pool is not None:
        return _end(seen, seen.own_pool)
    if seen.pool is not None and _may_be_ours(seen, seen.pool):
        return _keep(seen, seen.pool)
    if not seen.fresh or not (seen.gone or seen.ended or seen.pool):
        # One LIST may lack a pool that is there: where nobody asked for its end, a second one has to say so.
        return _look_again(seen)
    for node in seen.nodes:
        return _take_along(seen, node)
    return Decision(DropFinalizer(), settled=True)


def _take_along(seen: Seen, node: Node) -> Decision:
    """A Node without its machine: the cloud's node manager removes it within seconds, if nothing holds it."""
    if node.held or seen.gone:
        return Decision(RemoveNode(node))
    return Decision(Wait(), again=SOON)


_WAYS_OUT = {
    Ownership.LEGACY: "run `python -m reconciler adopt`, or delete the pool",
    Ownership.DISPUTED: "restore its tags, or delete the pool",
    Ownership.FOREIGN: "restore its tags and labels, or delete the pool",
    Ownership.OURS: "delete the pool",
}


def _keep(seen: Seen, pool: Pool) -> Decision:
    """Until somebody has deleted the pool, or said whose it is."""
    if pool.deleting:
        return Decision(Wait(), again=LATER)
    message = f"node pool `{pool.name}` may be this claim's and is not tagged so: {_WAYS_OUT[seen.ownership]}"
    return Decision(Wait(), again=LATER, notice=Notice("Warning", "NodePoolDisputed", shorten(message)))


def _look_again(seen: Seen) -> Decision:
    """Only a LIST lets the claim go; whoever waits for long is told why none comes."""
    if seen.blind is None:
        return Decision(LookAgain())
    message = shorten(UNREADABLE.format(seen.blind.sentence))
    return Decision(LookAgain(), notice=Notice("Warning", seen.blind.reason, message))


def _end(seen: Seen, pool: Pool) -> Decision:
    if seen.ending:
        return _look_again(seen)
    if pool.deleting:
        return Decision(Wait(), again=LATER)
    if seen.nodes and not seen.drained:
        deadline = termination_deadline(seen.claim)
        stamped = names.TERMINATION_ANNOTATION in seen.claim.annotations
        return Decision(Drain(seen.nodes, deadline, stamp=deadline is not None and not stamped), again=SOON)
    return Decision(DeletePool(pool, seen.claim.uid), again=SOON)


def termination_deadline(claim: Claim) -> datetime | None:
    """When pods are no longer asked: as it is stamped on the claim, or else as its grace says."""
    stamp = claim.annotations.get(names.TERMINATION_ANNOTATION)
    try:
        return parse_time(stamp) if stamp else _by_grace(claim)
    except ValueError:
        return _by_grace(claim)


def _by_grace(claim: Claim) -> datetime | None:
    return claim.deleted + claim.grace if claim.deleted and claim.grace is not None else None


def _may_be_ours(seen: Seen, pool: Pool) -> bool:
    """A pool of the claim's name that nobody may delete for us, and that would be leaked if the claim went."""
    if seen.ownership is Ownership.LEGACY:
        return True
    marks = {pool.uid, pool.labels.get(names.UID_LABEL, "")} - {""}
    if seen.ownership is Ownership.DISPUTED:
        return seen.claim.uid in marks or not marks
    machine = seen.claim.provider_id
    return (
        bool(machine)
        and seen.ownership is Ownership.FOREIGN
        and any(node.provider_id == machine for node in seen.nodes)
    )
