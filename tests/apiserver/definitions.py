"""Load custom resource definitions, and wait until the server serves their kinds."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from tests.apiserver.client import Api, Object, RefusedError

SECONDS = 30


def read_definitions(files: Iterable[Path]) -> Iterator[Object]:
    """The CRDs in YAML files."""
    for file in files:
        for item in yaml.load_all(file.read_text("utf-8"), yaml.CSafeLoader):
            if item and item["kind"] == "CustomResourceDefinition":
                yield item


def load_definitions(api: Api, definitions: Iterable[Object]) -> list[Object]:
    """Apply them all, then wait for each; the answers are the definitions as the server keeps them."""
    applied = [api.apply(each).body for each in definitions]
    return [_served(api, each) for each in applied]


def _served(api: Api, definition: Object) -> Object:
    deadline = time.monotonic() + SECONDS
    while not _is_served(api, live := api.get(definition)):
        if time.monotonic() > deadline:
            name = definition["metadata"]["name"]
            raise AssertionError(f"{name} is not served after {SECONDS} s: {_conditions(live)}")
        time.sleep(0.02)
    return live


def _is_served(api: Api, live: Object) -> bool:
    conditions = {each["type"]: each["status"] for each in _conditions(live)}
    versions = [each["name"] for each in live["spec"]["versions"] if each["served"]]
    return conditions.get("Established") == "True" and all(_answers(api, live["spec"], each) for each in versions)


def _conditions(live: Object) -> list[Object]:
    """A new definition has none yet, and says so by `null`."""
    return live.get("status", {}).get("conditions") or []


def _answers(api: Api, spec: Object, version: str) -> bool:
    """Established comes a moment before the kind is in discovery and can be asked for."""
    base, plural = f"/apis/{spec['group']}/{version}", spec["names"]["plural"]
    try:
        resources = api.request("GET", base).body["resources"]
        api.request("GET", f"{base}/{plural}", query={"limit": "1"})
    except RefusedError:
        return False
    return plural in {each["name"] for each in resources}
