"""The machines of the simulated AKS become Nodes at the API server, and their Nodes go with them."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from reconciler.clock import Clock, loop_time
from reconciler.duration import format_time
from reconciler.kube import ConflictError, GoneError, KubeError
from reconciler.simulate.aks import Machine, node_of, status_of

LOG = logging.getLogger(__name__)
Object = dict[str, Any]


class NodeWriter(Protocol):
    """What kubelets and the cloud's node manager may do at the API server."""

    async def create_node(self, body: Object) -> None: ...

    async def patch_node_status(self, name: str, status: Object) -> None: ...

    async def remove_node(self, name: str) -> None: ...


class Cloud(Protocol):
    def machines(self) -> Sequence[Machine]:
        """Those that exist now."""


@dataclass
class Machines:
    aks: Cloud
    writer: NodeWriter
    clock: Clock
    period: float = 1.0
    _nodes: dict[str, bool] = field(default_factory=dict)
    """The Nodes that we made, and whether they are ready."""

    async def run(self) -> None:
        while True:
            try:
                await self.step()
            except KubeError as error:
                LOG.info("a simulated machine could not write its Node", extra={"cause": str(error)})
            await asyncio.sleep(self.period)

    async def step(self) -> None:
        now = loop_time()
        machines = {machine.name: machine for machine in self.aks.machines()}
        for name, machine in machines.items():
            if name not in self._nodes and machine.joined <= now:
                await self._join(machine)
            if self._nodes.get(name) is False and machine.ready <= now:
                await self._get_ready(machine)
        for name in [each for each in self._nodes if each not in machines]:
            await self._go(name)

    async def _join(self, machine: Machine) -> None:
        try:
            await self.writer.create_node(node_of(machine, ready=False, since=format_time(self.clock())))
        except ConflictError:
            LOG.debug("node exists", extra={"node": machine.name})
        self._nodes[machine.name] = False

    async def _get_ready(self, machine: Machine) -> None:
        try:
            status = status_of(machine, ready=True, since=format_time(self.clock()))
            await self.writer.patch_node_status(machine.name, status)
            self._nodes[machine.name] = True
        except GoneError:
            self._nodes[machine.name] = True

    async def _go(self, name: str) -> None:
        try:
            await self.writer.remove_node(name)
        except GoneError:
            LOG.debug("node is gone", extra={"node": name})
        del self._nodes[name]
