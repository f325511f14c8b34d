"""Which node pool does a claim ask for, and what about it would AKS refuse?"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from reconciler import names
from reconciler.duration import format_time
from reconciler.nodeclaim import Claim
from reconciler.nodeclass import IMAGE_FAMILIES, NodeClass
from reconciler.offerings import Offering

POOL_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
GIB = 2**30
RESERVED_PREFIX = "kubernetes.azure.com/"


@dataclass(frozen=True, slots=True)
class Desired:
    """A node pool of one node, as it is asked for once and never changed."""

    name: str
    offering: Offering
    os_sku: str
    os_disk_gib: int
    node_class: NodeClass
    labels: Mapping[str, str]
    taints: tuple[str, ...]
    tags: Mapping[str, str]


def is_gpu(size: str) -> bool:
    """As gpu-provisioner tells: Azure's N series."""
    return "Standard_N" in size


def wants_nvidia(size: str, node_class: NodeClass) -> bool:
    """Whether the node is of no use before NVIDIA's GPUs are allocatable: not without driver, and not AMD's."""
    return is_gpu(size) and node_class.gpu_driver != "None" and "MI300X" not in size


def offerings(claim: Claim, node_class: NodeClass, location: str) -> tuple[Offering, ...]:
    """What the claim allows, in its order of preference: sizes first, then the way to pay for each."""
    kinds = claim.values(names.CAPACITY_TYPE_LABEL) or (node_class.capacity_type,)
    zones = _zones(claim, location) or node_class.zones
    return tuple(Offering(size, zones, kind == "spot") for size in sizes(claim) for kind in kinds)


def sizes(claim: Claim) -> tuple[str, ...]:
    """KAITO names the size twice; where both are there, both must allow it."""
    first, second = claim.values(names.INSTANCE_TYPE_LABEL), claim.values(names.SKU_NAME_LABEL)
    if first is None or second is None:
        return first or second or ()
    return tuple(size for size in first if size in second)


def _zones(claim: Claim, location: str) -> tuple[str, ...]:
    """Karpenter's spelling `eastus-1`, and the bare number."""
    values = claim.values(names.ZONE_LABEL) or ()
    return tuple(sorted(value.removeprefix(f"{location}-") for value in values))


def problems(claim: Claim, node_class: NodeClass, location: str) -> Iterator[str]:
    """What keeps the claim from a pool whatever Azure has free: for a person to correct."""
    if not POOL_NAME.fullmatch(claim.name):
        yield f"`{claim.name}` cannot name a node pool: AKS takes 1 to 12 lower-case letters and digits, a letter first"
    yield from _size_problems(claim)
    yield from _place_problems(claim, node_class, location)
    yield from _disk_problems(claim, node_class)
    for label in claim.labels:
        if label.startswith(RESERVED_PREFIX):
            yield f"label `{label}`: AKS keeps `{RESERVED_PREFIX}` for itself, so remove it from the claim"


def _size_problems(claim: Claim) -> Iterator[str]:
    if claim.values(names.INSTANCE_TYPE_LABEL) is None and claim.values(names.SKU_NAME_LABEL) is None:
        yield f"no instance type: add a requirement `{names.INSTANCE_TYPE_LABEL}` with operator `In`"
    elif not sizes(claim):
        yield f"its requirements of `{names.INSTANCE_TYPE_LABEL}` and `{names.SKU_NAME_LABEL}` contradict each other"
    for size in sizes(claim):
        if not re.fullmatch(r"Standard_\w+", size):
            yield f"`{size}` is no size of Azure: they are spelled as in `Standard_NC24ads_A100_v4`"


def _place_problems(claim: Claim, node_class: NodeClass, location: str) -> Iterator[str]:
    kinds = claim.values(names.CAPACITY_TYPE_LABEL)
    if (kinds is not None and not set(kinds) <= {"spot", "on-demand"}) or kinds == ():
        yield f"`{names.CAPACITY_TYPE_LABEL}` must be `spot` or `on-demand`"
    if "spot" in (kinds or (node_class.capacity_type,)) and node_class.capacity_reservation_group_id:
        yield "a capacity reservation serves no spot node: allow only `on-demand`, or use a node class without one"
    zones = claim.values(names.ZONE_LABEL)
    if zones == () or not set(_zones(claim, location)) <= {"1", "2", "3"}:
        yield f"`{names.ZONE_LABEL}` must name zones of `{location}`, as in `{location}-1`"
    systems = claim.values(names.OS_LABEL)
    if systems is not None and "linux" not in systems:
        yield f"`{names.OS_LABEL}` must allow `linux`"


def _disk_problems(claim: Claim, node_class: NodeClass) -> Iterator[str]:
    for name in claim.odd_requests:
        yield f"the request of the resource `{name}` is no quantity: write it as in `100Gi`"
    if "storage" not in claim.odd_requests and disk_gib(claim, node_class) <= 0:
        yield "no disk size: request at least 1Gi of the resource `storage`"


def disk_gib(claim: Claim, node_class: NodeClass) -> int:
    return int(claim.requests.get("storage", 0)) // GIB or node_class.os_disk_gib


def desired(claim: Claim, offering: Offering, node_class: NodeClass, cluster: str, now: datetime) -> Desired:
    """The pool of a claim without problems."""
    return Desired(
        name=claim.name,
        offering=offering,
        os_sku=_os_sku(claim, node_class),
        os_disk_gib=disk_gib(claim, node_class),
        node_class=node_class,
        labels=_labels(claim, offering),
        taints=tuple(dict.fromkeys((*map(_taint, claim.taints), *node_class.taints))),
        tags={**node_class.tags, **ownership_tags(claim, cluster, now)},
    )


def ownership_tags(claim: Claim, cluster: str, now: datetime) -> dict[str, str]:
    return {
        names.TAG_MANAGED_BY: names.MANAGED_BY,
        names.TAG_CLUSTER: cluster,
        names.TAG_CLAIM: claim.name,
        names.TAG_UID: claim.uid,
        names.TAG_CREATED: format_time(now),
    }


def _labels(claim: Claim, offering: Offering) -> dict[str, str]:
    return {
        names.NODEPOOL_LABEL: names.NODEPOOL,
        **claim.labels,
        names.MACHINE_TYPE_LABEL: "gpu" if is_gpu(offering.size) else "cpu",
        names.CREATION_LABEL: claim.created.strftime(names.CREATION_LAYOUT),
        names.UID_LABEL: claim.uid,
    }


def _os_sku(claim: Claim, node_class: NodeClass) -> str:
    """KAITO's annotation; an unknown value of it means Ubuntu, as it does to gpu-provisioner."""
    family = claim.annotations.get(names.IMAGE_FAMILY_ANNOTATION, "").lower()
    if not family:
        return node_class.os_sku or "Ubuntu"
    return IMAGE_FAMILIES.get(family, "Ubuntu")


def _taint(taint: Mapping[str, str]) -> str:
    return f"{taint['key']}={taint.get('value', '')}:{taint['effect']}"
