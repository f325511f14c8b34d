"""Do the figures say what is so, under the names that alerts read, and do probes fail only where a restart helps?"""

import asyncio
import json
import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import generate_latest

from reconciler import names
from reconciler.errors import Trouble
from reconciler.health import Pulse, sick, unready
from reconciler.kube import KubeError
from reconciler.logs import JsonFormatter
from reconciler.prices import read_prices
from reconciler.telemetry import PHASES, Telemetry
from tests.reconciler.fake_kube import claim_body
from tests.reconciler.making import SIZE
from tests.reconciler.test_collect import an_orphan
from tests.reconciler.world import DELAYS, SETTINGS, World, scene

NAMES = {
    "leader",
    "lease_renewed_timestamp_seconds",
    "last_list_timestamp_seconds",
    "last_watch_event_timestamp_seconds",
    "nodeclaims",
    "nodepools",
    "nodepool_limit",
    "orphan_oldest_seconds",
    "orphan_usd_per_hour",
    "queue_depth",
    "queue_oldest_seconds",
    "azure_requests_total",
    "throttle_wait_seconds_total",
    "launch_failures_total",
    "collect_refusals_total",
    "nodepool_create_seconds_count",
}
PRICES = "catalog/facts/skus.yaml"


def figures(world: World) -> dict[str, float]:
    process = world.processes[0]
    registry = Telemetry(process.controller, process.elector, world.now).update().registry
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    return {
        line.rpartition(" ")[0].removeprefix("kaitops_reconciler_"): float(line.rpartition(" ")[2]) for line in lines
    }


def test_every_name_that_an_alert_reads_is_there() -> None:
    async def test(world: World) -> None:
        world.aks.refuse = lambda pool: Trouble("SkuNotAvailable", "no") if pool.name == "ws2" else None
        for name in ("ws1", "ws2"):
            world.kube.claim_store.create(claim_body(name))
        world.aks.put(an_orphan())
        await asyncio.sleep(400)
        process = world.processes[0]
        process.controller.metrics.counted("list", "200")
        process.controller.metrics.collect_refusals.labels("ClaimsOdd").inc()
        found = figures(world)
        assert {name.partition("{")[0] for name in found} >= NAMES

    scene(test)


def test_the_figures_say_what_is_so() -> None:
    async def test(world: World) -> None:
        world.aks.refuse = lambda pool: Trouble("SkuNotAvailable", "no") if pool.name == "ws2" else None
        for name in ("ws1", "ws2"):
            world.kube.claim_store.create(claim_body(name))
        world.aks.put(an_orphan())
        await asyncio.sleep(200)
        found = figures(world)
        assert found['nodeclaims{phase="Ready"}'] == 1
        assert found['nodeclaims{phase="Pending"}'] == 1
        assert found['nodepools{ownership="ours",state="Succeeded"}'] == 1
        assert found['nodepools{ownership="orphan",state="Succeeded"}'] == 1
        assert found['nodepools{ownership="foreign",state="Succeeded"}'] == 1
        assert found["orphan_usd_per_hour"] == pytest.approx(3.673)
        assert found["orphan_oldest_seconds"] > timedelta(hours=20).total_seconds()
        assert found['launch_failures_total{reason="SkuNotAvailable"}'] == 1
        assert found["nodepool_create_seconds_count"] == 1
        assert DELAYS.create <= found["nodepool_create_seconds_sum"] <= 180
        assert found["leader"] == 1
        assert world.now().timestamp() - found["last_list_timestamp_seconds"] <= 30
        assert world.now().timestamp() - found["last_watch_event_timestamp_seconds"] <= 70
        assert found["nodepool_limit"] == 100

    scene(test, replace(SETTINGS, prices=PRICES))


def test_each_phase_of_a_life_is_counted() -> None:
    async def test(world: World) -> None:
        seen = []
        world.kube.claim_store.create(claim_body())
        for step in range(700):
            if step == 500:
                world.kube.claim_store.delete("ws1")
            found = [each for each in PHASES if figures(world)[f'nodeclaims{{phase="{each}"}}']]
            seen += [each for each in found if each not in seen]
            await asyncio.sleep(1)
        assert seen == ["Pending", "Creating", "Launched", "Registered", "Ready", "Terminating"]

    scene(test, delays=replace(DELAYS, join=60.0, ready=150.0))


WELL = Pulse(lag=0.0, watch_silence=1.0, list_silence=1.0, synced=True)


@pytest.mark.parametrize(
    ("pulse", "ill"),
    [
        (WELL, 0),
        (replace(WELL, lag=11.0), 1),
        (replace(WELL, watch_silence=1000.0), 0),
        (replace(WELL, list_silence=1000.0), 0),
        (replace(WELL, watch_silence=1000.0, list_silence=1000.0), 1),
    ],
)
def test_a_restart_is_asked_for_only_where_it_helps(pulse: Pulse, ill: int) -> None:
    assert len(sick(pulse)) == ill


def test_ready_is_who_knows_claims_and_nodes() -> None:
    assert unready(WELL) == []
    assert len(unready(replace(WELL, synced=False))) == 1


def test_a_log_line_is_json_with_its_facts() -> None:
    record = logging.makeLogRecord(
        {"msg": "node pool refused", "levelname": "WARNING", "claim": "ws1", "correlation": "c-1"}
    )
    said = json.loads(JsonFormatter().format(record))
    assert (said["level"], said["message"], said["claim"], said["correlation"]) == (
        "warning",
        "node pool refused",
        "ws1",
        "c-1",
    )


def test_prices_come_from_the_catalog_and_are_never_guessed() -> None:
    assert read_prices(PRICES, "eastus")[SIZE] == 3.673
    assert SIZE not in read_prices(PRICES, "nowhere")
    assert read_prices("", "eastus") == {}


def test_events_are_told_once() -> None:
    async def test(world: World) -> None:
        world.aks.limit = 1
        world.aks.put(an_orphan("ws1", tags={}, labels={}))
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.claim_or_none() is None, 900)
        assert [each["reason"] for each in world.kube.events] == ["LaunchTimeout"]
        assert world.kube.events[0]["involvedObject"]["kind"] == names.KIND

    scene(test)


def test_an_event_that_cannot_be_recorded_stops_nothing() -> None:
    async def test(world: World) -> None:
        def refuse(name: str) -> None:
            if name == "kube.record":
                raise KubeError("no right", 403)

        world.processes[0].wire.before_call = refuse
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready)
        assert world.kube.events == []

    scene(test)
