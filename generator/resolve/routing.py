"""How a model is reached: prefixes at the gateway, hosts, timeouts, and who else wants the same."""

import re
from collections import defaultdict
from collections.abc import Iterable

from generator.finding import Finding, Place
from generator.model import Model
from generator.model.model import ModelSpec
from generator.placement import ModelPlacement, Prefix, Route
from generator.resolve.context import Context

GATEWAY = "inference-gateway"
SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
OPENAI = "/v1"
OWN_PATHS = ("/v1", "/chat", "/generate")
"""What our own server answers to clients; presets answer OpenAI's paths only."""


def seconds(duration: str) -> float:
    """A Gateway API duration, such as `2m30s`, in seconds."""
    return sum(int(amount) * SECONDS[unit] for amount, unit in re.findall(r"([0-9]+)(ms|h|m|s)", duration))


def build_route(context: Context[Model]) -> Route | None:
    spec = context.entry.value.spec
    if spec.route.exposure == "cluster":
        return None
    _check_timeout(context)
    host = spec.clusters[context.cluster.name].host
    _check_host(context, host)
    return Route(
        gateway=GATEWAY,
        gateway_namespace=context.spec_of_cluster.gateway.namespace,
        hosts=(host,) if host else (),
        prefixes=_prefixes(_base(spec, context.entry.name, host), own=spec.source.preset is None),
        timeout=spec.route.timeout,
    )


def _base(spec: ModelSpec, name: str, host: str | None) -> str:
    """A host of its own needs no prefix; at a shared host the model's name is one."""
    return spec.route.path or ("" if host else f"/{name}")


def _prefixes(path: str, *, own: bool) -> tuple[Prefix, ...]:
    """Only what clients need is reachable: never a model's metrics or probes, but for the default route."""
    if path == "/":
        return (Prefix(match="/", replace="/"),)
    return tuple(Prefix(match=path + inner, replace=inner) for inner in (OWN_PATHS if own else (OPENAI,)))


def _check_timeout(context: Context[Model]) -> None:
    """The timeout covers the whole answer, streamed or not: the longest one must fit at the promised pace."""
    spec = context.entry.value.spec
    timeout, pace, tokens = seconds(spec.route.timeout), spec.slo.itl, spec.serving.max_answer_tokens
    if not timeout or not pace or not tokens:
        return
    needed = tokens * pace.threshold_seconds
    if needed > timeout:
        message = (
            f"an answer of {tokens:,} tokens at {pace.threshold_seconds:g} s each takes {needed:,.0f} s, "
            f"longer than the route's timeout of {spec.route.timeout}"
        )
        where = (
            ("route", "timeout")
            if ("spec", "route", "timeout") in context.entry.file.places
            else ("serving", "maxAnswerTokens")
        )
        context.say("catalog/timeout", message, *where, hint=f"`route.timeout: {needed:.0f}s`, or shorter answers")


def _check_host(context: Context[Model], host: str | None) -> None:
    listener = context.spec_of_cluster.gateway.host
    where = ("clusters", context.cluster.name, "host")
    if host and listener and not listens_for(listener, host):
        message = f"the gateway of cluster `{context.cluster.name}` listens for `{listener}` only, never for `{host}`"
        context.say("catalog/host", message, *where, hint=f"use a host that `{listener}` covers")


def listens_for(listener: str, host: str) -> bool:
    return host == listener or (listener.startswith("*.") and host.endswith(listener[1:]))


def route_clashes(placements: Iterable[tuple[ModelPlacement, Place]]) -> list[Finding]:
    """Two models of one cluster must not want the same host and path."""
    taken: dict[tuple[str, str, str], list[tuple[ModelPlacement, Place]]] = defaultdict(list)
    for placement, place in placements:
        if placement.route and placement.running:
            for host in placement.route.hosts or ("",):
                for prefix in placement.route.prefixes:
                    taken[placement.cluster, host, prefix.match].append((placement, place))
    return [_clash(key, wanting) for key, wanting in taken.items() if len({p.name for p, _ in wanting}) > 1]


def _clash(key: tuple[str, str, str], wanting: list[tuple[ModelPlacement, Place]]) -> Finding:
    cluster, host, path = key
    (first, _), (second, place) = wanting[0], wanting[1]
    at = f"host `{host}`, path `{path}`" if host else f"path `{path}`"
    message = f"`{second.name}` and `{first.name}` both want {at} on cluster `{cluster}`"
    return Finding(place, "catalog/route-clash", message, "give one of them another `route.path` or `host`")
