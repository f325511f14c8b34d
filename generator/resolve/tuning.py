"""A `Tuning` on one cluster becomes a `TuningPlacement`."""

from fnmatch import fnmatchcase
from ipaddress import ip_address
from urllib.parse import urlsplit

from generator.facts import Admission
from generator.model import Tuning
from generator.placement import TuningPlacement
from generator.resolve.context import Context, annotations, claims, external_secrets, labels
from generator.resolve.engine import config_map
from generator.resolve.requirements import (
    check_name,
    check_namespace,
    check_plain,
    check_provisioned,
    check_sku,
    check_storage_class,
    check_token,
)


def resolve_tuning(context: Context[Tuning]) -> TuningPlacement:
    spec = context.entry.value.spec
    namespace = spec.namespace or spec.owner
    sku = spec.clusters[context.cluster.name].sku
    check_name(context, "Workspace")
    check_namespace(context, namespace, spec.owner)
    check_sku(context, sku, "gpu", required=True)
    check_token(context, spec.token, "token")
    check_provisioned(context, "Tuning")
    _check_preset(context)
    _check_urls(context)
    for name, claim in (("input", spec.input.claim), ("output", spec.output.claim)):
        if claim:
            check_storage_class(context, claim.storage_class, name, "claim", "storageClass")
    image = spec.output.image
    config = {"training_config": spec.config} if spec.config else None
    return TuningPlacement(
        source=context.entry.file.name,
        cluster=context.cluster.name,
        unit=context.entry.name,
        name=context.entry.name,
        namespace=namespace,
        labels=labels(context, spec.owner, namespace),
        annotations=annotations(context),
        match_labels={"apps": context.entry.name},
        instance_type=sku,
        external_secrets=external_secrets(context, spec.token),
        claims=claims(spec.input.claim, spec.output.claim),
        config=config_map(context.entry.name, "config", "training_config.yaml", config) if config else None,
        token_secret=spec.token.secret if spec.token else "",
        preset=spec.preset,
        method=spec.method,
        urls=spec.input.urls or (),
        input_image=spec.input.image or "",
        input_claim=spec.input.claim.name if spec.input.claim else "",
        pull_secret=spec.input.pull_secret or "",
        output_repository=image.repository if image else "",
        output_version=image.version if image else "",
        output_claim=spec.output.claim.name if spec.output.claim else "",
        push_secret=image.push_secret if image else "",
    )


def _check_preset(context: Context[Tuning]) -> None:
    spec = context.entry.value.spec
    replacement = context.facts.kaito.replacement(spec.preset)
    known = context.facts.kaito.preset(spec.preset)
    if replacement:
        message = f"KAITO has no preset `{spec.preset}` any more"
        context.say("catalog/retired-preset", message, "preset", hint=f"use `{replacement}`")
    elif known is None or not known.tuning:
        names = sorted(preset.name for preset in context.facts.kaito.presets.values() if preset.tuning)
        hint = "presets that can: " + ", ".join(f"`{name}`" for name in names)
        context.say("catalog/preset", f"KAITO cannot tune `{spec.preset}`", "preset", hint=hint)


def _check_urls(context: Context[Tuning]) -> None:
    """KAITO refuses to download from where only the cluster can reach: the controller is no proxy into it."""
    for index, url in enumerate(context.entry.value.spec.input.urls or ()):
        check_plain(context, url, "input", "urls", index)
        if _is_private(url, context.facts.kaito.admission):
            message = "KAITO downloads training data from public addresses only"
            hint = "put the data on a volume and use `input.claim`, or offer it at a public address"
            context.say("catalog/private-url", message, "input", "urls", index, hint=hint)


def _is_private(url: str, admission: Admission) -> bool:
    try:
        host = (urlsplit(url).hostname or "").rstrip(".").lower()
        address = ip_address(host)
    except ValueError:
        return "." not in host or any(fnmatchcase(host, pattern) for pattern in admission.blocked_hosts)
    return any(address in network for network in admission.blocked_networks)
