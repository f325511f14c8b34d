"""Rules as an ARM template of `Microsoft.AlertsManagement/prometheusRuleGroups`, for Azure's managed Prometheus.

Azure has no PrometheusRule: rule groups are Azure resources of at most 20 rules, deployed beside GitOps. Microsoft's
default groups are not made again; the template refers to them, so that a deployment fails where they are missing and
panels over their records would stay empty.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from generator.monitoring.rules import Group, Rule

RULES_IN_A_GROUP = 20
GROUPS_IN_A_WORKSPACE = 500
"""Per subscription, every cluster that writes into the workspace together."""
TYPE = "Microsoft.AlertsManagement/prometheusRuleGroups"
API = "2023-03-01"
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
SEVERITIES = {"page": 0, "ticket": 2, "info": 3}
"""Azure's are critical, error, warning, informational and verbose."""
UNITS = {"m": "M", "h": "H"}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The AKS cluster whose series the rules read."""

    cluster: str
    resource: str
    """ARM id of the AKS cluster."""
    region: str


def template(target: Target, groups: Iterable[Group], promises: Iterable[Group], defaults: Iterable[str]) -> Json:
    """The whole template.

    Args:
        target: The cluster.
        groups: Rules about all models.
        promises: One small group for each model.
        defaults: Names of Microsoft's own groups, as they begin.
    """
    ours = [*_split(groups), *_pack(promises)]
    resources = {_symbol(name): _default(f"{name}-{target.cluster}") for name in defaults}
    resources |= {f"kaitops-{group.name}": _group(target, group) for group in ours}
    outputs = {_symbol(name): {"type": "bool", "value": f"[reference('{_symbol(name)}').enabled]"} for name in defaults}
    return {
        "$schema": SCHEMA,
        "languageVersion": "2.0",
        "contentVersion": "1.0.0.0",
        "parameters": _parameters(target),
        "resources": resources,
        "outputs": outputs,
    }


def _parameters(target: Target) -> Json:
    return {
        "workspace": {
            "type": "string",
            "metadata": {"description": "Resource id of the Azure Monitor workspace that the cluster writes into"},
        },
        "location": {
            "type": "string",
            "defaultValue": target.region,
            "metadata": {"description": "Region of that workspace"},
        },
        "actionGroups": {
            "type": "array",
            "defaultValue": [],
            "metadata": {"description": "Resource ids of the action groups that alerts notify"},
        },
    }


def _symbol(name: str) -> str:
    return name[0].lower() + name[1:]


def _default(name: str) -> Json:
    return {"existing": True, "type": TYPE, "apiVersion": API, "name": name}


def _split(groups: Iterable[Group]) -> Iterator[Group]:
    """A group that Azure finds too long becomes several, in order: what records comes before what reads it."""
    for group in groups:
        parts = [group.rules[at : at + RULES_IN_A_GROUP] for at in range(0, len(group.rules), RULES_IN_A_GROUP)]
        for number, rules in enumerate(parts, start=1):
            yield Group(group.name if len(parts) == 1 else f"{group.name}-{number}", rules)


def _pack(promises: Iterable[Group]) -> Iterator[Group]:
    """Small groups share one, as the number of groups is limited; a model's records stay together."""
    number, held = 1, Group("promises-1", ())
    for promise in promises:
        if len(held.rules) + len(promise.rules) > RULES_IN_A_GROUP:
            yield held
            number += 1
            held = Group(f"promises-{number}", ())
        held = replace(held, rules=held.rules + promise.rules)
    if held.rules:
        yield held


def _group(target: Target, group: Group) -> Json:
    return {
        "type": TYPE,
        "apiVersion": API,
        "name": f"kaitops-{target.cluster}-{group.name}",
        "location": "[parameters('location')]",
        "properties": {
            "description": f"{group.name}, rendered by kaitops for cluster {target.cluster}",
            "enabled": True,
            "clusterName": target.cluster,
            "scopes": ["[parameters('workspace')]", target.resource],
            "interval": "PT1M",
            "rules": [_record(rule) if rule.record else _alert(rule) for rule in group.rules],
        },
    }


def _record(rule: Rule) -> Json:
    labels = {"labels": dict(rule.labels)} if rule.labels else {}
    return {"record": rule.record, "enabled": True, "expression": _plain(rule.expr), **labels}


def _alert(rule: Rule) -> Json:
    return {
        "alert": rule.alert,
        "enabled": True,
        "expression": _plain(rule.expr),
        **({"for": duration(rule.wait)} if rule.wait else {}),
        "labels": dict(rule.labels),
        "annotations": {name: _plain(text) for name, text in rule.annotations.items()},
        "severity": SEVERITIES[rule.labels["severity"]],
        "resolveConfiguration": {"autoResolved": True, "timeToResolve": "PT5M"},
        "actions": _actions(),
    }


def _actions() -> str:
    """One action for each group that the deployment names."""
    return "[map(parameters('actionGroups'), lambda('id', createObject('actionGroupId', lambdaVariables('id'))))]"


def _plain(text: str) -> str:
    """ARM takes a text that begins with a bracket for an expression of its own."""
    return f"[{text}" if text.startswith("[") else text


def duration(text: str) -> str:
    """Prometheus' `5m` as ISO 8601: `PT5M`."""
    amount, unit = text[:-1], text[-1]
    return f"P{amount}D" if unit == "d" else f"PT{amount}{UNITS[unit]}"
