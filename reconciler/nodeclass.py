"""What of a node pool does the claim not say? A node class does, or the settings for all of them.

KAITO names a class by `spec.nodeClassRef.name` and has no object behind it, so classes are a file: YAML or JSON, one
mapping per class under its name, each field as below. What a class leaves out comes from the settings.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

OS_SKUS = ("Ubuntu", "Ubuntu2204", "Ubuntu2404", "AzureLinux", "AzureLinux3")
OS_DISK_TYPES = ("Managed", "Ephemeral")
GPU_DRIVERS = ("Install", "None")
CAPACITY_TYPES = ("on-demand", "spot")
IMAGE_FAMILIES = {"ubuntu": "Ubuntu", "azurelinux": "AzureLinux"}
"""KAITO's annotation, in lower case, and the OS SKU that it stands for."""

_SUBNET = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.Network/virtualNetworks/[^/]+/subnets/.+",
    re.IGNORECASE,
)
_RESERVATION = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.Compute/capacityReservationGroups/[^/]+",
    re.IGNORECASE,
)
_TAINT = re.compile(r"[\w./-]+(=[\w.-]*)?:(NoSchedule|PreferNoSchedule|NoExecute)")
_TAG_ILLEGAL = re.compile(r"[<>%&\\?/]")
_TAG_LIMIT = 512


@dataclass(frozen=True, slots=True)
class NodeClass:
    """Empty: AKS decides."""

    capacity_type: str = "on-demand"
    """For claims that leave it open."""
    spot_max_price: float = -1.0
    """USD per hour; -1 pays up to the on-demand price."""
    zones: tuple[str, ...] = ()
    subnet_id: str = ""
    os_sku: str = ""
    """For claims without KAITO's annotation."""
    os_disk_type: str = ""
    os_disk_gib: int = 0
    """For claims that request no `storage`."""
    gpu_driver: str = ""
    capacity_reservation_group_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()
    """As `key=value:effect`, beside those of the claim."""


def problems(found: NodeClass) -> Iterator[str]:
    """What is wrong with a class, each as a sentence about its field."""
    choices = (
        ("capacity_type", CAPACITY_TYPES),
        ("os_sku", ("", *OS_SKUS)),
        ("os_disk_type", ("", *OS_DISK_TYPES)),
        ("gpu_driver", ("", *GPU_DRIVERS)),
    )
    for name, allowed in choices:
        if (value := getattr(found, name)) not in allowed:
            yield f"`{name}` is `{value}`: it is one of {', '.join(f'`{each}`' for each in allowed if each)}"
    if found.subnet_id and not _SUBNET.fullmatch(found.subnet_id):
        yield f"`subnet_id` is `{found.subnet_id}`: it is the resource id of a subnet"
    if found.capacity_reservation_group_id and not _RESERVATION.fullmatch(found.capacity_reservation_group_id):
        yield "`capacity_reservation_group_id` is not the resource id of a capacity reservation group"
    if found.capacity_reservation_group_id and found.capacity_type == "spot":
        yield "`capacity_reservation_group_id` cannot serve spot nodes: leave it out, or make them `on-demand`"
    yield from _list_problems(found)


def _list_problems(found: NodeClass) -> Iterator[str]:
    for zone in found.zones:
        if zone not in ("1", "2", "3"):
            yield f"`zones` holds `{zone}`: zones are `1`, `2` and `3`"
    for taint in found.taints:
        if not _TAINT.fullmatch(taint):
            yield f"`taints` holds `{taint}`: write `key=value:effect`"
    for tag in found.tags:
        if tag.startswith("kaitops-") or _TAG_ILLEGAL.search(tag) or len(tag) > _TAG_LIMIT:
            yield f"`tags` holds `{tag}`: Azure forbids `<>%&\\?/` in names, and `kaitops-` is ours"
    if found.spot_max_price != -1 and not 0 < found.spot_max_price < math.inf:
        yield f"`spot_max_price` is `{found.spot_max_price}`: it is -1 or more than 0"
    if found.os_disk_gib < 0:
        yield f"`os_disk_gib` is `{found.os_disk_gib}`: it is 0 or a number of GiB"


def read_classes(path: Path, default: NodeClass) -> tuple[dict[str, NodeClass], list[str]]:
    """The classes of a file, and everything that is wrong in it."""
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return {}, [f"`{path}` cannot be read: {' '.join(str(error).split())}"]
    if not isinstance(raw, dict) or not all(isinstance(each, dict) for each in raw.values()):
        return {}, [f"`{path}` holds no mapping of class names to fields"]
    found, wrong = {}, []
    for name, body in raw.items():
        found[str(name)], complaints = _read_class(body, default)
        wrong += [f"class `{name}` of `{path}`: {each}" for each in complaints]
    return found, wrong


def _read_class(body: dict[str, Any], default: NodeClass) -> tuple[NodeClass, list[str]]:
    known = {each.name: getattr(default, each.name) for each in fields(NodeClass)}
    wrong = [f"`{key}` is no field: there are {', '.join(known)}" for key in body if key not in known]
    values: dict[str, Any] = {}
    for key in known.keys() & body.keys():
        value = tuple(str(each) for each in body[key]) if isinstance(body[key], list) else body[key]
        if type(value) is not type(known[key]):
            wrong.append(f"`{key}` is `{value}`: it is of the kind {_KINDS[type(known[key])]}")
        else:
            values[key] = value
    found = replace(default, **values)
    return found, wrong + list(problems(found))


_KINDS: dict[type, str] = {str: "text", int: "whole number", float: "number", tuple: "list", dict: "mapping"}
