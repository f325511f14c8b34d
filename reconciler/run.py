"""The process: connect, listen, wait for the lease, work until it is lost or somebody says stop."""

import asyncio
import logging
import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from reconciler.azure import AgentPools
from reconciler.azure.throttle import ThrottledPools
from reconciler.clock import loop_time, wall_clock
from reconciler.controller import Controller
from reconciler.errors import Trouble
from reconciler.kube.api import KubeApi, Transport, configure
from reconciler.metrics import Metrics
from reconciler.runtime.elector import Elector
from reconciler.serve import serving
from reconciler.settings import Settings
from reconciler.simulate import Delays, Machines, SimulatedAks
from reconciler.simulate.writer import ApiNodeWriter
from reconciler.telemetry import Telemetry

LOG = logging.getLogger(__name__)
LOST_LEASE = 1
LAG_PERIOD = 1.0


def _end_process() -> None:
    """Nothing is tidied up: whatever still runs must not write once more."""
    os._exit(LOST_LEASE)


async def run(settings: Settings) -> int:
    async with AsyncExitStack() as stack:
        configuration = await configure(settings.kubeconfig, settings.context)
        kube = KubeApi(configuration, settings.lease_namespace, settings.lease_name, wall_clock)
        stack.push_async_callback(kube.close)
        metrics = Metrics()
        pools = await stack.enter_async_context(azure(settings))
        throttled = ThrottledPools(pools, metrics.counted, metrics.waited)
        elector = _elector(settings, kube)
        may_write = (lambda: elector.may_write) if elector else (lambda: True)
        controller = Controller(settings, wall_clock, kube, throttled, may_write, metrics)
        telemetry = Telemetry(controller, elector, wall_clock)
        ports = await stack.enter_async_context(
            serving(telemetry, settings.bind, settings.metrics_port, settings.health_port)
        )
        LOG.info("started", extra={"metrics_port": ports[0], "health_port": ports[1], "azure": settings.azure})
        await _until_stopped(controller, elector, telemetry)
    return 0


def _elector(settings: Settings, kube: KubeApi) -> Elector | None:
    """With a name of its own for each process: a pod that starts again must not take itself for the one before."""
    if not settings.leader_election:
        return None
    return Elector(kube.leases(), f"{settings.holder}_{uuid.uuid4().hex[:8]}", _end_process)


async def _until_stopped(controller: Controller, elector: Elector | None, telemetry: Telemetry) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watching: asyncio.Task[object] = asyncio.create_task(controller.watch())
    leading: asyncio.Task[object] = asyncio.create_task(_lead(controller, elector))
    measuring: asyncio.Task[object] = asyncio.create_task(_measure_lag(telemetry))
    stopping: asyncio.Task[object] = asyncio.create_task(stop.wait())
    tasks: tuple[asyncio.Task[object], ...] = (watching, leading, measuring, stopping)
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    # The work ends before the lease is given back, which `_lead` does last.
    for task in (leading, measuring, stopping, watching):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    for task in done - {stopping}:
        task.result()


async def _lead(controller: Controller, elector: Elector | None) -> None:
    if elector is None:
        await controller.work()
        return
    electing = asyncio.create_task(elector.run())
    try:
        await elector.elected.wait()
        LOG.info("leads", extra={"identity": elector.identity})
        await controller.work()
    finally:
        electing.cancel()
        with suppress(asyncio.CancelledError):
            await electing


async def _measure_lag(telemetry: Telemetry) -> None:
    while True:
        before = loop_time()
        await asyncio.sleep(LAG_PERIOD)
        telemetry.lag = loop_time() - before - LAG_PERIOD


@asynccontextmanager
async def azure(settings: Settings) -> AsyncIterator[AgentPools]:
    """The Azure that the settings ask for; the simulated one brings its Nodes."""
    if settings.azure == "simulated":
        async with _simulated(settings) as pools:
            yield pools
        return
    # The SDK and the sign-in take half of the start-up time; a laptop's demo does without.
    from reconciler.azure.arm import ArmPools, arm_client  # noqa: PLC0415
    from reconciler.azure.credential import Renewing, credential  # noqa: PLC0415

    async with Renewing(lambda: credential(settings)) as identity:
        arm = ArmPools(arm_client(identity, settings.subscription_id), settings.resource_group, settings.cluster_name)
        try:
            yield arm
        finally:
            await arm.close()


def _fault(code: str | None) -> Trouble | None:
    return Trouble(code, "as `--simulated-faults` asks") if code else None


@asynccontextmanager
async def _simulated(settings: Settings) -> AsyncIterator[SimulatedAks]:
    delays = Delays().faster(settings.simulated_speed)
    faults = settings.simulated_faults
    aks = SimulatedAks(delays, settings.pool_limit, fail=lambda pool: _fault(faults.get(pool.offering.size)))
    own = settings.simulated_kubeconfig
    transport = Transport(await configure(own or settings.kubeconfig, "" if own else settings.context))
    machines = asyncio.create_task(Machines(aks, ApiNodeWriter(transport), wall_clock).run())
    try:
        yield aks
    finally:
        machines.cancel()
        with suppress(asyncio.CancelledError):
            await machines
        await transport.close()
