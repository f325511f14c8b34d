"""Would an edit change what Kubernetes never changes?

A PersistentVolumeClaim keeps its class, its access and its volume for life, and only grows. Such an edit renders well
and then fails every sync of its unit, the next ones included; KAITO's own immutable fields are in the revision instead.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from generator.finding import Finding, Place
from generator.quantity import amount
from generator.tree import Changes, State

FIXED = ("accessModes", "storageClassName", "volumeName")


def refused_edits(changes: Changes) -> Iterator[Finding]:
    """A finding for each claim that would be edited where it cannot be."""
    for change in changes.of(State.CHANGED):  # what somebody edited by hand is another guard's business
        if not change.before or not change.path.rpartition("/")[2].startswith("persistentvolumeclaim"):
            continue
        before, after = (yaml.load(content or b"", yaml.CSafeLoader) for content in (change.before, change.after))
        if before["metadata"]["name"] != after["metadata"]["name"]:
            continue
        for field in _refused(before["spec"], after["spec"]):
            name = after["metadata"]["name"]
            message = f"the claim `{name}` exists, and Kubernetes refuses to change its {field}"
            hint = "put it back; a claim under another name, or one that was retired and made anew, may have another"
            yield Finding(Place(change.path), "catalog/immutable", message, hint)


def _refused(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    yield from (f"`{field}`" for field in FIXED if before.get(field) != after.get(field))
    sizes = [str(spec["resources"]["requests"]["storage"]) for spec in (before, after)]
    if amount(sizes[1]) < amount(sizes[0]):
        yield f"size from {sizes[0]} to the smaller {sizes[1]}"
