"""What if another program writes what we write, as a second provisioner or a leader that was cut off would?

Neither may answer the other at once and without end: each write costs the API server, and wakes KAITO.
"""

import asyncio
from dataclasses import replace

import pytest

from reconciler import names
from reconciler.azure import AzureError
from reconciler.errors import Trouble
from reconciler.runtime.queue import BURST, PACE
from tests.reconciler.fake_kube import claim_body
from tests.reconciler.world import DELAYS, Wire, World, scene

SECONDS = 120
ENOUGH = BURST + SECONDS / PACE + 20


async def _contradict(world: World) -> None:
    """Write another status whenever it is ours."""
    while True:
        await asyncio.sleep(0.01)
        conditions = (world.claim().get("status") or {}).get("conditions") or []
        if any(each["reason"] == "Creating" for each in conditions):
            changed = [each | {"reason": "Elsewhere", "message": "as another program sees it"} for each in conditions]
            world.kube.claim_store.patch("ws1", "", {"conditions": changed}, "status")


@pytest.mark.parametrize("delete", [False, True], ids=["alive", "deleted"])
def test_a_status_that_somebody_else_writes_too_is_not_fought_over(*, delete: bool) -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: "ws1" in world.pools())
        other = asyncio.create_task(_contradict(world))
        before = len(world.kube.writes)
        await asyncio.sleep(SECONDS)
        assert 3 <= len(world.kube.writes) - before <= ENOUGH
        if delete:
            world.kube.claim_store.delete("ws1")
            await world.until(lambda: world.ours() == [], 600)
        other.cancel()
        if not delete:
            await world.until(world.ready)

    scene(test, delays=replace(DELAYS, create=2.0 * SECONDS))


def test_two_leaders_that_see_different_lists_do_not_answer_each_other_without_end() -> None:
    """One cannot LIST any more and believes that the pool is being created; the other sees that it is deleted."""

    async def test(world: World) -> None:
        blind = False

        def refuse(name: str) -> None:
            if blind and name == "azure.list":
                raise AzureError(Trouble("InternalServerError", "oops"), 500)

        world.launch(Wire(before_call=refuse))
        world.kube.claim_store.create(claim_body())
        await world.until(lambda: world.conditions().get("Launched") == ("Unknown", "Creating"))
        await asyncio.sleep(20)
        blind = True
        await world.aks.delete("ws1", "")
        world.launch()
        before = len(world.kube.writes)
        await asyncio.sleep(SECONDS)
        assert len(world.kube.writes) - before <= 2 * ENOUGH
        await world.processes[0].kill()
        await world.until(world.ready)

    scene(test, delays=replace(DELAYS, delete=2.0 * SECONDS), start=False)


def test_a_finalizer_that_somebody_takes_off_is_not_put_back_without_end() -> None:
    async def test(world: World) -> None:
        world.kube.claim_store.create(claim_body())
        await world.until(world.ready)
        before, end = len(world.kube.writes), asyncio.get_running_loop().time() + SECONDS
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)
            world.kube.claim_store.patch("ws1", "", {"metadata": {"finalizers": []}})
        assert 3 <= len(world.kube.writes) - before <= ENOUGH
        await world.until(lambda: world.claim()["metadata"]["finalizers"] == [names.TERMINATION_FINALIZER], 60)

    scene(test)
