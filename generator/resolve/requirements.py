"""Can the cluster do what the entry asks? What it cannot is an error that says so, with the way out."""

from collections.abc import Iterable

from pydantic.alias_generators import to_camel

from generator.model.model import Token
from generator.resolve.context import Context, EntryType
from generator.resolve.naming import RESERVED_UNITS, longest_name
from generator.words import did_you_mean, looks_secret


def check_name(context: Context[EntryType], kind: str) -> None:
    """A name must not be a platform part's, and must leave room for the revision and for what KAITO appends."""
    name, limit = context.entry.name, longest_name(kind)
    where = context.entry.file.place(("metadata", "name"))
    if name in RESERVED_UNITS:
        context.say_at(where, "catalog/name", f"`{name}` is the name of a platform part", "choose another name")
    if len(name) > limit:
        message = f"`{name}` has {len(name)} characters; {kind} names may have {limit}, as the revision follows"
        context.say_at(where, "catalog/name-length", message, "shorten the name and the file's name with it")


def check_namespace(context: Context[EntryType], namespace: str, owner: str) -> None:
    known = context.spec_of_cluster.namespaces
    if namespace not in known:
        message = f"cluster `{context.cluster.name}` has no namespace `{namespace}`"
        hint = (
            did_you_mean(namespace, known)
            or f"add it to `{context.cluster.file.name}`, or choose one of: {_list(known)}"
        )
        context.say("catalog/namespace", message, "namespace" if _has_namespace(context) else "owner", hint=hint)
    elif owner not in known[namespace].owners:
        message = f"`{owner}` does not own namespace `{namespace}` on cluster `{context.cluster.name}`"
        hint = f"owned by {_list(known[namespace].owners)}; owners are named in `{context.cluster.file.name}`"
        context.say("catalog/owner", message, "owner", hint=hint)


def _has_namespace(context: Context[EntryType]) -> bool:
    return ("spec", "namespace") in context.entry.file.places


def check_sku(context: Context[EntryType], name: str | None, device: str | None, *, required: bool) -> None:
    """The VM size must exist, be allowed on the cluster, and have what the entry runs on."""
    where = ("clusters", context.cluster.name, "sku")
    if name is None:
        if required:
            message = f"`sku` is missing for cluster `{context.cluster.name}`"
            context.say("catalog/sku", message, *where, hint=f"one of: {_list(context.spec_of_cluster.skus)}")
        return
    retired = context.facts.skus.retired.get(name)
    if retired:
        context.say(
            "catalog/retired-sku", f"`{name}` is retired: {retired.why}", *where, hint=f"use `{retired.replacement}`"
        )
        return
    sku = context.sku(name)
    if sku is None:
        hint = did_you_mean(name, context.facts.skus.sizes) or "add it to `catalog/facts/skus.yaml` with its source"
        context.say("catalog/sku", f"`{name}` is no VM size that we know", *where, hint=hint)
        return
    if name not in context.spec_of_cluster.skus:
        message = f"cluster `{context.cluster.name}` does not allow `{name}`"
        hint = f"allowed: {_list(context.spec_of_cluster.skus)}"
        context.say("catalog/sku-not-allowed", message, *where, hint=hint)
    if device == "gpu" and not sku.gpus:
        hint = "use a GPU size, or set `serving.device: cpu`" if _is_model(context) else "use a GPU size"
        context.say("catalog/sku-device", f"`{name}` has no GPU", *where, hint=hint)
    if device == "cpu" and sku.gpus:
        message = f"`{name}` has GPUs, which `device: cpu` would leave idle"
        context.say("catalog/sku-device", message, *where, hint="use a CPU size")


def _is_model(context: Context[EntryType]) -> bool:
    return context.entry.value.kind == "Model"


