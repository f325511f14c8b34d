"""Does KAITO take the machines that are asked for: VM size, node count, GPU partition and node selector?"""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from generator.checks.webhook.setting import Setting
from generator.checks.webhook.view import View, mapping, sequence
from generator.finding import Finding


def instance_type(view: View, setting: Setting) -> Iterator[Finding]:
    asked = view.resource.get("instanceType") or ""
    field = f"{view.paths.resource}.instanceType"
    if not setting.provisions(view):
        if asked:
            text = f"is `{asked}`, but nodes of `{view.cluster}` are brought by hand"
            yield view.finding("instance-type", field, text, "leave it out and let the labelSelector choose the nodes")
    elif not asked:
        yield view.finding("instance-type", field, "is missing", "name the VM size that KAITO shall provision")
    elif not str(asked).lower().startswith(_prefixes(setting)):
        listed = " or ".join(f"`{prefix}*`" for prefix in setting.facts.admission.instance_type_prefixes)
        yield view.finding("instance-type", field, f"is `{asked}`, which KAITO does not know", f"use a size {listed}")


def _prefixes(setting: Setting) -> tuple[str, ...]:
    return tuple(prefix.lower() for prefix in setting.facts.admission.instance_type_prefixes)


def node_count(view: View, _: Setting) -> Iterator[Finding]:
    count = view.resource.get("count", 1)
    if not isinstance(count, int) or count <= 1:
        return
    field = f"{view.paths.resource}.count"
    if view.tuning is not None:
        yield view.finding("node-count", field, f"is {count}, but tuning runs on one node", "leave `count` out")
    elif view.inference is not None and view.runtime == "transformers" and view.preset_name:
        text = f"is {count}, but the transformers runtime runs on one node"
        yield view.finding("node-count", field, text, "use the vLLM runtime, or a larger VM size")


def partition(view: View, setting: Setting) -> Iterator[Finding]:
    asked = view.resource.get("partition")
    if asked is None:
        return
    field = f"{view.paths.resource}.partition"
    if view.tuning is not None:
        yield view.finding("partition", field, "is set, but tuning takes whole GPUs", "leave `partition` out")
    elif setting.provisions(view):
        text = "is set, but KAITO partitions GPUs only on nodes that are brought by hand"
        yield view.finding("partition", field, text, "leave `partition` out, or run on a cluster with such nodes")
    else:
        yield from _partition_fields(view, field)


def _partition_fields(view: View, field: str) -> Iterator[Finding]:
    asked = mapping(view.resource.get("partition"))
    mode = asked.get("mode")
    if mode not in ("mig", "accelerator"):
        yield view.finding("partition", f"{field}.mode", f"is `{mode}`", "use `mig` or `accelerator`")
    elif mode == "mig" and asked.get("count") is not None:
        yield view.finding("partition", f"{field}.count", "belongs to mode `accelerator`", "leave `count` out")
    elif mode == "accelerator" and asked.get("profile"):
        yield view.finding("partition", f"{field}.profile", "belongs to mode `mig`", "leave `profile` out")
    elif mode == "accelerator" and asked.get("count") is None:
        yield view.finding("partition", f"{field}.count", "is missing", "say how many GPUs the workload gets")


def selector_operators(view: View, _: Setting) -> Iterator[Finding]:
    for index, expression in enumerate(sequence(view.selector.get("matchExpressions"))):
        operator, values = mapping(expression).get("operator"), sequence(mapping(expression).get("values"))
        if operator != "In" or len(values) != 1:
            field = f"{view.paths.selector}.matchExpressions[{index}]"
            text = f"has operator `{operator}` with {len(values)} values; KAITO takes `In` with a single value only"
            yield view.finding("label-selector", field, text, "use `matchLabels`")


def selector_reserved(view: View, setting: Setting) -> Iterator[Finding]:
    """KAITO strips its own keys; a selector of nothing else would match every node."""
    labels = mapping(view.selector.get("matchLabels"))
    reserved = setting.facts.admission.reserved_labels
    if labels and all(any(fnmatchcase(str(key), pattern) for pattern in reserved) for key in labels):
        listed = ", ".join(f"`{key}`" for key in labels)
        text = f"holds only keys that KAITO reserves for itself: {listed}"
        yield view.finding("label-selector", f"{view.paths.selector}.matchLabels", text, "add a label of your own")


SHARED_WITH_RAG = (instance_type, selector_operators)
RULES = (*SHARED_WITH_RAG, selector_reserved, node_count, partition)
