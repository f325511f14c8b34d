"""Do the amounts that our own pod asks for make sense, and does a node of the chosen size have them?

Kubernetes refuses a pod that requests more than its limit, and finds no node for one that requests more than any has:
either way nothing starts, and KAITO has no word for it.
"""

from generator.model import Model
from generator.quantity import amount
from generator.resolve.context import Context

GIB = 2**30


def check_resources(context: Context[Model]) -> None:
    spec = context.entry.value.spec
    if spec.source.preset is not None:
        return
    wanted = spec.serving.resources
    if not (wanted.requests.memory and wanted.limits.memory):
        message = "our own pod needs `resources` with memory requested and limited"
        hint = "e.g. `resources: {requests: {memory: 8Gi}, limits: {memory: 16Gi}}` below `serving`"
        context.say("catalog/resources", message, "serving", hint=hint)
    sku = context.sku(spec.clusters[context.cluster.name].sku)
    _check_amount(context, "cpu", wanted.requests.cpu, wanted.limits.cpu, sku.vcpus if sku else None)
    has = sku.memory_gib * GIB if sku else None
    _check_amount(context, "memory", wanted.requests.memory, wanted.limits.memory, has)


def _check_amount(
    context: Context[Model], name: str, request: str | None, limit: str | None, has: float | None
) -> None:
    if request is None:
        return
    where = ("serving", "resources", "requests", name)
    if limit and amount(request) > amount(limit):
        message = f"`{name}`: a request of {request} is more than the limit of {limit}, and Kubernetes refuses the pod"
        context.say("catalog/resources", message, *where, hint="raise the limit, or request less")
    if has is not None and amount(request) >= has:
        message = f"`{name}`: a request of {request} leaves a node of this size nothing for itself: none takes the pod"
        context.say("catalog/resources", message, *where, hint="request less, or take a larger size")
