"""Launched: is there a pool for the claim, and if not, what is in its way?"""

from datetime import timedelta
from typing import Any

from reconciler import names
from reconciler.conditions import Change, false, shorten, true, unknown
from reconciler.decide.action import (
    LATER,
    MOMENT,
    SOON,
    UNREADABLE,
    CreatePool,
    Decision,
    DeleteClaim,
    DeletePool,
    Draft,
    LookAgain,
    Notice,
    RemoveNode,
    Seen,
    Wait,
)
from reconciler.errors import Class, Scope, Verdict, classify
from reconciler.nodepool import Ownership, Pool
from reconciler.offerings import Offering, Refusal

UNAVAILABLE = "all requested instance types were unavailable during launch"
"""KAITO's RAG engine takes a claim with these words in a False `Launched` for hopeless, and stops waiting."""


def launch(seen: Seen, draft: Draft) -> Decision | None:
    """None: there is a pool, and it was launched."""
    if seen.ending:
        return _look_again(seen, draft)
    if seen.own_pool is not None:
        return _watch(seen, seen.own_pool, draft)
    if seen.pool is not None:
        return _occupied(seen, seen.pool, draft)
    if not seen.fresh:
        return _look_again(seen, draft)
    return _lost(seen, draft) if seen.claim.launched else _ask(seen, draft)


def _look_again(seen: Seen, draft: Draft) -> Decision:
    """A LIST is on its way; whoever waits for long is told why none comes."""
    if seen.blind is None or draft.condition(names.LAUNCHED).status != "Unknown":
        return Decision(LookAgain())
    draft.set(unknown(names.LAUNCHED, seen.blind.reason, UNREADABLE.format(seen.blind.sentence)))
    return draft.decision(LookAgain())


def _ask(seen: Seen, draft: Draft) -> Decision:
    """No pool of the name exists: ask for one, or say why not."""
    if seen.problems:
        draft.set(false(names.LAUNCHED, "InvalidNodeClaim", "; ".join(seen.problems)))
        return _refused(seen, draft)
    if not seen.running:
        draft.set(
            unknown(names.LAUNCHED, "ClusterNotReady", "the cluster is stopped, starting or being upgraded: waiting")
        )
        return draft.decision(Wait(), again=LATER)
    if not seen.admitted:
        draft.set(unknown(names.LAUNCHED, names.LIMIT_REACHED, _LIMIT))
        return draft.decision(Wait(), again=LATER)
    if seen.desired is None:
        draft.set(summary(seen.choice.refusals))
        hopeless = all(each.verdict.hopeless for each in seen.choice.refusals)
        return _refused(seen, draft, seen.choice.until - seen.now, hopeless=hopeless)
    for node in seen.former:
        # A scale set names its machines anew from 0: the next one must not join as a Node that is about to go.
        return Decision(RemoveNode(node))
    return Decision(CreatePool(seen.desired))


_LIMIT = (
    "the cluster has as many node pools as AKS allows, less a reserve: older claims go first; delete a model or a"
    " node pool,"
    " or place the model on another cluster"
)


def _refused(seen: Seen, draft: Draft, again: timedelta = LATER, *, hopeless: bool = True) -> Decision:
    """Nothing was made, and nothing will be soon: after a while the claim is deleted, so that KAITO may think again."""
    launched = draft.condition(names.LAUNCHED)
    left = seen.limits.launch - (seen.now - launched.since)
    if not seen.limits.launch or not hopeless:
        return draft.decision(Wait(), again=max(again, MOMENT))
    if left <= timedelta():
        return draft.decision(DeleteClaim("LaunchTimeout", launched.message))
    return draft.decision(Wait(), again=max(min(again, left), MOMENT))


def summary(refusals: tuple[Refusal, ...]) -> Change:
    """What the claim says while everything that it allows is known to be refused."""
    healing = [each for each in refusals if not each.verdict.hopeless]
    if healing:
        return refusal(healing[0].verdict, healing[0].offering, healing[0].words)
    first = refusals[0]
    if first.verdict.scope is Scope.NONE and first.verdict.kind is Class.TERMINAL:
        return refusal(first.verdict, first.offering, first.words)
    sizes = ", ".join(dict.fromkeys(each.offering.size for each in refusals))
    return false(names.LAUNCHED, first.verdict.reason, f"{UNAVAILABLE} ({sizes}): {first.verdict.sentence}")


def refusal(verdict: Verdict, offering: Offering, words: str) -> Change:
    """What the claim says after one refusal; what heals by itself is Unknown, as Karpenter has it."""
    quoted = f" ({words})" if verdict.scope is Scope.NONE and words else ""
    message = f"{offering.size}: {verdict.sentence}{quoted}"
    return (false if verdict.hopeless else unknown)(names.LAUNCHED, verdict.reason, message)


def creating(desired: Offering, name: str) -> Change:
    return unknown(names.LAUNCHED, "Creating", f"node pool `{name}` of size `{desired.size}` is being created")


