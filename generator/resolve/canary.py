"""A canary becomes a placement of its own beside the one that serves, and is refused where both could not stand."""

from dataclasses import replace

from generator.canary import canary_entry
from generator.model import Model
from generator.model.model import Canary, ModelSpec
from generator.placement import ModelPlacement
from generator.resolve.context import Context
from generator.resolve.model import TUNED, resolve_model


def resolve_canary(context: Context[Model], serving: ModelPlacement, tuned: TUNED) -> ModelPlacement:
    """The canary of a model on one cluster; `serving` is the placement that it stands beside.

    What both share (secrets, storage, the route, what is promised) stays with the one that serves.
    """
    spec, cluster = context.entry.value.spec, context.cluster.name
    canary = spec.clusters[cluster].canary
    if canary:
        _check(context, spec, canary)
    made = resolve_model(replace(context, entry=canary_entry(context.entry, cluster)), tuned)
    return replace(
        made,
        canary=True,
        kind=serving.kind if serving.kind == "InferenceSet" else made.kind,
        held=False,
        route=None,
        external_secrets=(),
        claims=(),
        blob_pv=None,
        service_account=None,
        restricted=False,
        config_is_shared=made.config == serving.config,
    )


def _check(context: Context[Model], spec: ModelSpec, canary: Canary) -> None:
    where = ("clusters", context.cluster.name, "canary")
    if spec.route.exposure == "cluster":
        message = "a canary gets its share of the requests at the gateway, and this model is not there"
        context.say("catalog/canary", message, *where, hint="`route.exposure: gateway`, or no canary")
    if spec.rollout == "Restart":
        message = "`rollout: Restart` edits the one object where it stands; a canary is a second one"
        context.say("catalog/canary", message, *where, hint="`rollout: BlueGreen`, or no canary")
    if spec.serving.node_labels:
        message = "a canary needs nodes of its own, and `serving.nodeLabels` names those of the one that serves"
        context.say("catalog/canary", message, *where, hint="give it an entry of its own, with nodes of its own")
    override = spec.clusters[context.cluster.name]
    source = spec.source.preset or spec.source.hugging_face
    now = {
        "sku": override.sku,
        "context": override.context or spec.serving.context,
        "revision": override.revision or (source.revision if source else None),
    }
    for name, value in now.items():
        if value is not None and getattr(canary, name) == value:
            message = f"the canary's `{name}` is the one that serves already"
            context.say("catalog/canary", message, *where, name, hint="leave it out, or try another")
