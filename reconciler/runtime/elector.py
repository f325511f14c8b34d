"""May this process write? Only while it holds the lease, and it ends before anybody else may think that it does not.

Time is the event loop's own: what the lease says of times is compared by change alone, so clocks need not agree. Every
request for the lease has a short time limit of its own, and the deadline runs whether a request is under way or not.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

LOG = logging.getLogger(__name__)
LEASE_SECONDS = 15.0
RENEW_DEADLINE = 10.0
RETRY_SECONDS = 2.0
REQUEST_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Lease:
    """As it lies at the API server."""

    holder: str
    version: str
    """Changes with each write; empty: there is none yet."""
    seconds: float = LEASE_SECONDS


class Leases(Protocol):
    """One lease; a failure of any kind is an exception."""

    async def read(self) -> Lease: ...

    async def write(self, holder: str, version: str) -> Lease:
        """Create or replace it if it still has the version.

        Raises:
            Exception: somebody else wrote it meanwhile, or no answer came.
        """


@dataclass
class Elector:
    """`run` ends only by being cancelled, after it gave the lease back; `lost` must end the process."""

    leases: Leases
    identity: str
    lost: Callable[[], None]
    elected: asyncio.Event = field(default_factory=asyncio.Event)
    renewed: float = float("-inf")
    _seen: Lease | None = None
    _seen_at: float = float("-inf")

    @property
    def may_write(self) -> bool:
        """Until one request's time before the deadline: what is begun now can end in time."""
        return self.elected.is_set() and _now() < self.renewed + RENEW_DEADLINE - REQUEST_SECONDS

    async def run(self) -> None:
        try:
            while not self.elected.is_set():
                await self._attempt()
                await asyncio.sleep(0 if self.elected.is_set() else RETRY_SECONDS)
            await self._keep()
        finally:
            await self._release()

    async def _keep(self) -> None:
        while self.elected.is_set():
            try:
                async with asyncio.timeout_at(self.renewed + RENEW_DEADLINE):
                    await asyncio.sleep(RETRY_SECONDS)
                    await self._attempt()
            except TimeoutError:
                self._lose("was not renewed in time")
                return
            if self._seen is not None and self._seen.holder not in ("", self.identity):
                self._lose(f"is held by {self._seen.holder}")

    def _lose(self, why: str) -> None:
        self.elected.clear()
        LOG.error("lease lost", extra={"cause": why})
        self.lost()

    async def _attempt(self) -> None:
        """Read the lease, and write it if it is ours, free or expired."""
        began = _now()
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                lease = await self.leases.read()
                self._observe(lease)
                if not self._is_free(lease):
                    return
                self._observe(await self.leases.write(self.identity, lease.version))
        except Exception as error:  # noqa: BLE001 -- any failure means the same: not renewed
            LOG.warning("lease not renewed", extra={"cause": repr(error)})
            return
        # From before the request: the server may have counted from there.
        self.renewed = began
        self.elected.set()

    def _observe(self, lease: Lease) -> None:
        if self._seen is None or lease.version != self._seen.version:
            self._seen, self._seen_at = lease, _now()

    def _is_free(self, lease: Lease) -> bool:
        expired = _now() >= self._seen_at + max(lease.seconds, LEASE_SECONDS)
        return lease.holder in ("", self.identity) or expired

    async def _release(self) -> None:
        """A clean stop lets the next one begin at once."""
        if not self.elected.is_set() or self._seen is None:
            return
        self.elected.clear()
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await self.leases.write("", self._seen.version)
        except Exception as error:  # noqa: BLE001 -- it expires by itself
            LOG.warning("lease not given back", extra={"cause": repr(error)})


def _now() -> float:
    return asyncio.get_running_loop().time()
