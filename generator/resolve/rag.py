"""A `RagEngine` on one cluster becomes a `RagPlacement`."""

from math import inf
from typing import Any

from generator.model import Model, RagEngine
from generator.placement import RagPlacement, VolumeClaim
from generator.resolve.context import Context, annotations, external_secrets, labels
from generator.resolve.requirements import (
    check_kind,
    check_name,
    check_namespace,
    check_operator,
    check_plain,
    check_provisioned,
    check_sku,
    check_storage_class,
    check_token,
)
from generator.words import did_you_mean


def resolve_rag(context: Context[RagEngine]) -> RagPlacement:
    spec = context.entry.value.spec
    namespace = spec.namespace or spec.owner
    sku = spec.clusters[context.cluster.name].sku
    local = spec.embedding.local
    check_name(context, "RAGEngine")
    check_namespace(context, namespace, spec.owner)
    check_sku(context, sku, None, required=True)
    check_kind(context, "RAGEngine", "clusters", context.cluster.name)
    check_operator(
        context, "ragengine", "a RAG engine needs KAITO's ragengine operator", "clusters", context.cluster.name
    )
    check_provisioned(context, "RagEngine")
    _check_urls(context)
    if spec.storage:
        check_storage_class(context, spec.storage.storage_class, "storage", "storageClass")
    token = local.token if local else None
    check_token(context, token, "embedding", "local", "token")
    claim = f"{context.entry.name}-index" if spec.storage else ""
    return RagPlacement(
        source=context.entry.file.name,
        cluster=context.cluster.name,
        unit=context.entry.name,
        name=context.entry.name,
        namespace=namespace,
        labels=labels(context, spec.owner, namespace),
        annotations=annotations(context),
        match_labels={"apps": context.entry.name},
        instance_type=sku,
        external_secrets=external_secrets(context, token),
        claims=_storage(context, claim),
        token_secret=token.secret if token else "",
        embedding=_embedding(context),
        storage=_storage_settings(context, claim),
        inference_url=_inference_url(context, namespace),
        inference_secret=spec.inference.secret or "",
        context_window=spec.inference.context_window,
        guardrails=_guardrails(context),
    )


def _check_urls(context: Context[RagEngine]) -> None:
    spec = context.entry.value.spec
    if spec.inference.url:
        check_plain(context, spec.inference.url, "inference", "url")
    if spec.embedding.remote:
        check_plain(context, spec.embedding.remote.url, "embedding", "remote", "url")
    if spec.vector_db:
        check_plain(context, spec.vector_db.url, "vectorDB", "url")


def _embedding(context: Context[RagEngine]) -> dict[str, Any]:
    local, remote = context.entry.value.spec.embedding.local, context.entry.value.spec.embedding.remote
    if remote:
        return {"remote": {"url": remote.url, **_set(accessSecret=remote.secret)}}
    if local is None:
        return {}
    secret = local.token.secret if local.token else None
    return {
        "local": _set(
            modelID=local.model, image=local.image, imagePullSecret=local.pull_secret, modelAccessSecret=secret
        )
    }


def _storage_settings(context: Context[RagEngine], claim: str) -> dict[str, Any]:
    spec = context.entry.value.spec
    settings: dict[str, Any] = {}
    if spec.storage:
        settings["persistentVolume"] = {"persistentVolumeClaim": claim, "mountPath": spec.storage.mount_path}
    if spec.vector_db:
        database = spec.vector_db
        settings["vectorDB"] = {"engine": database.engine, "url": database.url, **_set(accessSecret=database.secret)}
    return settings


def _longest(context: Context[RagEngine], model: Model) -> float:
    """The tokens that the model was promised to take; without a promise, whatever its node holds."""
    return model.spec.clusters[context.cluster.name].context or model.spec.serving.context or inf


def _guardrails(context: Context[RagEngine]) -> dict[str, Any]:
    guardrails = context.entry.value.spec.guardrails
    if guardrails is None:
        return {}
    reference = {"configMapRef": {"name": guardrails.config_map}} if guardrails.config_map else {}
    return {"enabled": True, **reference}


def _set(**fields: str | None) -> dict[str, str]:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value}


def _storage(context: Context[RagEngine], name: str) -> tuple[VolumeClaim, ...]:
    storage = context.entry.value.spec.storage
    return (VolumeClaim(name=name, size=storage.size, storage_class=storage.storage_class),) if storage else ()


def _inference_url(context: Context[RagEngine], namespace: str) -> str:
    """The model's Service in the engine's namespace: NetworkPolicies let only neighbours reach a model."""
    service = context.entry.value.spec.inference
    if service.url:
        return service.url
    name = service.model or ""
    model = context.catalog.models.get(name)
    where = ("inference", "model")
    if ("Model", name) in context.catalog.broken:
        return ""
    if model is None or context.cluster.name not in model.value.spec.clusters or model.value.spec.retired:
        message = f"no Model `{name}` runs on cluster `{context.cluster.name}`"
        hint = did_you_mean(name, set(context.catalog.models) - {name}) if model is None else ""
        if model and model.value.spec.retired:
            message, hint = f"Model `{name}` is retired", "retire the engine with it, or name another model"
        context.say("catalog/reference", message, *where, hint=hint or "name an entry of `catalog/models/` that does")
    elif model.value.spec.suspended:
        message = f"Model `{name}` is suspended: the engine finds documents, but nobody answers"
        hint = "name another model, or resume it"
        context.say("catalog/reference", message, *where, hint=hint, warning=True)
    elif (model.value.spec.namespace or model.value.spec.owner) != namespace:
        message = f"Model `{name}` is in another namespace, where this engine's requests are not let in"
        context.say("catalog/reference", message, *where, hint="use one namespace, or the model's URL at the gateway")
    elif _longest(context, model.value) < service.context_window:
        message = f"Model `{name}` is served with {_longest(context, model.value):,} tokens on `{context.cluster.name}`"
        hint = "a window within the model's `context`, or a larger `context` there"
        context.say("catalog/context", message, "inference", "contextWindow", hint=hint)
    return f"http://{name}.{namespace}.svc.cluster.local/v1/chat/completions"