def _occupied(seen: Seen, pool: Pool, draft: Draft) -> Decision:
    """The name is taken by what is not this claim's."""
    if seen.ownership is Ownership.OURS:
        draft.set(
            unknown(names.LAUNCHED, "FormerNodePool", f"the node pool of a former claim `{pool.name}` is being deleted")
        )
        if pool.deleting:
            return draft.decision(Wait(), again=SOON)
        return draft.decision(DeletePool(pool, pool.uid), again=SOON)
    if pool.deleting:
        draft.set(unknown(names.LAUNCHED, "FormerNodePool", f"a node pool `{pool.name}` is being deleted: waiting"))
        return draft.decision(Wait(), again=SOON)
    if seen.claim.launched:
        return Decision(
            Wait(), again=LATER, notice=Notice("Warning", "NotAdopted", shorten(_NOT_ADOPTED.format(pool.name)))
        )
    reason, message = _CONFLICTS[seen.ownership]
    draft.set(false(names.LAUNCHED, reason, message.format(pool.name)))
    return _refused(seen, draft, hopeless=seen.ownership is Ownership.FOREIGN)


_NOT_ADOPTED = "node pool `{}` is not tagged as this claim's, so it is left alone: run `python -m reconciler adopt`"
_CONFLICTS = {
    Ownership.FOREIGN: (
        "NameConflict",
        "a node pool `{}` exists that is not ours: it is left alone; delete it or the claim",
    ),
    Ownership.DISPUTED: (
        "NodePoolDisputed",
        "node pool `{}` has lost some of our tags or its label: it is left alone; restore them or delete it",
    ),
    Ownership.LEGACY: (
        "NotAdopted",
        "gpu-provisioner made the node pool `{}`: it is left alone; run `python -m reconciler adopt`",
    ),
}
"""Only of the first does time make no good: a new claim gets another name, while the others may be this claim's own."""


def _lost(seen: Seen, draft: Draft) -> Decision:
    """It was launched, and its pool is no more: somebody deleted it. A wrong LIST must not end a live machine."""
    message = f"node pool `{seen.claim.name}` is gone: somebody deleted it"
    draft.set(unknown(names.REGISTERED, "NodePoolGone", message))
    since = draft.condition(names.REGISTERED).since
    alive = any(node.ready and not node.deleting for node in seen.nodes)
    if not seen.steady or not seen.gone or alive or seen.now - since < SOON:
        return draft.decision(Wait(), again=SOON)
    return draft.decision(DeleteClaim("NodePoolGone", message))


def _watch(seen: Seen, pool: Pool, draft: Draft) -> Decision | None:
    """Our pool exists: is it done?"""
    if seen.claim.launched:
        draft.set(true(names.LAUNCHED))  # For the generation that is observed.
        return None
    if pool.deleting:
        if draft.condition(names.LAUNCHED).status != "False":
            draft.set(unknown(names.LAUNCHED, "Deleting", f"node pool `{pool.name}` is being deleted, then made again"))
        return draft.decision(Wait(), again=LATER)
    if pool.failed:
        return _failed(seen, pool, draft, classify(pool.error) if pool.error else _NO_CAUSE)
    if pool.state != "Succeeded":
        return _creating(seen, pool, draft)
    draft.set(true(names.LAUNCHED))
    return None


def _creating(seen: Seen, pool: Pool, draft: Draft) -> Decision:
    began = pool.created or seen.claim.created
    left = seen.limits.create - (seen.now - began)
    if seen.limits.create and left <= timedelta():
        return _failed(seen, pool, draft, _TOO_SLOW)
    draft.set(creating(Offering(pool.size, pool.zones, pool.spot), pool.name))
    return draft.decision(Wait(), again=min(left, LATER) if seen.limits.create else LATER)


def _failed(seen: Seen, pool: Pool, draft: Draft, verdict: Verdict) -> Decision:
    """Keep what it taught, then delete it; after some of them KAITO shall think again."""
    failed = tuple(dict.fromkeys((*seen.claim.failed_pools, pool.tags[names.TAG_CREATED])))
    offering = Offering(pool.size, pool.zones, pool.spot)
    words = pool.error.message if pool.error else "no cause is known"
    change = refusal(verdict, offering, words)
    draft.set(Change(change.type, "False", change.reason, change.message))
    if len(failed) >= seen.limits.attempts:
        return draft.decision(
            DeleteClaim("LaunchFailed", draft.condition(names.LAUNCHED).message),
            notice=Notice("Warning", verdict.reason, draft.condition(names.LAUNCHED).message),
        )
    return draft.decision(
        DeletePool(pool, pool.uid, (offering, verdict), failed),
        again=SOON,
        notice=Notice("Warning", verdict.reason, draft.condition(names.LAUNCHED).message),
    )


_NO_CAUSE = Verdict("LaunchFailed", "AKS failed to make the node pool and names no cause", Class.TRANSIENT)
_TOO_SLOW = Verdict(
    "CreateTimeout", "AKS did not finish the node pool in time; it is deleted and made again", Class.TRANSIENT
)


def failure_patch(failed: tuple[str, ...]) -> dict[str, Any]:
    """On the claim: it outlives the pool that failed."""
    return {"metadata": {"annotations": {names.FAILURES_ANNOTATION: ",".join(failed)}}}
