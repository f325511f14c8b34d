"""Whatever happens in whatever order: no pool of ours without its claim, at no time, and calm in the end.

The search for orphans is switched off, so the finalizers alone must hold. What people do to a claim's own protection
(take the finalizer off, change the tags) is not in it: for that there are searches and disputes, tested elsewhere.
"""

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reconciler.azure import AzureError, LostError
from reconciler.errors import Trouble
from reconciler.kube import GoneError, KubeError
from reconciler.nodepool import Pool
from tests.reconciler.fake_kube import claim_body
from tests.reconciler.virtual import VirtualLoop
from tests.reconciler.world import SETTINGS, Process, Wire, World

NAMES = st.sampled_from(["ws1", "ws2", "ws3"])
SIZES = st.sampled_from(["Standard_NC24ads_A100_v4", "Standard_NC40ads_H100_v5", "Standard_D16s_v5"])
FAULTS: dict[str, Exception] = {
    "409": AzureError(Trouble("OperationNotAllowed", "Another operation is in progress"), 409),
    "412": AzureError(Trouble("PreconditionFailed", "changed"), 412),
    "429": AzureError(Trouble("Throttled", "slow down"), 429, retry_after=20),
    "500": AzureError(Trouble("InternalServerError", "oops"), 500),
    "403": AzureError(Trouble("AuthorizationFailed", "no right"), 403),
    "lost": LostError("no answer"),
}
FOREIGN = Pool("theirs", "Failed", size="Standard_D4s_v5")
CALM = 3 * 3600.0


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        asyncio.set_event_loop(self.loop)
        self.faults: list[tuple[str, bool]] = []
        self.play(self._begin())

    def play(self, scene: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(scene)

    async def _begin(self) -> None:
        self.world = World(replace(SETTINGS, sweep_period=1e9, settle=30.0))
        self.foreign = self.world.aks.put(FOREIGN)
        self.process = self._launch()

    def _launch(self) -> Process:
        return self.world.launch(Wire(before_call=self._fault_before, lost_answer=self._fault_after))

    def _fault_before(self, name: str) -> None:
        if name.startswith("azure.") and self.faults and not self.faults[0][1]:
            raise FAULTS[self.faults.pop(0)[0]]

    def _fault_after(self, name: str) -> Exception | None:
        if name.startswith("azure.") and self.faults and self.faults[0][1]:
            self.faults.pop(0)
            return LostError("the answer was lost")
        return None

    @rule(name=NAMES, size=SIZES)
    def create_claim(self, name: str, size: str) -> None:
        if name not in self.world.kube.claim_store.items:
            self.play(self._now(lambda: self.world.kube.claim_store.create(claim_body(name, size))))

    @rule(name=NAMES)
    def delete_claim(self, name: str) -> None:
        if name in self.world.kube.claim_store.items:
            self.play(self._now(lambda: self.world.kube.claim_store.delete(name)))

    async def _now(self, change: Any) -> None:
        change()

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 10.0, 40.0, 100.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.play(asyncio.sleep(seconds))

    @rule(calls=st.integers(0, 4), after=st.booleans())
    def process_dies(self, calls: int, after: bool) -> None:
        self.play(self._die(calls, after=after))

    async def _die(self, calls: int, *, after: bool) -> None:
        wire = self.process.wire
        wire.crash_at, wire.after = len(wire.calls) + calls, after
        try:
            async with asyncio.timeout(60):
                await wire.died.wait()
        except TimeoutError:
            wire.died.set()
        await self.process.kill()
        self.process = self._launch()

    @rule(fault=st.sampled_from(sorted(FAULTS)), times=st.integers(1, 3))
    def azure_refuses(self, fault: str, times: int) -> None:
        self.faults += [(fault, False)] * times

    @rule()
    def azure_s_answer_is_lost(self) -> None:
        self.faults.append(("lost", True))

    @rule(code=st.sampled_from(["AllocationFailed", "VMExtensionProvisioningTimeout", "SkuNotAvailable"]))
    def next_pool_fails(self, code: str) -> None:
        failing = [Trouble(code, "as the test asks")]
        self.world.aks.fail = lambda _pool: failing.pop() if failing else None

    @rule(name=NAMES)
    def pool_is_deleted_by_hand(self, name: str) -> None:
        if name in self.world.pools():
            self.play(self._now(lambda: self.world.aks.remove(name)))

    @rule(name=NAMES)
    def node_is_deleted_by_hand(self, name: str) -> None:
        for node in list(self.world.kube.node_store.items):
            if f"aks-{name}-" in node:
                self.play(self._delete_node(node))

    async def _delete_node(self, node: str) -> None:
        try:
            self.world.kube.node_store.delete(node)
        except GoneError:
            return

    @rule(seconds=st.sampled_from([5.0, 60.0, 300.0]))
    def watches_go_silent(self, seconds: float) -> None:
        self.world.kube.claim_store.deaf_until = self.loop.time() + seconds
        self.world.kube.node_store.deaf_until = self.loop.time() + seconds / 2

    @rule(refused=st.booleans())
    def statuses_cannot_be_written(self, refused: bool) -> None:
        self.world.kube.status_refused = refused

    @rule(name=NAMES)
    def an_image_is_upgraded(self, name: str) -> None:
        pool = self.world.pools().get(name)
        if pool and pool.state == "Succeeded":
            self.play(self._upgrade(name))

    async def _upgrade(self, name: str) -> None:
        self.world.aks.upgrade(name)
        await asyncio.sleep(60)
        if name in self.world.pools() and self.world.pools()[name].state == "UpgradingNodeImageVersion":
            self.world.aks.finish_upgrade(name)

    @rule(running=st.booleans())
    def the_cluster_stops_or_starts(self, running: bool) -> None:
        power = "Running" if running else "Stopped"
        self.world.aks.state = replace(self.world.aks.state, power=power)

    @rule(seconds=st.sampled_from([5.0, 60.0]))
    def a_second_leader_is_alive(self, seconds: float) -> None:
        self.play(self._second(seconds))

    async def _second(self, seconds: float) -> None:
        second = self._launch()
        await asyncio.sleep(seconds)
        await second.kill()

    @invariant()
    def every_pool_of_ours_has_its_claim(self) -> None:
        alive = {body["metadata"]["uid"] for body in self.world.kube.claim_store.items.values()}
        assert [pool.name for pool in self.world.ours() if pool.uid not in alive] == []

    @invariant()
    def nothing_of_others_is_touched(self) -> None:
        assert self.world.pools()["theirs"] == self.foreign

    def teardown(self) -> None:
        try:
            self.play(self._calm())
        finally:
            self.play(self.world.close())
            asyncio.set_event_loop(None)
            self.loop.close()

    async def _calm(self) -> None:
        self.faults.clear()
        self.world.aks.fail = lambda _pool: None
        self.world.aks.state = replace(self.world.aks.state, power="Running")
        self.world.kube.status_refused = False
        await asyncio.sleep(CALM)
        names = list(self.world.kube.claim_store.items)
        assert [name for name in names if not self.world.ready(name)] == [], self.world.describe()
        for name in names:
            try:
                self.world.kube.claim_store.delete(name)
            except KubeError as error:
                raise AssertionError(name) from error
        await asyncio.sleep(1200)
        assert self.world.describe().endswith("claims [] pools [('theirs', 'Failed')]"), self.world.describe()
        assert self.world.kube.node_store.items == {}


TestSoon = AnyOrder.TestCase
TestSoon.settings = settings(
    max_examples=8, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


class _Long(AnyOrder):
    pass


SOAK = bool(os.environ.get("SOAK"))
FIRST_FOUND = (Phase.explicit, Phase.reuse, Phase.generate)
"""To look for fewer steps that fail takes minutes of silence: the soak does it, `make test` prints what it found."""

TestLong = pytest.mark.slow(_Long.TestCase)
TestLong.settings = settings(
    max_examples=20_000 if SOAK else 200,
    stateful_step_count=100,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(*FIRST_FOUND, Phase.shrink) if SOAK else FIRST_FOUND,
)
