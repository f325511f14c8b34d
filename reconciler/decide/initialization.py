"""Initialized: can the Node do its work?"""

from reconciler import names
from reconciler.conditions import true
from reconciler.decide.action import LATER, PATIENCE, Decision, Draft, PatchNode, Seen, Wait
from reconciler.decide.machine import obstacle, pick


def initialize(seen: Seen, draft: Draft) -> Decision | None:
    node, _ = pick(seen)
    if node is None:
        return None
    done = node.labels.get(names.INITIALIZED_LABEL) == "true"
    if done and seen.claim.conditions[names.INITIALIZED].true:
        draft.set(true(names.INITIALIZED))  # For the generation that is observed.
        return None
    hindrance = obstacle(seen, node)
    if hindrance is not None:
        draft.set(hindrance)
        return draft.decision(Wait(), again=LATER, patience=PATIENCE)
    if not done:
        return Decision(PatchNode(node, {"metadata": {"labels": {names.INITIALIZED_LABEL: "true"}}}))
    resources = {key: node.status[key] for key in ("capacity", "allocatable") if key in node.status}
    draft.set(true(names.INITIALIZED), **resources)
    return None
