"""Which combinations of a model's fields make sense: one small rule each, all of them said at once."""

import re
from fnmatch import fnmatchcase

from generator.model import Model
from generator.model.base import HUB_REPOSITORY
from generator.resolve.context import Context
from generator.resolve.requirements import check_identity, check_plain, check_storage_class, check_token
from generator.resolve.resources import check_resources
from generator.words import did_you_mean

TTFT_BUCKETS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560),
)
ITL_BUCKETS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80),
)
"""Bounds of vLLM 0.25's histograms: a threshold between two of them cannot be measured."""
OWN_MOUNTS = frozenset({"bin", "boot", "cache", "dev", "etc", "lib", "proc", "run", "sbin", "sys", "tmp", "usr", "var"})
"""First folders of a path that the image or the pod has already."""


def check_model(context: Context[Model], *, byo: bool) -> None:
    """Run every rule about one model on one cluster."""
    for rule in RULES:
        rule(context)
    if byo and not context.entry.value.spec.serving.node_labels:
        message = f"cluster `{context.cluster.name}` provisions no nodes, so the model must name its own"
        context.say("catalog/byo", message, "clusters", context.cluster.name, hint="set `serving.nodeLabels`")


def _slo(context: Context[Model]) -> None:
    slo = context.entry.value.spec.slo
    for name, latency, buckets in (("ttft", slo.ttft, TTFT_BUCKETS), ("itl", slo.itl, ITL_BUCKETS)):
        if latency and latency.threshold_seconds not in buckets:
            below = [bound for bound in buckets if bound < latency.threshold_seconds][-1:]
            near = [*below, *[bound for bound in buckets if bound > latency.threshold_seconds][:1]]
            message = f"{latency.threshold_seconds:g} s is no bucket bound of the engine's histogram of {name.upper()}"
            hint = "nearest bounds: " + " and ".join(f"`{bound:g}`" for bound in near)
            context.say("catalog/slo-bucket", message, "slo", name, "thresholdSeconds", hint=hint)


def _strength(context: Context[Model]) -> None:
    serving = context.entry.value.spec.serving
    for index, adapter in enumerate(serving.adapters):
        if adapter.strength is not None and serving.runtime == "vllm":
            message = f"adapter `{adapter.name}` has a strength, which vLLM cannot apply and KAITO refuses"
            hint = "leave `strength` out, or set `serving.runtime: transformers`"
            context.say("catalog/adapter-strength", message, "serving", "adapters", index, "strength", hint=hint)


def _adapters(context: Context[Model]) -> None:
    spec = context.entry.value.spec
    if spec.serving.adapters and spec.source.preset is None:
        message = f"adapters need a preset; KAITO loads none for a source of kind `{spec.source.kind}`"
        context.say("catalog/adapters", message, "serving", "adapters", hint="merge the adapter into the weights")
    seen: set[str] = set()
    for index, adapter in enumerate(spec.serving.adapters):
        if adapter.name in seen:
            where = ("serving", "adapters", index, "name")
            context.say("catalog/adapters", f"two adapters are called `{adapter.name}`", *where, hint="rename one")
        seen.add(adapter.name)


def _preset_name(context: Context[Model]) -> None:
    preset = context.entry.value.spec.source.preset
    if preset is None:
        return
    where = ("source", "preset", "name")
    replacement = context.facts.kaito.replacement(preset.name)
    if replacement:
        message = f"KAITO has no preset `{preset.name}` any more"
        context.say("catalog/retired-preset", message, *where, hint=f"use `{replacement}`")
        return
    known = context.facts.kaito.preset(preset.name)
    if known is None and not re.fullmatch(HUB_REPOSITORY, preset.name):
        names = [*context.facts.kaito.presets, *context.facts.kaito.aliases]
        hint = did_you_mean(preset.name, names) or "use a hub id, `organisation/name`"
        context.say("catalog/preset", f"`{preset.name}` is no preset of KAITO", *where, hint=hint)
    if known and known.gated and preset.token is None:
        message = f"`{preset.name}` is gated: KAITO refuses it without a token"
        context.say("catalog/token", message, *where, hint="name a Secret with the key `HF_TOKEN` in `token`")


def _preset_token(context: Context[Model]) -> None:
    source = context.entry.value.spec.source
    if source.preset and source.preset.token:
        check_token(context, source.preset.token, "source", "preset", "token")
        if source.preset.token.key != "HF_TOKEN":
            where = ("source", "preset", "token", "key")
            message = "KAITO reads a preset's token from the key `HF_TOKEN` only"
            context.say("catalog/token", message, *where, hint="rename the Secret's key and leave `key` out")
    if source.hugging_face:
        check_token(context, source.hugging_face.token, "source", "huggingFace", "token")


