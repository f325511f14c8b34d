"""Which files make up what watches a cluster: the unit `monitoring`, and below `azure/` what GitOps cannot apply.

Azure's managed Prometheus reads no PrometheusRule, and its managed Grafana no ConfigMap: there the rules are an ARM
template and the dashboards files to import, outside every kustomization.
"""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from generator import jsonout
from generator.document import Document
from generator.finding import Place
from generator.monitoring.azure import template
from generator.monitoring.promises import promise_group
from generator.placement import ModelPlacement
from generator.resolve.platform import Platform
from generator.resolve.watch import Scrape, WatchView

Object = tuple[str, str, dict[str, Any]]
"""File name, template, and values."""


def unit_objects(platform: Platform, watch: WatchView) -> Iterator[Object]:
    """The objects of the unit `monitoring`, without its kustomization."""
    yield from (_pod_monitor(platform, watch, scrape) for scrape in watch.scrapes)
    if platform.azure_monitoring:
        return
    for one in watch.rules:
        labels = platform.labels | watch.selected_by
        values = {"c": platform, "name": f"kaitops-{one.name}", "groups": one.bodies, "labels": labels}
        yield f"prometheusrule-{one.name}.yaml", "monitoring/prometheusrule.yaml.j2", values
    for name, text in watch.dashboards.items():
        yield _dashboard(platform, name, text)


def _pod_monitor(platform: Platform, watch: WatchView, scrape: Scrape) -> Object:
    flavor = "-azure" if platform.azure_monitoring else ""
    namespaces = {"matchNames": list(scrape.namespaces)} if scrape.namespaces else {"any": True}
    labels = platform.labels | watch.selected_by
    values = {"c": platform, "s": scrape, "namespaces": namespaces, "labels": labels}
    return f"podmonitor-{scrape.component}.yaml", f"monitoring/podmonitor{flavor}.yaml.j2", values


def _dashboard(platform: Platform, name: str, text: str) -> Object:
    values = {
        "c": platform,
        "name": f"kaitops-dashboard-{name}",
        "labels": platform.labels | {"grafana_dashboard": "1"},
        "file": f"kaitops-{name}.json",
        "text": text,
    }
    return f"configmap-{name}.yaml", "monitoring/configmap.yaml.j2", values


def base_folders(watch: WatchView) -> Iterator[str]:
    """What the unit takes from the hand-written base."""
    if watch.own_namespace:
        yield "../../base/monitoring/namespace"
    if watch.state_image:
        yield "../../base/monitoring/state"


def azure_files(platform: Platform, models: Iterable[ModelPlacement]) -> Iterator[Document]:
    """The rules as an ARM template, and the dashboards as Grafana imports them."""
    watch = platform.watch
    if watch is None or not platform.azure_monitoring:
        return
    promises = [promise_group(model.promise, watch.cluster_label) for model in models if model.running]
    body = template(watch.target, watch.groups, promises, watch.default_groups)
    folder, source = f"clusters/{platform.name}/azure", Place(platform.source)
    yield Document(f"{folder}/prometheus-rules.json", jsonout.dump(body), body, source)
    for name, text in watch.dashboards.items():
        yield Document(f"{folder}/dashboard-{name}.json", text, partial(json.loads, text), source)
