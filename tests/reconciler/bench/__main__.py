"""`python -m tests.reconciler.bench [--quick]`: the reconciler's figures as a table, with a peer in the same run."""

import argparse
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass

from tests.bench.table import aligned
from tests.reconciler.bench.live import (
    measure_failover,
    measure_speed,
    measure_weight,
    percentile,
    stage,
)
from tests.reconciler.bench.virtual import Story, our_story, polling_story
from tests.reconciler.live import Reconciler

HEAD = ("figure", "measured", "polling stand-in", "goal", "clock")
WALL, VIRTUAL = "wall", "virtual"


@dataclass(frozen=True)
class Size:
    alone: int = 30
    together: int = 100
    resting: int = 500
    rest_seconds: float = 60.0
    failovers: int = 3


QUICK = Size(alone=3, together=10, resting=12, rest_seconds=5.0, failovers=1)


@dataclass(frozen=True)
class Row:
    figure: str
    measured: str
    peer: str = ""
    goal: str = ""
    clock: str = WALL


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.reconciler.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small fleet, to see whether the bench works")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    given = parser.parse_args()
    size = QUICK if given.quick else Size()
    logging.disable(logging.CRITICAL)
    rows: list[Row] = []
    for name, part in PARTS.items():
        if given.only in (None, name):
            found = part(size)
            rows += found
            for row in found:  # So that a run that is ended early was not in vain.
                _say(" | ".join(astuple(row)))
    sys.stdout.write(aligned([HEAD, *map(astuple, rows)]) + "\n")
    return 0


def _speed(size: Size) -> list[Row]:
    _say(f"{size.alone} claims one by one, then {size.together} at once")
    with stage() as here:
        speed = measure_speed(here, size.alone, size.together)
    ready, seen = speed.node_to_ready, speed.seen_to_put
    median = f"(median {percentile(seen, 0.5):.2f} s)"
    return [
        Row(f"claim seen -> PUT, idle, p99 of {size.alone}", f"{percentile(seen, 0.99):.2f} s {median}", goal="<= 2 s"),
        Row(f"{size.together} claims at once -> last PUT", f"{speed.burst:.1f} s", goal="<= 30 s"),
        Row(f"Node ready -> claim `Ready`, p99 of {len(ready)}", f"{percentile(ready, 0.99):.1f} s", goal="<= 15 s"),
        _writes(speed.writes),
    ]


def _weight(size: Size) -> list[Row]:
    _say(f"{size.resting} claims at rest")
    with stage() as here:
        weight = measure_weight(here, size.resting, size.rest_seconds)
    return [
        Row(f"memory with {weight.claims} claims", f"{weight.mib:.0f} MiB", goal="<= 150 MiB"),
        Row(f"processor with {weight.claims} claims at rest", f"{weight.core:.1%} of a core", goal="<= 5 %"),
    ]


def _failover(size: Size) -> list[Row]:
    _say(f"{size.failovers} leaders killed, and as many stopped")
    with stage() as here:
        killed = measure_failover(here, Reconciler.kill, size.failovers)
        stopped = measure_failover(here, Reconciler.stop, size.failovers)
    return [
        Row("failover after `kill -9`, worst", f"{max(killed):.1f} s", goal="<= 20 s"),
        Row("failover after a clean stop, worst", f"{max(stopped):.1f} s", goal="<= 3 s"),
    ]


def _writes(found: Mapping[str, float]) -> Row:
    claim, node, events = (found.get(kind, 0.0) for kind in ("nodeclaims", "nodes", "events"))
    said = f"{claim + node:.1f}: {claim:.1f} to the claim, {node:.1f} to its Node; and {events:.1f} events"
    return Row("writes to the API server in a claim's life", said, goal="<= 8")


def _asked(size: Size) -> list[Row]:
    _say(f"{size.together} claims through two hours, by us and by the stand-in that polls")
    ours, peer = our_story(size.together), polling_story(size.together)
    ready = percentile(list(ours.ready_after), 0.99)
    return [
        Row("Node ready -> claim `Ready`, p99", f"{ready:.0f} s", goal="<= 15 s", clock=VIRTUAL),
        _rate("ARM reads while nothing happens", ours, peer, "idle", "<= 0.05/s"),
        _rate(f"ARM reads during {size.together} creations", ours, peer, "creating", "<= 0.5/s"),
        _rate(f"ARM reads and DELETEs during {size.together} deletions", ours, peer, "deleting", "below 1/s"),
        _total("requests to ARM in all", ours, peer, "calls"),
        _total("requests that AKS throttled", ours, peer, "throttled"),
    ]


def _rate(figure: str, ours: Story, peer: Story, span: str, goal: str) -> Row:
    mine, theirs = (getattr(each, span).others_per_second for each in (ours, peer))
    return Row(figure, f"{mine:.3f}/s", f"{theirs:.3f}/s, {theirs / mine:.1f} x", goal, VIRTUAL)


def _total(figure: str, ours: Story, peer: Story, what: str) -> Row:
    mine, theirs = (
        sum(
            sum(each.calls.values()) if what == "calls" else each.throttled
            for each in (story.creating, story.idle, story.deleting)
        )
        for story in (ours, peer)
    )
    return Row(figure, str(mine), str(theirs), "0" if what == "throttled" else "", VIRTUAL)


PARTS: Mapping[str, Callable[[Size], list[Row]]] = {
    "speed": _speed,
    "weight": _weight,
    "failover": _failover,
    "asked": _asked,
}


def _say(words: str) -> None:
    sys.stderr.write(f"bench: {words}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
