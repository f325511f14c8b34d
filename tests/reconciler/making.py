"""Claims, pools and Nodes for tests that need one as such."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from reconciler import names
from reconciler.desired import Desired, desired, ownership_tags
from reconciler.nodeclaim import Claim
from reconciler.nodeclass import NodeClass
from reconciler.nodepool import Pool
from reconciler.offerings import Offering
from tests.reconciler.fake_kube import claim_body, merge

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SIZE = "Standard_NC24ads_A100_v4"
CLUSTER = "cluster-1"
STAMP = "2026-01-01T11:59:00Z"


def a_claim(patch: Mapping[str, Any] | None = None, *, size: str | tuple[str, ...] = SIZE, **spec: Any) -> Claim:
    """A claim of a minute ago that holds our finalizer, changed by a merge patch."""
    body = claim_body("ws1", size, **spec)
    known = {
        "uid": "uid-1",
        "resourceVersion": "7",
        "generation": 1,
        "creationTimestamp": STAMP,
        "finalizers": [names.TERMINATION_FINALIZER],
    }
    return Claim(merge(merge(body, {"metadata": known}), dict(patch or {})))


def a_desired() -> Desired:
    return desired(a_claim(), Offering(SIZE), NodeClass(), CLUSTER, NOW)


def a_pool(claim: Claim | None = None, **fields: Any) -> Pool:
    """The pool of a claim, made a minute ago."""
    claim = claim or a_claim()
    made = claim.created
    tags = ownership_tags(claim, CLUSTER, made)
    labels = {names.UID_LABEL: claim.uid, names.NODEPOOL_LABEL: "kaito", **claim.labels}
    return replace(Pool(claim.name, "Creating", "etag-1", SIZE, tags=tags, labels=labels), **fields)
