"""Does kaito-state-metrics make the series that the facts list, from fields that the objects really have?"""

import json
from pathlib import Path
from typing import Any

import yaml

from generator.compile import Compiled

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "clusters/base/monitoring/state/config.yaml").read_text("utf-8"))
ROLE = yaml.safe_load((ROOT / "clusters/base/monitoring/state/clusterrole.yaml").read_text("utf-8"))
MADE_BY_IT = {"customresource_group", "customresource_kind", "customresource_version"}
CONDITION: dict[str, Any] = {"properties": {"type": {}, "status": {}, "reason": {}}}
METADATA = {"name", "namespace", "labels", "creationTimestamp"}


def resources() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = CONFIG["spec"]["resources"]
    return found


def schema(resource: dict[str, Any]) -> dict[str, Any]:
    """The kind's fields, status included; of Karpenter's, whose definition lies in a module, the distilled spec."""
    kind = resource["groupVersionKind"]
    if kind["group"] == "kaito.sh":
        path = ROOT / "tools" / "crds" / f"kaito.sh_{kind['kind'].lower()}s.yaml"
        versions = yaml.safe_load(path.read_text("utf-8"))["spec"]["versions"]
        (found,) = [one["schema"]["openAPIV3Schema"] for one in versions if one["name"] == kind["version"]]
    else:
        path = ROOT / "generator" / "schemas" / kind["group"] / f"{kind['kind'].lower()}_{kind['version']}.json"
        found = json.loads(path.read_text("utf-8"))
        found["properties"]["status"] = {"properties": {"conditions": {"items": CONDITION}}}
    fields: dict[str, Any] = found
    return fields


def test_the_facts_list_exactly_what_it_makes(fleet: Compiled) -> None:
    assert fleet.library is not None
    known = {one.name: one.labels for one in fleet.library.metrics.exporters["kaito-state"].metrics}
    made = {}
    for resource in resources():
        shared = set(resource["labelsFromPath"])
        for metric in resource["metrics"]:
            more = metric["each"]["gauge"].get("labelsFromPath", {})
            made[f"{resource['metricNamePrefix']}_{metric['name']}"] = shared | set(more)
    assert set(made) == set(known)
    for name, labels in made.items():
        assert labels - fleet.library.metrics.target_labels == known[name] - MADE_BY_IT, name


def test_every_path_is_a_field_of_the_kind() -> None:
    for resource in resources():
        whole = schema(resource)
        for path in resource["labelsFromPath"].values():
            follow(whole, path)
        for metric in resource["metrics"]:
            gauge = metric["each"]["gauge"]
            below = follow(whole, gauge["path"])
            item = below.get("items", below)
            for path in (*gauge.get("labelsFromPath", {}).values(), *filter(None, [gauge.get("valueFrom")])):
                follow(item, path)


def follow(node: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """The schema at the end of a path.

    Raises:
        AssertionError: naming the field that the kind does not have.
    """
    if path[0] == "metadata":
        assert path[1] in METADATA, path
        return {}
    for part in path:
        if part.startswith("[") or part.isdigit():
            node = node["items"]
        elif "additionalProperties" in node and "properties" not in node:
            node = node["additionalProperties"]
        else:
            assert part in node.get("properties", {}), (part, path)
            node = node["properties"][part]
    return node


def test_it_may_read_what_it_watches_and_nothing_else() -> None:
    wanted = {(kind["group"], kind["kind"].lower() + "s") for kind in (one["groupVersionKind"] for one in resources())}
    granted = {(group, one) for rule in ROLE["rules"] for group in rule["apiGroups"] for one in rule["resources"]}
    assert granted == wanted | {("apiextensions.k8s.io", "customresourcedefinitions")}
    assert all(set(rule["verbs"]) == {"list", "watch"} for rule in ROLE["rules"])
