"""Names that fit: each name of ours, with what Kubernetes and KAITO append to it, stays within 63 characters."""

from generator.verdict import REVISION_LENGTH

LABEL_LENGTH = 63
REVISION = 1 + REVISION_LENGTH
"""`-` and the revision."""
CONTROLLER_HASH = 1 + 10
"""A StatefulSet puts `<name>-<hash of up to 10>` into the label `controller-revision-hash`."""
HEADLESS = len("-headless")
GENERATED = 1 + 5
"""An InferenceSet's child is `<name>-<5 characters>`."""
POOL_PICKER = len("-inferencepool-epp")

RESERVED_UNITS = frozenset(
    {"azure", "gateway", "gitops", "monitoring", "namespaces", "operators", "policies", "reconciler"}
)
"""Folders of platform parts below a cluster's; no entry may have their names."""


def longest_name(kind: str) -> int:
    """How long an entry's name may be when it is rendered as `kind`."""
    appended = {
        "Workspace": max(CONTROLLER_HASH, HEADLESS),
        "InferenceSet": max(GENERATED + CONTROLLER_HASH, POOL_PICKER),
        "RAGEngine": CONTROLLER_HASH,
    }
    return LABEL_LENGTH - REVISION - appended[kind]
