"""Is there room for one more pool? AKS allows 100 in a cluster, and this program must not take the last of them.

Those that wait are served oldest first. A claim that Azure refuses anyway holds nobody up.
"""

from collections.abc import Iterable

from reconciler import names
from reconciler.errors import UNKNOWN
from reconciler.nodeclaim import Claim
from reconciler.nodepool import Ownership, Pool, ownership


def headroom(pools: Iterable[Pool], cluster: str, limit: int, reserve: int) -> int:
    """How many pools may be made: the reserve is kept for others, less those that others already have."""
    all_pools = list(pools)
    others = sum(ownership(pool, cluster) is not Ownership.OURS for pool in all_pools)
    return limit - max(reserve, others) - (len(all_pools) - others)


def is_waiting(claim: Claim) -> bool:
    """Whether a claim without a pool competes for one: what Azure refuses for a cause that nobody knows may last."""
    launched = claim.conditions[names.LAUNCHED]
    refused = launched.status == "False" or launched.reason == UNKNOWN.reason
    return claim.managed and not claim.deleted and not launched.true and not refused


def admitted(claim: Claim, waiting: Iterable[Claim], room: int) -> bool:
    """Whether the claim is among the oldest that still find room."""
    older = sum(1 for each in waiting if each.uid != claim.uid and age(each) < age(claim))
    return older < room


def age(claim: Claim) -> tuple[str, str]:
    return str(claim.metadata["creationTimestamp"]), claim.uid
