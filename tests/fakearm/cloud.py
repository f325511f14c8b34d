"""Azure as a whole process sees it: `management.azure.com` over TLS, the metadata service, and machines that join.

It runs in a thread of its own, so it outlives every reconciler that is killed, and a reconciler needs no change to use
it: environment variables name a proxy, which leads to the fake ARM, and the certificate to trust.
"""

import asyncio
import contextlib
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from reconciler import names
from reconciler.azure.arm import read_pool
from reconciler.clock import loop_time, wall_clock
from reconciler.kube.api import Transport, configure
from reconciler.simulate import Machine, Machines
from reconciler.simulate.writer import ApiNodeWriter
from tests.fakearm.aks import FakeAks, Record, Times
from tests.fakearm.identity import FakeIdentity, tls_context
from tests.fakearm.loop import Wire
from tests.fakearm.server import CLUSTER, GROUP, LOCATION, SUBSCRIPTION, FakeArm

T = TypeVar("T")
HOST = "management.azure.com"
FLAGS = (
    "--credential=managed-identity",
    f"--subscription-id={SUBSCRIPTION}",
    f"--resource-group={GROUP}",
    f"--cluster-name={CLUSTER}",
    f"--location={LOCATION}",
)
"""How a reconciler is told of this cluster."""


@dataclass
class Fleet:
    """The machines of the fake AKS: one for each pool of ours that was made, until the pool is gone."""

    aks: FakeAks
    join: float = 0.5
    """Seconds from the end of the creation to the Node."""
    ready: float = 0.5
    """From the Node to its readiness."""
    ready_at: dict[str, float] = field(default_factory=dict)
    """When each pool's Node was due to be ready."""
    _known: dict[str, tuple[Record, Machine]] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def machines(self) -> list[Machine]:
        records = {each.name: each for each in self.aks.list() if names.TAG_UID in (each.properties.get("tags") or {})}
        self._known = {name: known for name, known in self._known.items() if records.get(name) is known[0]}
        for name, record in records.items():
            if name not in self._known and record.state == "Succeeded":
                self._known[name] = (record, self._machine(record))
        return [machine for _, machine in self._known.values()]

    def _machine(self, record: Record) -> Machine:
        joined = loop_time() + self.join
        self.ready_at[record.name] = joined + self.ready
        pool = read_pool({"name": record.name, "properties": record.properties})
        taints = tuple(record.properties.get("nodeTaints") or ())
        return Machine(pool, next(self._numbers), joined, joined + self.ready, taints)


class FakeCloud:
    """All of it; `do` is how another thread looks into it or changes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, times: Times) -> None:
        self._loop = loop
        self.aks = FakeAks(loop.time, times)
        self.arm = FakeArm(self.aks, Wire())
        self.fleet = Fleet(self.aks)
        self.identity = FakeIdentity(Path())
        self.environment: dict[str, str] = {}

    def do(self, action: Callable[[], T]) -> T:
        """Within its thread, at a moment when nothing else happens there."""

        async def once() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(once(), self._loop).result(30)

    @asynccontextmanager
    async def serving(self, folder: Path, kubeconfig: Path) -> AsyncIterator[None]:
        tls = tls_context(folder, HOST)
        (folder / "identity").mkdir()
        identity = self.identity = FakeIdentity(folder / "identity")
        transport = Transport(await configure(str(kubeconfig), ""))
        async with self.arm.serving(tls), _proxy(self.arm.url) as proxy, identity.serving():
            self.arm.url = f"https://{HOST}"
            self.environment = {
                "HTTPS_PROXY": proxy,
                "NO_PROXY": "127.0.0.1",
                "SSL_CERT_FILE": str(folder / "certificate.pem"),
                "AZURE_POD_IDENTITY_AUTHORITY_HOST": identity.url,
            }
            machines = asyncio.create_task(Machines(self.fleet, ApiNodeWriter(transport), wall_clock, 0.2).run())
            try:
                yield
            finally:
                machines.cancel()
                with suppress(asyncio.CancelledError):
                    await machines
                await transport.close()


@contextmanager
def fake_cloud(folder: Path, kubeconfig: Path, times: Times) -> Iterator[FakeCloud]:
    """A cloud whose machines join the API server of a kubeconfig."""
    loop = asyncio.new_event_loop()
    cloud = FakeCloud(loop, times)
    up, down = threading.Event(), asyncio.Event()

    async def main() -> None:
        async with cloud.serving(folder, kubeconfig):
            up.set()
            await down.wait()

    def work() -> None:
        with contextlib.closing(loop):
            try:
                loop.run_until_complete(main())
            finally:
                up.set()

    thread = threading.Thread(target=work, name="cloud")
    thread.start()
    up.wait()
    assert cloud.environment, "the cloud did not begin"
    try:
        yield cloud
    finally:
        loop.call_soon_threadsafe(down.set)
        thread.join()


@asynccontextmanager
async def _proxy(url: str) -> AsyncIterator[str]:
    """A proxy that leads to the fake ARM, and to nothing else."""
    port = int(url.rpartition(":")[2])
    tunnels: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_tunnel(reader, writer, port))
        tunnels.add(task)
        task.add_done_callback(tunnels.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tunnels:
            task.cancel()
        await asyncio.gather(*tunnels, return_exceptions=True)


async def _tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    with contextlib.closing(writer), suppress(OSError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(f"CONNECT {HOST}:443 ".encode()):
            writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        inner, out = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.closing(out):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ways = {asyncio.ensure_future(_copy(reader, out)), asyncio.ensure_future(_copy(inner, writer))}
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