def _pinned(context: Context[Model]) -> None:
    spec = context.entry.value.spec
    preset = spec.source.preset
    if preset is None:
        return
    if preset.revision is None:
        message = f"`{preset.name}` has no `revision`: KAITO follows the repository's `main`"
        where = ("source", "preset", "name")
        _pin_finding(context, message, *where, hint="pin the commit that you tested")
    elif spec.serving.runtime == "transformers":
        message = "KAITO's transformers runtime takes no revision: the weights follow `main` in spite of the pin"
        _pin_finding(context, message, "source", "preset", "revision", hint="vLLM honours the pin")


def _pin_finding(context: Context[Model], message: str, *where: str | int, hint: str) -> None:
    context.say("catalog/unpinned", message, *where, hint=hint, warning=True)


def _remote_code(context: Context[Model]) -> None:
    spec = context.entry.value.spec
    if not spec.serving.trust_remote_code:
        return
    override = spec.clusters[context.cluster.name]
    source = spec.source.preset or spec.source.hugging_face
    if source is not None and (override.revision or source.revision) is None:
        where = ("serving", "trustRemoteCode")
        message = "remote code without a pinned `revision` runs whatever the repository holds next"
        context.say("catalog/remote-code", message, *where, hint="pin `revision`")


def _quantization(context: Context[Model]) -> None:
    spec = context.entry.value.spec
    serving = spec.serving
    where = ("serving", "quantization")
    if serving.quantization == "8bit" and serving.runtime == "vllm":
        message = "vLLM's bitsandbytes loads 4-bit in flight; it reads 8-bit only from a checkpoint made so"
        context.say(
            "catalog/quantization", message, *where, hint="use `4bit`, or `runtime: transformers` with your own image"
        )
    if serving.quantization and spec.source.preset and serving.runtime == "transformers":
        message = "KAITO's transformers runtime takes no quantization for presets"
        context.say("catalog/quantization", message, *where, hint="use `runtime: vllm`, or source `huggingFace`")
    if serving.quantization and serving.device == "cpu":
        context.say(
            "catalog/quantization", "bitsandbytes needs a GPU here", *where, hint="leave it out for `device: cpu`"
        )


def _transformers(context: Context[Model]) -> None:
    """The transformers engines take no limits, and KAITO's reads no inference config: what has no effect is refused."""
    spec = context.entry.value.spec
    serving = spec.serving
    if serving.runtime == "vllm":
        return
    unheard = {"context": serving.context is not None, "maxConcurrency": serving.max_concurrency is not None}
    engine = "our own server's transformers engine"
    if spec.source.preset:
        engine = "a preset under KAITO's transformers runtime"
        unheard |= {
            "engine": bool(serving.engine),
            "servedName": serving.served_name is not None,
            "trustRemoteCode": serving.trust_remote_code,
        }
    for name, is_set in unheard.items():
        if is_set:
            message = f"`{name}` has no effect on {engine}"
            context.say("catalog/runtime", message, "serving", name, hint="use `runtime: vllm`, or leave it out")
    if spec.clusters[context.cluster.name].context is not None:
        where = ("clusters", context.cluster.name, "context")
        context.say("catalog/runtime", f"`context` has no effect on {engine}", *where, hint="leave it out")


def _preset_pod(context: Context[Model]) -> None:
    """KAITO writes the pod of a preset: what the entry says about it would be lost."""
    spec = context.entry.value.spec
    if spec.source.preset is None:
        return
    for name in ("env", "resources", "probes", "pipeline"):
        if ("spec", "serving", name) in context.entry.file.places:
            message = f"`{name}` belongs to our own pods; KAITO writes the pod of a preset itself"
            context.say("catalog/preset-pod", message, "serving", name, hint="leave it out")
    if spec.serving.device == "cpu":
        context.say(
            "catalog/preset-pod", "KAITO's presets run on GPUs only", "serving", "device", hint="use `huggingFace`"
        )
    if spec.identity:
        message = "a preset's pods have no ServiceAccount of yours"
        context.say("catalog/preset-pod", message, "identity", hint="leave `identity` out")


def _own_pod(context: Context[Model]) -> None:
    """What only KAITO's presets have: several replicas, KAITO's benchmark and performance modes."""
    spec = context.entry.value.spec
    if spec.source.preset is not None:
        return
    override = spec.clusters[context.cluster.name]
    if override.autoscale or (override.replicas or 1) > 1:
        where = ("clusters", context.cluster.name, "autoscale" if override.autoscale else "replicas")
        message = "several replicas need a preset: KAITO runs a pod template once"
        context.say("catalog/replicas", message, *where, hint="serve it as a preset by its hub id, or with one replica")
    if spec.serving.performance_mode:
        message = "`performanceMode` is KAITO's, for presets only"
        context.say(
            "catalog/runtime", message, "serving", "performanceMode", hint="leave it out, or set `engine` flags"
        )


def _identity(context: Context[Model]) -> None:
    spec = context.entry.value.spec
    source = spec.source
    blob = source.azure_volume.blob if source.azure_volume else None
    needs = source.azure_blob or source.azure_ml or (blob and not blob.secret)
    if needs and spec.identity is None:
        message = f"a source of kind `{source.kind}` is read with an Azure identity"
        context.say(
            "catalog/identity", message, "source", hint="set `identity.name` to one of the cluster's `identities`"
        )
    if spec.identity:
        check_identity(context, spec.identity.name)


