"""Whatever state Azure says a pool is in, is the right thing done, once, and never more than is wanted?"""

import asyncio
from dataclasses import replace

import pytest

from reconciler import names
from reconciler.errors import Trouble
from tests.reconciler.fake_kube import claim_body
from tests.reconciler.world import DELAYS, World, scene

TRANSIENT = Trouble("VMExtensionProvisioningTimeout", "no heartbeat")


async def being_made(world: World) -> None:
    world.kube.claim_store.create(claim_body())
    await world.until(lambda: world.conditions().get(names.LAUNCHED) == ("Unknown", "Creating"))


def in_state(world: World, state: str, error: Trouble | None = None) -> None:
    """Azure says so, whatever was going on."""
    world.aks._records["ws1"].ends = None
    world.aks.edit("ws1", state=state, error=error)


@pytest.mark.parametrize("state", ["Updating", "Scaling", "Migrating", "Frobnicating", ""])
def test_a_state_that_is_no_end_is_waited_for(state: str) -> None:
    async def test(world: World) -> None:
        await being_made(world)
        in_state(world, state)
        await asyncio.sleep(1200)
        assert world.conditions()[names.LAUNCHED] == ("Unknown", "Creating")
        assert world.pools()["ws1"].state == state
        in_state(world, "Succeeded")
        await world.until(lambda: world.conditions()[names.LAUNCHED] == ("True", "Launched"), 60)

    scene(test)


def test_a_state_that_never_ends_is_given_up_after_the_create_timeout() -> None:
    async def test(world: World) -> None:
        await being_made(world)
        in_state(world, "Frobnicating")
        await world.until(lambda: world.aks.puts == ["ws1", "ws1"], 3600)
        await world.until(world.ready)

    scene(test)


@pytest.mark.parametrize(
    ("state", "error", "reason"),
    [
        ("Failed", None, "LaunchFailed"),
        ("Canceled", None, "LaunchFailed"),
        ("Failed", TRANSIENT, "BootstrapFailed"),
        ("Failed", Trouble("NeverHeardOf", "words of Azure"), "LaunchFailed"),
        ("Failed", Trouble("", "", (TRANSIENT,)), "BootstrapFailed"),
    ],
    ids=["no detail", "cancelled", "with detail", "unknown code", "cause within"],
)
def test_a_pool_that_failed_is_told_deleted_and_made_again(state: str, error: Trouble | None, reason: str) -> None:
    async def test(world: World) -> None:
        await being_made(world)
        in_state(world, state, error)
        await world.until(lambda: world.conditions()[names.LAUNCHED] == ("False", reason), 60)
        await world.until(lambda: world.aks.puts == ["ws1", "ws1"], 600)
        await world.until(world.ready)

    scene(test)


def test_a_pool_that_somebody_deletes_while_it_is_made_is_made_again() -> None:
    async def test(world: World) -> None:
        await being_made(world)
        await world.aks.delete("ws1", "")
        await world.until(lambda: world.conditions()[names.LAUNCHED] == ("Unknown", "Deleting"), 60)
        await world.until(world.ready)
        assert world.aks.puts == ["ws1", "ws1"]

    scene(test)


def test_a_pool_that_is_updated_after_it_was_launched_changes_nothing() -> None:
    async def test(world: World) -> None:
        await being_made(world)
        await world.until(world.ready)
        writes = len(world.kube.writes)
        for state in ("Updating", "UpgradingNodeImageVersion", "Failed", "Succeeded"):
            world.aks.edit("ws1", state=state)
            await asyncio.sleep(600)
            assert world.ready()
        assert len(world.kube.writes) == writes
        assert world.aks.puts == ["ws1"]

    scene(test)


def test_a_restart_while_the_pool_is_made_goes_on_with_it() -> None:
    async def test(world: World) -> None:
        await being_made(world)
        await world.processes[0].kill()
        world.launch()
        await world.until(world.ready)
        assert world.aks.puts == ["ws1"]
        assert "azure.create" not in world.processes[1].wire.calls

    scene(test)


def test_a_node_that_joins_late_is_found() -> None:
    async def test(world: World) -> None:
        await being_made(world)
        await world.until(lambda: world.conditions()[names.REGISTERED] == ("Unknown", "NodeNotFound"))
        await world.until(world.ready, 1200)

    scene(test, delays=replace(DELAYS, join=800.0))


def test_should_not_scale_up_without_end_while_every_pool_fails() -> None:
    """KAITO makes a claim with another name whenever one is missing."""

    async def test(world: World) -> None:
        world.aks.fail = lambda _pool: TRANSIENT
        made, most = 0, 0
        for _ in range(4 * 3600):
            await asyncio.sleep(1)
            if not world.kube.claim_store.items:
                made += 1
                world.kube.claim_store.create(claim_body(f"ws{made}"))
            most = max(most, len(world.pools()))
        assert most == 1
        assert 3 * made - 3 <= len(world.aks.puts) <= 3 * made
        assert len(world.aks.puts) <= 4 * 3600 / (DELAYS.create + DELAYS.delete)

    scene(test)


def test_should_skip_the_drain_when_the_machine_is_gone() -> None:
    async def test(world: World) -> None:
        await being_made(world)
        await world.until(world.ready)
        node = world.claim()["status"]["nodeName"]
        metadata = {"name": "web", "namespace": "team-a", "uid": "pod-web"}
        world.kube.pods["web"] = {"metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": "Running"}}
        world.kube.blocked.add("web")
        world.aks._records["ws1"].machines = ()
        world.kube.claim_store.delete("ws1")
        world.aks.remove("ws1")
        await world.until(lambda: world.claim_or_none() is None, 120)
        assert world.kube.node_store.items == {}

    scene(test)


def test_should_write_the_generation_that_it_saw() -> None:
    async def test(world: World) -> None:
        await being_made(world)
        await world.until(world.ready)
        world.kube.claim_store.patch("ws1", "", {"metadata": {"generation": 3}})
        await asyncio.sleep(60)
        assert world.ready()
        conditions = world.claim()["status"]["conditions"]
        assert {each["observedGeneration"] for each in conditions} == {3}

    scene(test)


@pytest.mark.parametrize("storage", ["107374182400", "100Gi", "0.1Ti", "102400Mi", "107374182400000m"])
def test_should_end_a_claim_whatever_way_its_quantities_are_written(storage: str) -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body(resources={"requests": {"storage": storage}}))
        await world.until(world.ready)
        assert world.claim()["spec"]["resources"]["requests"]["storage"] == storage
        world.kube.claim_store.delete("ws1")
        await world.until(lambda: world.claim_or_none() is None, 300)

    scene(test)
