"""What is true of the outside world, read from `catalog/facts/`: data with a source and a date, never code.

The loader turns the file into typed values once; a malformed file of ours is a bug and left to crash. Names of
presets are compared without regard to case, as KAITO does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import yaml

from generator.finding import CannotRunError

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Estimator:
    """The figures of KAITO's node estimator."""

    gpu_memory_utilization: float
    overhead_gib: float
    weights_factor: float
    usable_divisor: float
    default_context: int


@dataclass(frozen=True, slots=True)
class Preset:
    name: str
    """The hub id, `organisation/name`."""
    weights_gib: float
    context_limit: int
    bytes_per_token: int
    gated: bool = False
    tuning: bool = False
    transformers: bool | None = None
    """Whether the transformers runtime serves it; None where no source says so."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The limits and closed lists of KAITO's webhook."""

    max_adapters: int
    instance_type_prefixes: tuple[str, ...]
    reserved_labels: tuple[str, ...]
    annotations: Mapping[str, tuple[str, ...]]
    tuning_methods: tuple[str, ...]
    tuning_sections: tuple[str, ...]
    blocked_hosts: tuple[str, ...]
    blocked_networks: tuple[IPv4Network | IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class Releases:
    newest: str
    published: Mapping[str, date]
    addon_version: str
    addon_kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KaitoFacts:
    releases: Releases
    kinds: Mapping[str, Mapping[str, str]]
    """Kind → API version → the release that serves it from."""
    estimator: Estimator
    admission: Admission
    presets: Mapping[str, Preset]
    aliases: Mapping[str, str]
    retired: Mapping[str, str]
    _lookup: Mapping[str, Preset] = field(repr=False)

    def preset(self, name: str) -> Preset | None:
        """The catalog's preset of this hub id or short name."""
        return self._lookup.get(name.lower())

    def replacement(self, name: str) -> str | None:
        """What to use instead of a preset that is gone; None for any other name."""
        return self.retired.get(name.lower())

    def served(self, kind: str, release: str) -> tuple[str, ...]:
        """The API versions of `kind` in a KAITO release; empty where it has none."""
        has = release_order(release)
        return tuple(version for version, since in self.kinds.get(kind, {}).items() if release_order(since) <= has)


def release_order(release: str) -> tuple[int, ...]:
    """A release as numbers, so that 0.10.0 comes after 0.9.4."""
    return tuple(int(part) for part in release.removeprefix("v").split("."))


def load_kaito_facts(path: Path) -> KaitoFacts:
    data = read_facts(path)
    presets = {name: _preset(name, row) for name, row in data["presets"]["rows"].items()}
    aliases = dict(data["aliases"]["rows"])
    by_id = {name.lower(): preset for name, preset in presets.items()}
    return KaitoFacts(
        releases=_releases(data["releases"]),
        kinds={kind: {version: row["since"] for version, row in rows.items()} for kind, rows in _rows(data, "kinds")},
        estimator=_estimator(data["estimator"]),
        admission=_admission(data["admission"]),
        presets=presets,
        aliases=aliases,
        retired=dict(data["retired"]["rows"]),
        _lookup=by_id | {alias: presets[name] for alias, name in aliases.items()},
    )


def read_facts(path: Path) -> Row:
    """The file's data, for reading alone.

    Raises:
        CannotRunError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CannotRunError(f"cannot read the facts in `{path}`: {error.strerror}") from error
    return _parsed(text)


@cache
def _parsed(text: str) -> Row:
    """Several parts of a run ask the same facts, and both sides of a plan; nobody changes what is read here."""
    data: Row = yaml.load(text, yaml.CSafeLoader)
    return data


def _rows(data: Row, group: str) -> list[tuple[str, Row]]:
    return list(data[group]["rows"].items())


def _preset(name: str, row: Row) -> Preset:
    return Preset(
        name=name,
        weights_gib=float(row["weightsGiB"]),
        context_limit=row["contextLimit"],
        bytes_per_token=row["bytesPerToken"],
        gated=row.get("gated", False),
        tuning=row.get("tuning", False),
        transformers=row.get("transformers"),
    )


def _releases(row: Row) -> Releases:
    return Releases(
        newest=row["newest"],
        published=row["published"],
        addon_version=row["addon"]["version"],
        addon_kinds=tuple(row["addon"]["kinds"]),
    )


def _estimator(row: Row) -> Estimator:
    return Estimator(
        gpu_memory_utilization=row["gpuMemoryUtilization"],
        overhead_gib=row["overheadGiB"],
        weights_factor=row["weightsFactor"],
        usable_divisor=row["usableDivisor"],
        default_context=row["defaultContext"],
    )


def _admission(row: Row) -> Admission:
    return Admission(
        max_adapters=row["maxAdapters"],
        instance_type_prefixes=tuple(row["instanceTypePrefixes"]),
        reserved_labels=tuple(row["reservedLabels"]),
        annotations={name: tuple(values) for name, values in row["annotations"].items()},
        tuning_methods=tuple(row["tuningMethods"]),
        tuning_sections=tuple(row["tuningSections"]),
        blocked_hosts=tuple(row["blockedHosts"]),
        blocked_networks=tuple(ip_network(network) for network in row["blockedNetworks"]),
    )
