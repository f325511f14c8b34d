"""A `Model` on one cluster becomes a `ModelPlacement`."""

from generator.model import Model
from generator.model.model import Adapter, ModelSpec, Override
from generator.placement import AdapterSource, ConfigMap, ModelPlacement, ServiceAccount, TuningPlacement
from generator.resolve.context import Context, annotations, external_secrets, labels
from generator.resolve.engine import check_flags, check_values, preset_config, served_name
from generator.resolve.model_rules import check_model
from generator.resolve.placeholders import check_placeholders
from generator.resolve.pod import blob_pv, build_pod, service_account_name, volume_claims
from generator.resolve.promise import build_promise, exporter
from generator.resolve.requirements import check_kind, check_name, check_namespace, check_operator, check_sku
from generator.resolve.routing import build_route
from generator.resolve.sizing import node_count

TUNED = dict[tuple[str, str], TuningPlacement]
"""The tunings that are rendered, by cluster and name."""


def resolve_model(context: Context[Model], tuned: TUNED) -> ModelPlacement:
    """Take every decision about one model on one cluster; problems go to the context's findings."""
    spec = context.entry.value.spec
    override = spec.clusters[context.cluster.name]
    namespace = spec.namespace or spec.owner
    kind = _kind(override)
    sku = context.sku(override.sku)
    tokens = override.context or spec.serving.context
    commit = _commit(spec, override)
    check_name(context, kind)
    check_namespace(context, namespace, spec.owner)
    byo = context.spec_of_cluster.kaito.provisioner == "byo"
    check_sku(context, override.sku, spec.serving.device, required=not byo)
    check_flags(context)
    check_values(context, sku)
    check_model(context, byo=byo)
    check_placeholders(context)
    if kind == "InferenceSet":
        check_kind(context, kind, "clusters", context.cluster.name, "autoscale" if override.autoscale else "replicas")
    hub = spec.source.preset or spec.source.hugging_face
    token = hub.token if hub else None
    nodes = node_count(context, sku, tokens)
    replicas = 0 if override.autoscale else override.replicas or 1
    least = override.autoscale.min if override.autoscale else replicas
    return ModelPlacement(
        source=context.entry.file.name,
        cluster=context.cluster.name,
        unit=context.entry.name,
        name=context.entry.name,
        namespace=namespace,
        labels=labels(context, spec.owner, namespace) | {"kaitops.dev/license": spec.license},
        annotations=_annotations(context, override, commit),
        match_labels=_match_labels(context),
        instance_type="" if byo else override.sku or "",
        own_nodes=bool(spec.serving.node_labels),
        external_secrets=external_secrets(context, token),
        claims=volume_claims(context),
        config=_config(context, commit, tokens),
        token_secret=token.secret if token else "",
        running=not spec.suspended,
        kind=kind,
        rollout=spec.rollout,
        held=spec.roll == "manual",
        served_name=served_name(spec, context.entry.name),
        preset=spec.source.preset.name if spec.source.preset else "",
        adapters=tuple(filter(None, (_adapter(context, index, tuned) for index in range(len(spec.serving.adapters))))),
        pod=None if spec.source.preset else build_pod(context, sku, commit, tokens),
        replicas=replicas,
        nodes=nodes,
        gpus=nodes * least * (sku.gpus if sku else 0),
        route=build_route(context),
        service_account=_service_account(context),
        blob_pv=blob_pv(context),
        metrics=bool(exporter(context)),
        restricted=spec.egress == "restricted",
        private_cidrs=context.spec_of_cluster.private_cidrs,
        promise=build_promise(context, namespace, sku, nodes),
        selected_by=context.spec_of_cluster.monitoring.selected_by,
        canary_weight=override.canary.weight if override.canary else None,
    )


def _kind(override: Override) -> str:
    return "InferenceSet" if override.autoscale or (override.replicas or 1) > 1 else "Workspace"


def _commit(spec: ModelSpec, override: Override) -> str | None:
    source = spec.source.preset or spec.source.hugging_face
    return override.revision or (source.revision if source else None)


