"""Values that stand for something real which nobody has put in yet: said always, and refused in real production."""

from collections.abc import Iterator

from generator.model import Model
from generator.resolve.context import Context

REGISTRY = "registry.example.com/"
DIGEST = "sha256:" + "0" * 64
UUID = "00000000-0000-0000-0000-000000000000"
COMMIT = "0" * 40


def is_placeholder(value: str) -> bool:
    return value.startswith(REGISTRY) or value.endswith(DIGEST) or value in {UUID, COMMIT}


def check_placeholders(context: Context[Model]) -> None:
    """A model that points at a placeholder never starts: an error in production, unless the cluster is a sample."""
    lenient = context.spec_of_cluster.sample or not context.is_prod
    for path, value in _values(context):
        if is_placeholder(value):
            hint = "put the real one here"
            context.say("catalog/placeholder", f"`{value}` is a placeholder", *path, hint=hint, warning=lenient)


def _values(context: Context[Model]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    spec = context.entry.value.spec
    override = spec.clusters[context.cluster.name]
    for kind, source in (("preset", spec.source.preset), ("huggingFace", spec.source.hugging_face)):
        if source and source.revision and not override.revision:
            yield ("source", kind, "revision"), source.revision
    if override.revision:
        yield ("clusters", context.cluster.name, "revision"), override.revision
    if spec.source.azure_ml and spec.source.azure_ml.workspace:
        yield ("source", "azureML", "workspace", "subscription"), spec.source.azure_ml.workspace.subscription
    for index, adapter in enumerate(spec.serving.adapters):
        if adapter.image:
            yield ("serving", "adapters", index, "image"), adapter.image