def _egress(context: Context[Model]) -> None:
    spec = context.entry.value.spec
    if spec.egress == "open":
        return
    if spec.source.preset or spec.source.hugging_face:
        message = f"`egress: restricted` cuts off the hub that a source of kind `{spec.source.kind}` downloads from"
        context.say("catalog/egress", message, "egress", hint="bring the weights to Azure, or leave egress open")
    elif spec.source.azure_blob or spec.source.azure_ml:
        message = (
            f"`egress: restricted` cuts off `login.microsoftonline.com`, where the download from `{spec.source.kind}` "
            "signs in"
        )
        hint = "mount the weights with `azureVolume`, or leave egress open"
        context.say("catalog/egress", message, "egress", hint=hint)
    elif not context.spec_of_cluster.private_cidrs:
        message = f"cluster `{context.cluster.name}` names no `privateCidrs` that restricted models may reach"
        context.say("catalog/egress", message, "egress", hint=f"add them to `{context.cluster.file.name}`")


def _cpu_engine(context: Context[Model]) -> None:
    serving = context.entry.value.spec.serving
    if serving.device == "cpu" and serving.runtime == "vllm":
        message = "our CPU image serves with the transformers engine"
        context.say("catalog/runtime", message, "serving", "device", hint="set `runtime: transformers`")


def _secrets(context: Context[Model]) -> None:
    """A value that looks like a credential never stands in Git, nor one under a name that asks for one."""
    serving = context.entry.value.spec.serving
    for name, value in serving.env.items():
        where = ("serving", "env", name)
        if name.upper().endswith(("_TOKEN", "_PASSWORD", "_SECRET", "_API_KEY", "_ACCESS_KEY")):
            message = f"the value of `{name}` would be a secret in plain"
            context.say("catalog/secret", message, *where, hint="name a Secret in `source`'s `token`")
        else:
            check_plain(context, value, *where)
    for name, flag in serving.engine.items():
        check_plain(context, flag, "serving", "engine", name)


def _unheard(context: Context[Model]) -> None:
    """A field that nothing reads is a mistake of thought: it is said, not dropped."""
    spec = context.entry.value.spec
    override = spec.clusters[context.cluster.name]
    here = ("clusters", context.cluster.name)
    if override.revision and not (spec.source.preset or spec.source.hugging_face):
        message = f"a source of kind `{spec.source.kind}` has no revision"
        context.say("catalog/revision", message, *here, "revision", hint="its path or version tells which weights")
    for is_set, where in ((override.host, (*here, "host")), (spec.route.path, ("route", "path"))):
        if is_set and spec.route.exposure == "cluster":
            message = f"`{where[-1]}` has no effect with `route.exposure: cluster`"
            context.say("catalog/route", message, *where, hint="leave it out, or set `exposure: gateway`")


def _node_labels(context: Context[Model]) -> None:
    """KAITO strips its own labels from a selector, which then finds other nodes than it says."""
    for name in context.entry.value.spec.serving.node_labels:
        if any(fnmatchcase(name, pattern) for pattern in context.facts.kaito.admission.reserved_labels):
            message = f"`{name}` is a label of KAITO's own, which it takes out of a selector"
            context.say("catalog/node-labels", message, "serving", "nodeLabels", name, hint="use a label of yours")


def _own_nodes(context: Context[Model]) -> None:
    """Nodes that exist already carry no revision, so that the next one asks for those that the old one holds."""
    spec = context.entry.value.spec
    if spec.serving.node_labels and spec.rollout == "BlueGreen":
        message = "two revisions want the same nodes: the next one waits for ever where none is free"
        hint = "keep as many labelled nodes free as the model takes, or set `rollout: Recreate`"
        context.say("catalog/own-nodes", message, "serving", "nodeLabels", hint=hint, warning=True)


def _mount(context: Context[Model]) -> None:
    volume = context.entry.value.spec.source.azure_volume
    if volume and volume.claim:
        where = ("source", "azureVolume", "claim", "storageClass")
        check_storage_class(context, volume.claim.storage_class, *where)
    if volume and volume.path.split("/")[1] in OWN_MOUNTS:
        message = f"a volume at `/{volume.path.split('/')[1]}` would hide what the pod has there"
        context.say("catalog/mount", message, "source", "azureVolume", "path", hint="use e.g. `/models/my-model`")


RULES = (
    _slo,
    _strength,
    _adapters,
    _preset_name,
    _preset_token,
    _pinned,
    _remote_code,
    _quantization,
    _transformers,
    _preset_pod,
    _own_pod,
    check_resources,
    _identity,
    _egress,
    _cpu_engine,
    _secrets,
    _unheard,
    _node_labels,
    _own_nodes,
    _mount,
)
