"""What is the reconciler told at its start? Each setting is a flag and a variable, and all are judged together.

`--list-period 10s` is `RECONCILER_LIST_PERIOD=10s`; the flag wins. A wrong value never stops the others from being
read, so one start shows everything that has to be corrected.
"""

import argparse
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from reconciler import nodeclass
from reconciler.duration import parse_duration
from reconciler.nodeclass import NodeClass, read_classes

PREFIX = "RECONCILER_"
SHORTEST_SWEEP = 10
ANYWHERE = "0.0.0.0"  # noqa: S104 -- kubelet and Prometheus come from outside the pod


class SettingsError(Exception):
    """Everything that is wrong, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"it is one of {', '.join(f'`{each}`' for each in allowed)}")
        return text

    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"it is a whole number from {low} to {high}")
        return int(text)

    return parse


def _seconds(text: str) -> float:
    return parse_duration(text).total_seconds()


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("it is `true` or `false`")
    return text == "true"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("it is a number") from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


def _tags(text: str) -> dict[str, str]:
    pairs = [each.partition("=") for each in _names(text)]
    if not all(equals and key for key, equals, _ in pairs):
        raise ValueError("write `name=value,name=value`")
    return {key: value for key, _, value in pairs}


def _setting(words: str, default: Any, parse: Callable[[str], Any] = str) -> Any:
    """A field with its help text and its reading; a default is written as a person would."""
    return field(default_factory=lambda: parse(default), metadata={"help": words, "parse": parse, "default": default})


@dataclass(frozen=True)
class Settings:
    """Every value is legal by itself and together with the others."""

    azure: str = _setting(
        "which Azure: the real one, or one in memory that makes Nodes", "arm", _choice("arm", "simulated")
    )
    credential: str = _setting(
        "how to sign in to Azure", "workload-identity", _choice("workload-identity", "managed-identity", "cli")
    )
    client_id: str = _setting("client id of the identity; empty: as `credential` finds it", "")
    subscription_id: str = _setting("subscription of the cluster", "")
    resource_group: str = _setting("resource group of the cluster", "")
    cluster_name: str = _setting("name of the AKS cluster", "")
    location: str = _setting("region of the cluster, as in `eastus`", "")

    kubeconfig: str = _setting("kubeconfig file; empty: the pod's own service account", "")
    context: str = _setting("context of the kubeconfig; empty: its current one", "")
    leader_election: bool = _setting("whether to work only while holding the lease", "true", _flag)
    lease_namespace: str = _setting("namespace of the lease", "kaitops-system")
    lease_name: str = _setting("name of the lease", "kaitops-reconciler")
    identity: str = _setting("name of this process in the lease; empty: the host's name", "")

    workers: int = _setting("claims that are worked on at once", "20", _whole(1, 200))
    list_period: float = _setting("time between two LISTs while something is going on", "10s", _seconds)
    idle_period: float = _setting("time between two LISTs while nothing is", "30s", _seconds)
    pool_limit: int = _setting("node pools that AKS allows in a cluster", "100", _whole(1, 1000))
    pool_reserve: int = _setting("how many of them are kept for system and other pools", "3", _whole(0, 1000))
    settle: float = _setting("how long a request without an answer may still take effect", "30s", _seconds)

    launch_timeout: timedelta = _setting("a claim that Azure refuses is deleted after this time", "5m", parse_duration)
    create_timeout: timedelta = _setting("a pool that is still being created then has failed", "40m", parse_duration)
    registration_timeout: timedelta = _setting("a claim whose Node is missing is deleted then", "15m", parse_duration)
    create_attempts: int = _setting("pools of one claim that may fail before it is deleted", "3", _whole(1, 20))
    node_repair: bool = _setting("whether a claim with a broken Node is deleted", "true", _flag)
    repair_after: timedelta = _setting("how long a Node must be not ready to be broken", "10m", parse_duration)
    repair_percent: int = _setting("no repair while more of the Nodes are not ready", "20", _whole(0, 100))

    sweep_period: float = _setting("time between two searches for orphans", "2m", _seconds)
    orphan_age: timedelta = _setting("how old an orphan must be to be deleted", "10m", parse_duration)
    sweep_limit: int = _setting("orphans deleted in one search", "5", _whole(0, 100))
    simulated_speed: int = _setting("how many times faster than itself the simulated Azure is", "1", _whole(1, 1000))
    simulated_faults: Mapping[str, str] = _setting(
        "sizes that the simulated Azure fails to make, and with what, as in `Standard_D4s_v5=AllocationFailed`",
        "",
        _tags,
    )
    simulated_kubeconfig: str = _setting("kubeconfig with which simulated machines write Nodes; empty: the same", "")
    prices: str = _setting("file with USD per hour of sizes: a mapping, or the catalog's `skus.yaml`", "")

    metrics_port: int = _setting("port of /metrics; 0: any free one", "8080", _whole(0, 65535))
    health_port: int = _setting("port of /livez and /readyz; 0: any free one", "8081", _whole(0, 65535))
    bind: str = _setting("address of both ports", ANYWHERE)
    log_level: str = _setting("least level that is logged", "info", _choice("debug", "info", "warning", "error"))

    node_classes: str = _setting("file of node classes; the flags below are what a class leaves out", "")
    capacity_type: str = _setting("for claims that leave it open", "on-demand")
    spot_max_price: float = _setting("USD per hour for a spot node; -1: up to the on-demand price", "-1", _number)
    zones: tuple[str, ...] = _setting("zones, as in `1,2`", "", _names)
    subnet_id: str = _setting("resource id of the subnet of the nodes", "")
    os_sku: str = _setting("OS SKU for claims without KAITO's annotation", "")
    os_disk_type: str = _setting("`Managed` or `Ephemeral`", "")
    os_disk_gib: int = _setting("disk of claims that request no storage", "0", _whole(0, 100_000))
    gpu_driver: str = _setting("`Install` or `None`", "")
    capacity_reservation_group_id: str = _setting("resource id of a capacity reservation group", "")
    tags: Mapping[str, str] = _setting("tags of every pool, as in `team=ml,env=dev`", "", _tags)
    taints: tuple[str, ...] = _setting("taints of every pool, as in `key=value:NoSchedule`", "", _names)

    classes: Mapping[str, NodeClass] = field(default_factory=dict)
    """What `node_classes` holds."""

    @property
    def holder(self) -> str:
        return self.identity or socket.gethostname()

    @property
    def default_class(self) -> NodeClass:
        return NodeClass(**{each.name: getattr(self, each.name) for each in fields(NodeClass)})

    def node_class(self, name: str) -> NodeClass:
        return self.classes.get(name, self.default_class)


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """The settings of a command line and its environment.

    Raises:
        SettingsError: some are missing, wrong or contradict each other; all problems at once.
    """
    options = _options()
    flags, rest = _parser(options).parse_known_args(arguments)
    wrong = [f"`{each}` is no setting: `--help` lists them" for each in rest]
    values = {}
    for option in options:
        given = getattr(flags, option.name)
        text = given if given is not None else environment.get(PREFIX + option.name.upper())
        try:
            values[option.name] = option.metadata["parse"](option.metadata["default"] if text is None else text)
        except ValueError as error:
            wrong.append(f"`{_spelled(option)}` is `{text}`: {error}")
    known = {_spelled(each, "").upper().replace("-", "_") for each in options}
    wrong += [f"`{each}` is no setting" for each in environment if _is_unknown(each, known)]
    settings = Settings(**{**values, "classes": {}})
    classes, complaints = _classes(settings)
    if wrong := [*wrong, *_contradictions(settings), *complaints]:
        raise SettingsError(wrong)
    return Settings(**{**values, "classes": classes})


def _is_unknown(variable: str, known: set[str]) -> bool:
    return variable.startswith(PREFIX) and variable.removeprefix(PREFIX) not in known


def _options() -> list[Field[Any]]:
    return [each for each in fields(Settings) if each.metadata]


def _spelled(option: Field[Any], dashes: str = "--") -> str:
    return dashes + option.name.replace("_", "-")


def _parser(options: Sequence[Field[Any]]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m reconciler", description=__doc__.splitlines()[0], allow_abbrev=False)
    for option in options:
        shown = f" (default: {option.metadata['default']})" if option.metadata["default"] else ""
        words = option.metadata["help"].replace("%", "%%")
        parser.add_argument(_spelled(option), metavar="VALUE", help=words + shown)
    return parser


def _contradictions(settings: Settings) -> list[str]:
    """What is legal by itself and not together."""
    needed = ("subscription_id", "resource_group", "cluster_name", "location")
    found = []
    if settings.azure == "arm":
        missing = [f"`--{each.replace('_', '-')}`" for each in needed if not getattr(settings, each)]
        found += [f"{each} is missing: `--azure arm` needs it" for each in missing]
    if settings.pool_reserve >= settings.pool_limit:
        found.append("`--pool-reserve` must be less than `--pool-limit`: no pool could be made")
    if settings.list_period < 1 or settings.idle_period < settings.list_period:
        found.append(
            "`--list-period` must be at least 1s and `--idle-period` no shorter: AKS allows one read per second"
        )
    if settings.orphan_age < timedelta(seconds=2 * settings.settle):
        found.append("`--orphan-age` must be at least twice `--settle`: a pool that is just being made is no orphan")
    if settings.repair_after < timedelta(minutes=1):
        found.append(
            "`--repair-after` must be at least 1m: a Node that joins is not ready at first; to repair none, write"
            " `--node-repair false`"
        )
    if settings.sweep_period < SHORTEST_SWEEP:
        found.append(f"`--sweep-period` must be at least {SHORTEST_SWEEP}s: each search lists every claim")
    if settings.context and not settings.kubeconfig:
        found.append("`--context` needs `--kubeconfig`")
    if settings.metrics_port == settings.health_port != 0:
        found.append("`--metrics-port` and `--health-port` must differ")
    return found


def _as_flag(problem: str) -> str:
    """The field that a problem of a node class begins with, spelled as the flag that it came from."""
    _, name, rest = problem.split("`", 2)
    return f"`--{name.replace('_', '-')}`{rest}"


def _classes(settings: Settings) -> tuple[dict[str, NodeClass], list[str]]:
    wrong = [_as_flag(each) for each in nodeclass.problems(settings.default_class)]
    if not settings.node_classes:
        return {}, wrong
    classes, complaints = read_classes(Path(settings.node_classes), settings.default_class)
    return classes, wrong + complaints
