"""Which agent pools does AKS take, and what does it add to them?

The names of properties are those of Azure's own SDK, so a misspelt one is refused here as it is there.
"""

import re
from collections.abc import Iterator

from azure.mgmt.containerservice.models import ManagedClusterAgentPoolProfileProperties

from tests.fakearm.answer import Json, RefusedError

NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
KNOWN = frozenset(field._rest_name for field in ManagedClusterAgentPoolProfileProperties()._attr_to_rest_field.values())
IMMUTABLE = ("vmSize", "scaleSetPriority", "availabilityZones", "gpuProfile", "maxPods", "osDiskType", "vnetSubnetID")
SPOT = "kubernetes.azure.com/scalesetpriority"
RESERVED = "kubernetes.azure.com/"


def check(name: str, properties: Json) -> None:
    """Raise what AKS refuses at once."""
    if unknown := sorted(properties.keys() - KNOWN):
        raise RefusedError(400, "InvalidRequestContent", f"unknown properties: {', '.join(unknown)}")
    if problem := next(_problems(name, properties), None):
        raise RefusedError(400, "InvalidParameter", problem)


def _problems(name: str, properties: Json) -> Iterator[str]:
    if not NAME.fullmatch(name):
        yield f"the value of parameter agentPool.name is invalid: {name}"
    if not properties.get("vmSize"):
        yield "required parameter agentPool.vmSize is missing"
    if not isinstance(properties.get("count"), int):
        yield "required parameter agentPool.count is missing"
    if properties.get("osDiskSizeGB", 1) < 0:
        yield "the value of parameter agentPool.osDiskSizeGB is invalid"
    for label in properties.get("nodeLabels") or {}:
        if label.startswith(RESERVED) and label != SPOT:
            yield f"label {label} is reserved by the system"
    if properties.get("scaleSetPriority") == "Spot":
        yield from _spot_problems(properties)


def _spot_problems(properties: Json) -> Iterator[str]:
    if properties.get("mode") == "System":
        yield "a system agent pool cannot be of priority Spot"
    if properties.get("capacityReservationGroupID"):
        yield "a capacity reservation serves no agent pool of priority Spot"


def completed(properties: Json) -> Json:
    """The pool as AKS keeps it: its defaults, and its own mark on spot nodes."""
    found = {"mode": "User", "osType": "Linux", "orchestratorVersion": "1.34.1", **properties}
    if found.get("scaleSetPriority") == "Spot":
        taint = f"{SPOT}=spot:NoSchedule"
        found["nodeLabels"] = {**(found.get("nodeLabels") or {}), SPOT: "spot"}
        found["nodeTaints"] = list(dict.fromkeys([*(found.get("nodeTaints") or ()), taint]))
    return found


def immutable_changes(old: Json, new: Json) -> list[str]:
    return [each for each in IMMUTABLE if each in new and old.get(each) != new[each]]
