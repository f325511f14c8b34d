"""Agent pools that take their time, have one etag per change, and fail when told to.

It knows no Kubernetes: `machines` are what would become Nodes, and `changed` tells when there are more or fewer. An
operation has an end in time and needs no task of its own: whoever looks, sees what would have happened until now.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler import names
from reconciler.azure import AzureError
from reconciler.clock import loop_time
from reconciler.desired import Desired
from reconciler.errors import Trouble
from reconciler.nodepool import Cluster, Pool


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds; those of real GPU pools are ten times these, and more."""

    create: float = 30.0
    join: float = 5.0
    """From the end of the creation to the Node."""
    ready: float = 10.0
    """From the Node to its readiness."""
    delete: float = 15.0

    def faster(self, times: float) -> "Delays":
        return Delays(*(getattr(self, each) / times for each in ("create", "join", "ready", "delete")))


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of a pool, as its kubelet would show it."""

    pool: Pool
    index: int
    joined: float
    ready: float
    taints: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"aks-{self.pool.name}-00000000-vmss{self.index:06d}"

    @property
    def provider_id(self) -> str:
        group = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/mc_simulated"
        scale_sets = f"azure://{group}/providers/Microsoft.Compute/virtualMachineScaleSets"
        return f"{scale_sets}/aks-{self.pool.name}-00000000-vmss/virtualMachines/{self.index}"


@dataclass
class _Record:
    pool: Pool
    ends: float | None = None
    """When its operation is over."""
    outcome: Trouble | None = None
    """How a creation ends, if not well."""
    machines: tuple[Machine, ...] = ()
    taints: tuple[str, ...] = ()


def _system() -> Pool:
    return Pool("systempool", "Succeeded", "etag-0", "Standard_D4s_v5", mode="System")


@dataclass
class SimulatedAks:
    """The port `AgentPools`; the methods beside it are the hands of Azure and of people."""

    delays: Delays = field(default_factory=Delays)
    limit: int = 100
    changed: Callable[[], None] = lambda: None
    refuse: Callable[[Desired], Trouble | None] = lambda _desired: None
    """What is refused at once."""
    fail: Callable[[Desired], Trouble | None] = lambda _desired: None
    """What fails after its time."""
    state: Cluster = Cluster("Running", "Succeeded")  # noqa: RUF009 -- it is frozen
    puts: list[str] = field(default_factory=list)
    """The names of all pools that were ever made."""
    _records: dict[str, _Record] = field(default_factory=lambda: {"systempool": _Record(_system())})
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def list(self) -> list[Pool]:
        self._advance()
        return [record.pool for record in self._records.values()]

    async def create(self, pool: Desired) -> None:
        self._advance()
        if pool.name in self._records:
            raise AzureError(Trouble("PreconditionFailed", "a pool of this name exists"), 412)
        if len(self._records) >= self.limit:
            raise AzureError(Trouble("MaxAgentPoolCountReached", f"the limit is {self.limit}"), 400)
        trouble = self.refuse(pool)
        if trouble is not None:
            raise AzureError(trouble, 400)
        made = _pool(pool, self._etag())
        ends = loop_time() + self.delays.create
        self._records[pool.name] = _Record(made, ends, self.fail(pool), taints=pool.taints)
        self.puts.append(pool.name)
        self.changed()

    async def delete(self, name: str, etag: str) -> None:
        self._advance()
        record = self._records.get(name)
        if record is None or record.pool.deleting:
            return
        if etag and etag != record.pool.etag:
            raise AzureError(Trouble("PreconditionFailed", "the pool has changed"), 412)
        self._change(record, state="Deleting", error=None)
        record.ends = loop_time() + self.delays.delete
        self.changed()

    async def tag(self, name: str, etag: str, tags: Mapping[str, str]) -> None:
        self._advance()
        record = self._records.get(name)
        if record is None:
            raise AzureError(Trouble("NotFound", "no such pool"), 404)
        if etag and etag != record.pool.etag:
            raise AzureError(Trouble("PreconditionFailed", "the pool has changed"), 412)
        self._change(record, tags={**record.pool.tags, **tags})

    async def cluster(self) -> Cluster:
        return self.state

    def machines(self) -> Sequence[Machine]:
        """Those that exist now; a pool that is being deleted still has its own."""
        self._advance()
        return [machine for record in self._records.values() for machine in record.machines]

    def next_change(self) -> float | None:
        """When an operation ends."""
        return min((record.ends for record in self._records.values() if record.ends is not None), default=None)

    def put(self, pool: Pool, machines: int = 0) -> Pool:
        """Somebody else's doing: a pool as given, at once."""
        record = _Record(replace(pool, etag=self._etag()))
        record.machines = tuple(self._machine(record, loop_time()) for _ in range(machines))
        self._records[pool.name] = record
        self.changed()
        return record.pool

    def remove(self, name: str) -> None:
        """Somebody else's doing: the pool is gone at once."""
        self._records.pop(name, None)
        self.changed()

    def edit(self, name: str, **fields: object) -> None:
        """Somebody else's doing: the pool changes."""
        self._change(self._records[name], **fields)

    def upgrade(self, name: str) -> None:
        """A second machine joins while the first is still there."""
        record = self._records[name]
        self._change(record, state="UpgradingNodeImageVersion")
        record.machines = (*record.machines, self._machine(record, loop_time()))
        self.changed()

    def finish_upgrade(self, name: str) -> None:
        """The first machine is taken away."""
        record = self._records[name]
        record.machines = record.machines[1:]
        self._change(record, state="Succeeded")
        self.changed()

    def _etag(self) -> str:
        return f"etag-{next(self._numbers)}"

    def _change(self, record: _Record, **fields: object) -> None:
        values = {each: getattr(record.pool, each) for each in Pool.__dataclass_fields__}
        record.pool = Pool(**{**values, **fields, "etag": self._etag()})

    def _machine(self, record: _Record, at: float) -> Machine:
        joined = at + self.delays.join
        return Machine(record.pool, next(self._numbers), joined, joined + self.delays.ready, record.taints)

    def _advance(self) -> None:
        now = loop_time()
        for name, record in list(self._records.items()):
            if record.ends is None or record.ends > now:
                continue
            ended, record.ends = record.ends, None
            if record.pool.deleting:
                del self._records[name]
            elif record.outcome is not None:
                self._change(record, state="Failed", error=record.outcome)
            else:
                self._change(record, state="Succeeded")
                record.machines = (self._machine(record, ended),)


