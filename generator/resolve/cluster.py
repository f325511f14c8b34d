"""Rules about a cluster alone: exposure, placeholders, and whether its parts go together."""

from ipaddress import IPv4Network

from generator.facts import release_order
from generator.model import Cluster
from generator.model.cluster import ClusterSpec
from generator.resolve.context import Context
from generator.resolve.placeholders import is_placeholder
from generator.resolve.reconciler import NAMESPACE as RECONCILER
from generator.resolve.requirements import check_plain
from generator.words import did_you_mean

SHARED_FOLDERS = frozenset({"base", "components"})
"""Folders beside the clusters' own, below `clusters/`."""
WIDEST_NETWORK = 8
"""Bits of the widest prefix: `10.0.0.0/8`."""
SYSTEM_NAMESPACES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})


def check_cluster(context: Context[Cluster]) -> None:
    for rule in (
        _name,
        _exposure,
        _placeholders,
        _kaito,
        _reconciler,
        _skus,
        _quota,
        _secrets,
        _namespaces,
        _networks,
        _pdb,
        _exceptions,
    ):
        rule(context)


def _name(context: Context[Cluster]) -> None:
    if context.entry.name in SHARED_FOLDERS:
        where = context.entry.file.place(("metadata", "name"))
        message = f"`clusters/{context.entry.name}/` is shared by all clusters"
        context.say_at(where, "catalog/name", message, "choose another name")


def _exposure(context: Context[Cluster]) -> None:
    """A public gateway without TLS and authentication offers GPUs to everybody."""
    gateway = context.spec_of_cluster.gateway
    lacking = [name for name, has in (("tls", gateway.tls), ("auth", gateway.auth)) if has is None]
    if gateway.exposure == "public" and lacking:
        spelled = " and ".join(f"`{name}`" for name in lacking)
        message = f"the gateway is public without {spelled}"
        hint = f"set {spelled} below `gateway`, or `exposure: internal`"
        context.say("catalog/exposure", message, "gateway", "exposure", hint=hint, warning=not context.is_prod)
    if gateway.auth and not gateway.tls and gateway.exposure == "public":
        message = "tokens travel in plain without `tls`"
        context.say("catalog/exposure", message, "gateway", "auth", hint="set `tls`", warning=not context.is_prod)


def _placeholders(context: Context[Cluster]) -> None:
    """A placeholder is allowed on a sample and said; anywhere else prod must not run with it."""
    spec = context.spec_of_cluster
    found = [
        *((("images", name), image) for name, image in _images(context)),
        *(
            (("azure", name), value)
            for name, value in (("subscription", spec.azure.subscription), ("tenant", spec.azure.tenant))
        ),
        *_of_reconciler(spec),
        *((("identities", name), value) for name, value in spec.identities.items()),
    ]
    held = [(where, value) for where, value in found if is_placeholder(value)]
    if spec.sample and held:
        names = ", ".join(f"`{'.'.join(where)}`" for where, _ in held)
        message = f"cluster `{context.cluster.name}` is a sample: {names} hold placeholders"
        context.say(
            "catalog/placeholder", message, "sample", hint="put the real values in before it is used", warning=True
        )
        return
    for where, value in held:
        hint = "put the real one here, or mark the cluster `sample: true`"
        warning = not context.is_prod
        context.say("catalog/placeholder", f"`{value}` is a placeholder", *where, hint=hint, warning=warning)


def _images(context: Context[Cluster]) -> list[tuple[str, str]]:
    images = context.spec_of_cluster.images
    known = {
        "inferenceCpu": images.inference_cpu,
        "inferenceGpu": images.inference_gpu,
        "reconciler": images.reconciler,
        "stateMetrics": images.state_metrics,
    }
    return [(name, image) for name, image in known.items() if image]


def _of_reconciler(spec: ClusterSpec) -> list[tuple[tuple[str, str], str]]:
    return [(("reconciler", "clientId"), spec.reconciler.client_id)] if spec.reconciler else []


def _kaito(context: Context[Cluster]) -> None:
    kaito, releases = context.spec_of_cluster.kaito, context.facts.kaito.releases
    if kaito.install == "addon" and kaito.version != releases.addon_version:
        message = f"the managed add-on is KAITO {releases.addon_version}, not {kaito.version}"
        context.say(
            "catalog/kaito-version", message, "kaito", "version", hint=f"set `version: {releases.addon_version}`"
        )
    elif not context.facts.kaito.served("Workspace", kaito.version):
        message = f"KAITO {kaito.version} is older than any release that this catalog can be rendered for"
        context.say(
            "catalog/kaito-version", message, "kaito", "version", hint=f"upgrade; {releases.newest} is the newest"
        )
    elif release_order(kaito.version) > release_order(releases.newest):
        message = f"KAITO {kaito.version} is newer than {releases.newest}, the newest that the facts know"
        hint = "update `catalog/facts/kaito.yaml`"
        context.say("catalog/kaito-version", message, "kaito", "version", hint=hint, warning=True)


