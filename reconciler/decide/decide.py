"""One claim, one decision: the aspects in Karpenter's order, the first that has something to do decides."""

from datetime import timedelta

from reconciler.decide import initialization, launch, liveness, registration, termination
from reconciler.decide.action import MOMENT, RARELY, AddFinalizer, Decision, Draft, Ignore, Seen, Wait


def decide(seen: Seen) -> Decision:
    claim = seen.claim
    if not claim.managed:
        return Decision(Ignore(), settled=True)
    if claim.deleted:
        return termination.decide(seen)
    if not claim.held and not (seen.problems and seen.pool is None):
        return Decision(AddFinalizer())
    return _alive(seen)


def _alive(seen: Seen) -> Decision:
    draft = Draft.of(seen.claim, seen.now)
    for aspect in (liveness.expire, launch.launch, liveness.check, registration.register, initialization.initialize):
        decision = aspect(seen, draft)
        if decision is not None:
            return decision
    return draft.decision(Wait(), again=_until_expiry(seen), settled=True)


def _until_expiry(seen: Seen) -> timedelta:
    """A claim at rest is looked at now and then, and when it expires."""
    if seen.claim.expires_after is None:
        return RARELY
    left = seen.claim.expires_after - (seen.now - seen.claim.created)
    return min(RARELY, max(left, MOMENT))
