"""Registered: has the pool's machine joined as exactly one Node, and does that Node carry what the claim asks for?"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from reconciler import names
from reconciler.conditions import false, true, unknown
from reconciler.decide.action import LATER, SOON, Decision, DeleteClaim, Draft, PatchNode, Seen, Wait
from reconciler.decide.machine import obstacle, pick, settled
from reconciler.node import Node, merge_taints
from reconciler.nodeclaim import Claim

IMAGE_LABEL = "kubernetes.azure.com/node-image-version"


def register(seen: Seen, draft: Draft) -> Decision | None:
    node, several = pick(seen)
    if node is None:
        return _missing(seen, draft, several=several)
    if not node.registered:
        able = not seen.claim.startup_taints and obstacle(seen, node) is None
        return Decision(PatchNode(node, registration_patch(seen.claim, node, able=able)))
    if node.labels.get(names.UID_LABEL) != seen.claim.uid:
        # Of an adopted pool: gpu-provisioner registered it, and its pool's labels do not name the claim.
        return Decision(PatchNode(node, {"metadata": {"labels": {names.UID_LABEL: seen.claim.uid}}}))
    image = {"imageID": node.labels[IMAGE_LABEL]} if IMAGE_LABEL in node.labels else {}
    draft.set(true(names.REGISTERED), nodeName=node.name, providerID=node.provider_id, **image)
    return None


def _missing(seen: Seen, draft: Draft, *, several: bool) -> Decision:
    """No Node, or no way to tell which: after a while the claim is deleted, if the cluster is at rest."""
    pool = seen.pool
    if several:
        message = f"several Nodes belong to node pool `{seen.claim.name}`: delete those whose machine is gone"
        draft.set(false(names.REGISTERED, "MultipleNodesFound", message))
        return draft.decision(Wait(), again=LATER)
    if pool is not None and pool.stopped:
        draft.set(unknown(names.REGISTERED, "NodePoolStopped", f"node pool `{pool.name}` is stopped: start it"))
        return draft.decision(Wait(), again=LATER)
    draft.set(
        unknown(names.REGISTERED, "NodeNotFound", f"no Node of node pool `{seen.claim.name}` has joined the cluster")
    )
    since = max(draft.condition(names.REGISTERED).since, draft.condition(names.LAUNCHED).since)
    left = seen.limits.registration - (seen.now - since)
    if not seen.limits.registration or left > timedelta() or not seen.steady or not settled(seen):
        return draft.decision(Wait(), again=min(LATER, max(left, SOON)), patience=SOON)
    return draft.decision(DeleteClaim("RegistrationTimeout", draft.condition(names.REGISTERED).message))


def registration_patch(claim: Claim, node: Node, *, able: bool) -> Mapping[str, Any]:
    """Once for each Node: what Karpenter puts on it, and the taint away that says nobody did yet.

    A Node that is able to work already is said to be, so that it is not written a second time.
    """
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": claim.name,
        "uid": claim.uid,
        "blockOwnerDeletion": True,
    }
    done = (names.REGISTERED_LABEL, names.INITIALIZED_LABEL) if able else (names.REGISTERED_LABEL,)
    owners = [each for each in node.owners if each["uid"] != claim.uid]
    metadata = {
        "labels": {**claim.labels, names.UID_LABEL: claim.uid, **dict.fromkeys(done, "true")},
        "annotations": dict(claim.annotations),
        "finalizers": list(dict.fromkeys((*node.finalizers, names.TERMINATION_FINALIZER))),
        "ownerReferences": [*owners, owner],
    }
    return {"metadata": metadata, "spec": {"taints": _taints(claim, node)}}


def _taints(claim: Claim, node: Node) -> list[dict[str, Any]]:
    kept = [each for each in node.taints if each["key"] != names.UNREGISTERED_TAINT]
    if node.labels.get(names.DO_NOT_SYNC_TAINTS_LABEL) == "true":
        return kept
    return merge_taints(kept, (*claim.taints, *claim.startup_taints))