def _reconciler(context: Context[Cluster]) -> None:
    """Either it makes the nodes, and then all of it is there, or somebody else does."""
    spec = context.spec_of_cluster
    parts = {"reconciler": spec.reconciler, "images.reconciler": spec.images.reconciler}
    missing = [name for name, part in parts.items() if part is None]
    provisioner = spec.kaito.provisioner
    if provisioner == "kaitops" and missing:
        spelled = " and ".join(f"`{name}`" for name in missing)
        message = f"our reconciler makes the nodes here, and cannot without {spelled}"
        hint = "`docs/reconciler.md` says how to get it; or set `provisioner` to who else makes them"
        context.say("catalog/reconciler", message, "kaito", hint=hint)
    elif provisioner != "kaitops" and spec.reconciler:
        message = f"`kaito.provisioner` is `{provisioner}`: our reconciler does not run here"
        context.say("catalog/reconciler", message, "reconciler", hint="delete `reconciler`")


def _skus(context: Context[Cluster]) -> None:
    skus = context.facts.skus
    for index, name in enumerate(context.spec_of_cluster.skus):
        if name in skus.retired:
            retired = skus.retired[name]
            message = f"`{name}` is retired: {retired.why}"
            context.say("catalog/retired-sku", message, "skus", index, hint=f"use `{retired.replacement}`")
        elif name not in skus.sizes:
            message = f"`{name}` is no VM size that we know"
            hint = did_you_mean(name, skus.sizes) or "add it to `catalog/facts/skus.yaml` with its source"
            context.say("catalog/sku", message, "skus", index, hint=hint)


def _quota(context: Context[Cluster]) -> None:
    families = sorted({sku.family for sku in context.facts.skus.sizes.values() if sku.gpus})
    for name in context.spec_of_cluster.quota.gpus:
        if name not in families:
            hint = did_you_mean(name, families) or "families: " + ", ".join(f"`{family}`" for family in families)
            context.say("catalog/quota", f"`{name}` is no GPU family that we know", "quota", "gpus", name, hint=hint)


def _secrets(context: Context[Cluster]) -> None:
    spec = context.spec_of_cluster
    if spec.secrets.external and spec.operators.external_secrets == "absent":
        message = "`secrets.external` needs External Secrets, which `operators` calls absent"
        context.say("catalog/operator", message, "secrets", hint="set `operators.externalSecrets: present`")
    if spec.monitoring.flavor == "prometheus-operator" and spec.operators.prometheus_operator == "absent":
        message = "`monitoring.flavor: prometheus-operator` needs the operator, which `operators` calls absent"
        hint = "set `operators.prometheusOperator: present`, or `flavor: azure-managed`"
        context.say("catalog/operator", message, "monitoring", "flavor", hint=hint)


def _namespaces(context: Context[Cluster]) -> None:
    """A namespace of models is closed to everybody but their clients: whatever else lives there would be cut off."""
    spec = context.spec_of_cluster
    taken = dict.fromkeys(SYSTEM_NAMESPACES, "Kubernetes' own") | {spec.gitops.namespace: "Argo CD's"}
    taken |= {RECONCILER: "the reconciler's"} if spec.reconciler else {}
    if spec.monitoring.flavor == "prometheus-operator":
        taken |= {spec.monitoring.namespace: "the scraper's"}
    if spec.gateway.namespace in taken:
        message = f"`{spec.gateway.namespace}` is {taken[spec.gateway.namespace]} namespace; the gateway needs its own"
        context.say("catalog/namespace", message, "gateway", "namespace", hint="choose another name")
    else:
        taken |= {spec.gateway.namespace: "the gateway's"}
    for name in sorted(taken.keys() & spec.namespaces.keys()):
        message = f"`{name}` is {taken[name]} namespace; models must not share it"
        context.say("catalog/namespace", message, "namespaces", name, hint="choose another name")
    check_plain(context, spec.gitops.repo, "gitops", "repo")


def _networks(context: Context[Cluster]) -> None:
    for index, written in enumerate(context.spec_of_cluster.private_cidrs):
        try:
            network = IPv4Network(written)
        except ValueError:
            hint = "four numbers up to 255 and the prefix, the rest zero, as in `10.0.0.0/8`"
            context.say("catalog/cidr", f"`{written}` is no IPv4 range", "privateCidrs", index, hint=hint)
            continue
        if network.prefixlen < WIDEST_NETWORK:
            message = f"`{written}` is wider than any network of your own"
            hint = "`egress: restricted` promises that nothing leaves: name private endpoints only"
            context.say("catalog/cidr", message, "privateCidrs", index, hint=hint)


def _pdb(context: Context[Cluster]) -> None:
    """A budget that the smallest scale only just meets would block every drain."""
    gateway = context.spec_of_cluster.gateway
    if gateway.min_available >= gateway.autoscaling.min:
        message = (
            f"`minAvailable` {gateway.min_available} of at least {gateway.autoscaling.min} pods never lets a node drain"
        )
        context.say("catalog/gateway-pdb", message, "gateway", "minAvailable", hint="one less than `autoscaling.min`")


def _exceptions(context: Context[Cluster]) -> None:
    """An exception for a namespace that is not there excepts nobody: it is a slip, or left over."""
    spec = context.spec_of_cluster
    for index, name in enumerate(spec.exceptions.remote_code):
        namespace = name.partition("/")[0]
        if namespace not in spec.namespaces:
            hint = did_you_mean(namespace, spec.namespaces) or "name a namespace of `namespaces`, or delete the line"
            message = f"`{name}` names no namespace of this cluster"
            context.say("catalog/exception", message, "exceptions", "remoteCode", index, hint=hint)
