"""Initialized: can the Node do its work?"""

from reconciler import names
from reconciler.conditions import Change, true, unknown
from reconciler.decide.action import LATER, Decision, Draft, PatchNode, Seen, Wait
from reconciler.decide.registration import pick
from reconciler.node import EPHEMERAL_TAINTS, Node

NEVER_ALLOCATABLE = ("storage",)
"""KAITO requests the resource `storage`, which no Node ever reports: it is the size of the disk."""


def initialize(seen: Seen, draft: Draft) -> Decision | None:
    node, _ = pick(seen)
    if node is None:
        return None
    done = node.labels.get(names.INITIALIZED_LABEL) == "true"
    if done and seen.claim.conditions[names.INITIALIZED].true:
        draft.set(true(names.INITIALIZED))  # For the generation that is observed.
        return None
    obstacle = _obstacle(seen, node)
    if obstacle is not None:
        draft.set(obstacle)
        return draft.decision(Wait(), again=LATER)
    if not done:
        return Decision(PatchNode(node, {"metadata": {"labels": {names.INITIALIZED_LABEL: "true"}}}))
    resources = {key: node.status[key] for key in ("capacity", "allocatable") if key in node.status}
    draft.set(true(names.INITIALIZED), **resources)
    return None


def _obstacle(seen: Seen, node: Node) -> Change | None:
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