def _pool(asked: Desired, etag: str) -> Pool:
    offering = asked.offering
    return Pool(
        name=asked.name,
        state="Creating",
        etag=etag,
        size=offering.size,
        spot=offering.spot,
        zones=offering.zones,
        tags=dict(asked.tags),
        labels=dict(asked.labels),
    )


GPU_COUNT = "1"


def node_of(machine: Machine, *, ready: bool, since: str) -> dict[str, object]:
    """The Node that the machine's kubelet makes of itself."""
    pool = machine.pool
    labels = {
        **pool.labels,
        **dict.fromkeys(names.AGENT_POOL_LABELS, pool.name),
        names.INSTANCE_TYPE_LABEL: pool.size,
        names.OS_LABEL: "linux",
        "kubernetes.io/hostname": machine.name,
    }
    split = [(*key.partition("="), effect) for key, _, effect in (each.rpartition(":") for each in machine.taints)]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": machine.name, "labels": labels},
        "spec": {
            "providerID": machine.provider_id,
            "taints": [{"key": key, "value": value, "effect": effect} for key, _, value, effect in split],
        },
        "status": status_of(machine, ready=ready, since=since),
    }


def status_of(machine: Machine, *, ready: bool, since: str) -> dict[str, object]:
    resources = {"cpu": "16", "memory": "64Gi", "pods": "110"}
    resources |= {names.NVIDIA_GPU: GPU_COUNT} if "Standard_N" in machine.pool.size else {}
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": "KubeletReady" if ready else "KubeletNotReady",
        "message": "",
        "lastHeartbeatTime": since,
        "lastTransitionTime": since,
    }
    return {"capacity": resources, "allocatable": resources, "conditions": [condition]}
