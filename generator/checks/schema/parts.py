"""Which parts of KAITO's kinds hold core types that KAITO's own schema leaves open?

The API server takes anything there, and the controller ignores what it does not know, so a misspelt field of a pod
template would be lost twice. We hold these parts to the core schema.
"""

from collections.abc import Iterator
from typing import Any

from generator.checks.schema.shape import VOLUME, Shape, part_shape
from generator.checks.schema.wording import Path

POD = "api.core.v1.PodTemplateSpec"
METADATA = "apimachinery.pkg.apis.meta.v1.ObjectMeta"
STRATEGY = "api.apps.v1.StatefulSetUpdateStrategy"
EACH = "*"

Place = tuple[str, ...]
INFERENCE: dict[Place, str] = {("template",): POD, ("adapters", EACH, "source", "volumeSource"): VOLUME}
PARTS: dict[str, dict[Place, str]] = {
    "Workspace": {
        **{("inference", *place): definition for place, definition in INFERENCE.items()},
        ("tuning", "input", "volumeSource"): VOLUME,
        ("tuning", "output", "volumeSource"): VOLUME,
    },
    "InferenceSet": {
        **{("spec", "template", "inference", *place): definition for place, definition in INFERENCE.items()},
        ("spec", "template", "metadata"): METADATA,
        ("spec", "updateStrategy"): STRATEGY,
    },
}


def parts(api_version: str, kind: str, minor: str, body: Any) -> Iterator[tuple[Path, Any, Shape]]:
    """Each such part that an object has: where it is, what it is, and its shape."""
    if api_version.startswith("kaito.sh/"):
        for place, definition in PARTS.get(kind, {}).items():
            for path, value in _found(body, place):
                yield path, value, part_shape(minor, definition)


def _found(value: Any, place: Place, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if not place:
        yield path, value
    elif place[0] == EACH and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _found(item, place[1:], (*path, index))
    elif isinstance(value, dict) and place[0] in value:
        yield from _found(value[place[0]], place[1:], (*path, place[0]))
