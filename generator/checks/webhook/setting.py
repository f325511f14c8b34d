"""What rules know besides the object itself: the facts, the ConfigMaps beside it, and who provisions its nodes.

The webhook looks ConfigMaps up when it admits the object, so one that is not rendered for the same cluster and
namespace counts as missing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from generator.checks.webhook.view import Mapping, View, cluster_of, mapping
from generator.document import Document
from generator.facts import KaitoFacts
from generator.finding import Finding

Key = tuple[str, str, str]
"""Cluster, namespace and name of a ConfigMap."""


@dataclass(frozen=True, slots=True)
class Setting:
    facts: KaitoFacts
    config_maps: dict[Key, Mapping]
    byo: frozenset[str]

    def provisions(self, view: View) -> bool:
        return view.cluster not in self.byo


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that an object expects in the ConfigMap it names."""

    field: str
    config_map: str
    key: str


def index_config_maps(documents: Iterable[Document]) -> dict[Key, Mapping]:
    found: dict[Key, Mapping] = {}
    for document in documents:
        api_version, kind, namespace, name = document.identity
        if (api_version, kind) == ("v1", "ConfigMap"):
            found[cluster_of(document), namespace, name] = mapping(document.body.get("data"))
    return found


def missing(view: View, setting: Setting, file: ConfigFile) -> Iterator[Finding]:
    """Say what keeps the file from being found, if anything does."""
    data = setting.config_maps.get((view.cluster, view.namespace, file.config_map))
    if data is None:
        text = f"names ConfigMap `{file.config_map}`, which is not in namespace `{view.namespace}` of `{view.cluster}`"
        yield view.finding(
            "config-exists", file.field, text, "render the ConfigMap in an earlier wave of the same sync"
        )
    elif file.key not in data:
        text = f"names ConfigMap `{file.config_map}`, which lacks the key `{file.key}`"
        yield view.finding("config-key", file.field, text, f"put the settings under `{file.key}`")


def parsed(view: View, setting: Setting, file: ConfigFile) -> Any:
    """The file's content as data; None where it is missing. An unreadable one raises `yaml.YAMLError`."""
    data = setting.config_maps.get((view.cluster, view.namespace, file.config_map), {})
    text = data.get(file.key)
    return yaml.load(text, yaml.CSafeLoader) if isinstance(text, str) else None


def unreadable(view: View, file: ConfigFile, error: yaml.YAMLError) -> Finding:
    text = f"names ConfigMap `{file.config_map}`, whose `{file.key}` is not YAML: {_reason(error)}"
    return view.finding("config-content", file.field, text, "mend the file")


def _reason(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"{error.problem} in line {error.problem_mark.line + 1}"
    return str(error).partition("\n")[0]