def check_kind(context: Context[EntryType], kind: str, *path: str | int) -> None:
    """The cluster's KAITO must serve the kind, at the API version that we emit."""
    kaito = context.spec_of_cluster.kaito
    place = context.cluster.name
    if kaito.install == "addon" and kind not in context.facts.kaito.releases.addon_kinds:
        message = f"cluster `{place}` runs the managed add-on, which has no {kind}"
        context.say("catalog/kaito-kind", message, *path, hint=KIND_HINTS[kind])
    elif "v1beta1" not in context.facts.kaito.served(kind, kaito.version):
        since = context.facts.kaito.kinds.get(kind, {}).get("v1beta1", "no release")
        message = f"KAITO {kaito.version} on cluster `{place}` has no {kind} v1beta1; {since} brings it"
        context.say("catalog/kaito-kind", message, *path, hint=KIND_HINTS[kind])


KIND_HINTS = {
    "InferenceSet": "one replica without autoscaling is a Workspace, which every KAITO has",
    "RAGEngine": "leave the cluster out of the entry's `clusters`",
    "Workspace": "upgrade KAITO on the cluster",
}


def check_operator(context: Context[EntryType], operator: str, why: str, *path: str | int) -> None:
    if getattr(context.spec_of_cluster.operators, operator) == "absent":
        message = f"{why}, which is absent on cluster `{context.cluster.name}`"
        hint = f"install it, then set `operators.{to_camel(operator)}: present` in `{context.cluster.file.name}`"
        context.say("catalog/operator", message, *path, hint=hint)


def check_token(context: Context[EntryType], token: Token | None, *path: str | int) -> None:
    """A token that the vault should fill needs External Secrets; one without a vault key must exist already."""
    secrets = context.spec_of_cluster.secrets
    if token is None or secrets.external is None:
        return
    if token.vault_key is None:
        message = (
            f"cluster `{context.cluster.name}` fills Secrets from a vault, but `{token.secret}` names no `vaultKey`"
        )
        context.say("catalog/secret", message, *path, hint="name the vault's entry", warning=True)
    else:
        check_operator(context, "external_secrets", "`vaultKey` needs External Secrets", *path)


def check_identity(context: Context[EntryType], name: str) -> None:
    known = context.spec_of_cluster.identities
    if name not in known:
        message = f"cluster `{context.cluster.name}` has no identity `{name}`"
        hint = did_you_mean(name, known) or f"add its client id to `identities` in `{context.cluster.file.name}`"
        context.say("catalog/identity", message, "identity", "name", hint=hint)


def check_plain(context: Context[EntryType], value: object, *path: str | int) -> None:
    """A value that looks like a credential never stands in Git; the message does not repeat it."""
    if isinstance(value, str) and looks_secret(value):
        name = next(part for part in reversed(path) if isinstance(part, str))
        message = f"the value of `{name}` looks like a secret in plain"
        hint = "take it out, revoke it, and name a Secret where the entry has a field for one"
        context.say("catalog/secret", message, *path, hint=hint)


def check_storage_class(context: Context[EntryType], name: str | None, *path: str | int) -> None:
    """Our claims are mounted on several nodes: by the revision that goes and the one that comes, if by no others."""
    if name in DISK_CLASSES:
        message = f"`{name}` makes Azure Disks, which one node at a time mounts"
        hint = "use a class of Azure Files or Blob, such as `azurefile-csi-premium`"
        context.say("catalog/storage-class", message, *path, hint=hint)


DISK_CLASSES = frozenset({"default", "managed", "managed-csi", "managed-csi-premium", "managed-premium"})
"""AKS's own classes of Azure Disk."""


def check_provisioned(context: Context[EntryType], kind: str) -> None:
    """Only a model can name nodes of one's own; other kinds need KAITO to make some."""
    if context.spec_of_cluster.kaito.provisioner == "byo":
        message = f"cluster `{context.cluster.name}` provisions no nodes, which a {kind} needs"
        where = ("clusters", context.cluster.name)
        context.say("catalog/byo", message, *where, hint="leave the cluster out of the entry's `clusters`")


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