def _annotations(context: Context[Model], override: Override, commit: str | None) -> dict[str, str]:
    """What KAITO reads from annotations, and where the object comes from."""
    serving = context.entry.value.spec.serving
    found = annotations(context)
    if context.entry.value.spec.source.preset:
        found["kaito.sh/runtime"] = serving.runtime
    if serving.performance_mode:
        found["kaito.sh/performance-mode"] = serving.performance_mode
    if not serving.benchmark:
        found["kaito.sh/disable-benchmark"] = "true"
    if commit:
        found["kaitops.dev/model-revision"] = commit
    if override.autoscale:
        found |= _autoscaling(context, override)
    return found


def _autoscaling(context: Context[Model], override: Override) -> dict[str, str]:
    scale = override.autoscale
    if scale is None:
        return {}
    check_operator(context, "keda", "`autoscale` needs KEDA", "clusters", context.cluster.name, "autoscale")
    metric = (
        f"- {{name: 'vllm:num_requests_waiting', type: gauge, source: modelpod, upthreshold: {scale.waiting_requests}}}"
    )
    values = {
        "auto-provision": "true",
        "min-replicas": str(scale.min),
        "max-replicas": str(scale.max),
        "metrics": metric,
    }
    return {f"scaledobject.kaito.sh/{name}": value for name, value in values.items()}


def _match_labels(context: Context[Model]) -> dict[str, str]:
    """Nodes of our own making carry the entry's name; the revision is added when it is known."""
    return dict(context.entry.value.spec.serving.node_labels) or {"apps": context.entry.name}


def _config(context: Context[Model], commit: str | None, tokens: int | None) -> ConfigMap | None:
    spec = context.entry.value.spec
    if spec.source.preset is None or spec.serving.runtime != "vllm":
        return None
    return preset_config(context, commit, tokens)


def _adapter(context: Context[Model], index: int, tuned: TUNED) -> AdapterSource | None:
    adapter: Adapter = context.entry.value.spec.serving.adapters[index]
    strength = "" if adapter.strength is None else str(float(adapter.strength))
    if adapter.image:
        return AdapterSource(
            name=adapter.name, image=adapter.image, pull_secret=adapter.pull_secret or "", strength=strength
        )
    made = tuned.get((context.cluster.name, adapter.tuning or ""))
    where = ("serving", "adapters", index, "tuning")
    if made is None:
        _say_missing(context, adapter.tuning or "", where)
        return None
    _check_made(context, made, where)
    return AdapterSource(
        name=adapter.name,
        tuning="" if made.output_claim else made.name,
        pull_secret=adapter.pull_secret or "",
        claim=made.output_claim,
        strength=strength,
    )


def _say_missing(context: Context[Model], name: str, where: tuple[str | int, ...]) -> None:
    if ("Tuning", name) in context.catalog.broken:
        return
    message = f"no Tuning `{name}` runs on cluster `{context.cluster.name}`"
    hint = "name an entry of `catalog/tuning/` that lists the cluster"
    tuning = context.catalog.tunings.get(name)
    if tuning and tuning.value.spec.retired:
        message, hint = f"Tuning `{name}` is retired", "name what it made by its digest, in `image`"
    context.say("catalog/reference", message, *where, hint=hint)


def _check_made(context: Context[Model], made: TuningPlacement, where: tuple[str | int, ...]) -> None:
    """What a tuning made fits the model that it was made from, and is within reach."""
    spec = context.entry.value.spec
    if made.output_claim and made.namespace != (spec.namespace or spec.owner):
        message = f"Tuning `{made.name}` writes to a volume in namespace `{made.namespace}`, out of the model's reach"
        context.say("catalog/reference", message, *where, hint="use one namespace")
    known = context.facts.kaito.preset
    served, trained = (known(spec.source.preset.name) if spec.source.preset else None), known(made.preset)
    if served and trained and served != trained:
        message = f"Tuning `{made.name}` trains `{trained.name}`; its adapter does not fit `{served.name}`"
        context.say("catalog/adapters", message, *where, hint="serve the preset that was tuned, or tune the one served")


def _service_account(context: Context[Model]) -> ServiceAccount | None:
    identity = context.entry.value.spec.identity
    if identity is None:
        return None
    return ServiceAccount(
        name=service_account_name(context.entry.value),
        client_id=context.spec_of_cluster.identities.get(identity.name, ""),
        tenant_id=context.spec_of_cluster.azure.tenant,
    )
