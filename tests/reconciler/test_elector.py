"""Is there never a time at which two processes may write?"""

import asyncio
from contextlib import suppress

from reconciler.kube import ConflictError
from reconciler.runtime.elector import LEASE_SECONDS, RENEW_DEADLINE, Elector, Lease
from tests.reconciler.virtual import run_virtually


class FakeLeases:
    """One lease for all; each process sees it through a connection that may hang or be refused."""

    def __init__(self) -> None:
        self.lease = Lease("", "")
        self.number = 0


class Connection:
    def __init__(self, leases: FakeLeases) -> None:
        self.leases = leases
        self.hangs = False
        self.refused = False

    async def _pass(self) -> None:
        if self.refused:
            raise ConnectionError("refused")
        if self.hangs:
            await asyncio.get_running_loop().create_future()

    async def read(self) -> Lease:
        await self._pass()
        return self.leases.lease

    async def write(self, holder: str, version: str) -> Lease:
        await self._pass()
        if version != self.leases.lease.version:
            raise ConflictError("modified", 409)
        self.leases.number += 1
        self.leases.lease = Lease(holder, str(self.leases.number))
        return self.leases.lease


class Candidate:
    def __init__(self, leases: FakeLeases, name: str) -> None:
        self.connection = Connection(leases)
        self.lost_at: float | None = None
        self.elector = Elector(self.connection, name, self._lost)
        self.task = asyncio.create_task(self.elector.run())

    def _lost(self) -> None:
        self.lost_at = asyncio.get_running_loop().time()

    async def stop(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


async def _watch_two(first: Candidate, second: Candidate, seconds: float) -> int:
    """How many of so many quarter seconds both could write in."""
    both = 0
    for _ in range(int(seconds * 4)):
        both += first.elector.may_write and second.elector.may_write
        await asyncio.sleep(0.25)
    return both


def test_the_first_leads_and_the_second_waits() -> None:
    async def main() -> None:
        leases = FakeLeases()
        first = Candidate(leases, "one")
        await asyncio.sleep(1)
        second = Candidate(leases, "two")
        assert await _watch_two(first, second, 120) == 0
        assert first.elector.may_write
        assert not second.elector.elected.is_set()
        await first.stop()
        await second.stop()

    run_virtually(main())


def test_a_leader_whose_requests_hang_stops_before_another_begins() -> None:
    """The fault of two shipped electors: no time limit for a request, and a deadline that is looked at between them."""

    async def main() -> None:
        leases = FakeLeases()
        first = Candidate(leases, "one")
        await asyncio.sleep(5)
        second = Candidate(leases, "two")
        await asyncio.sleep(5)
        first.connection.hangs = True
        began = asyncio.get_running_loop().time()
        assert await _watch_two(first, second, 60) == 0
        assert first.lost_at is not None
        assert first.lost_at - began <= RENEW_DEADLINE
        assert second.elector.may_write
        await first.stop()
        await second.stop()

    run_virtually(main())


def test_a_leader_that_is_refused_stops_at_its_deadline() -> None:
    async def main() -> None:
        candidate = Candidate(FakeLeases(), "one")
        await asyncio.sleep(5)
        candidate.connection.refused = True
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(60)
        assert candidate.lost_at is not None
        assert candidate.lost_at - began <= RENEW_DEADLINE
        assert not candidate.elector.may_write
        await candidate.stop()

    run_virtually(main())


def test_a_short_outage_costs_nothing() -> None:
    async def main() -> None:
        candidate = Candidate(FakeLeases(), "one")
        await asyncio.sleep(5)
        candidate.connection.refused = True
        await asyncio.sleep(4)
        candidate.connection.refused = False
        await asyncio.sleep(60)
        assert candidate.lost_at is None
        assert candidate.elector.may_write
        await candidate.stop()

    run_virtually(main())


def test_a_dead_leader_is_followed_after_the_lease_and_not_before() -> None:
    async def main() -> None:
        leases = FakeLeases()
        leases.lease = Lease("dead", "1")
        leases.number = 1
        began = asyncio.get_running_loop().time()
        heir = Candidate(leases, "heir")
        await heir.elector.elected.wait()
        took = asyncio.get_running_loop().time() - began
        assert LEASE_SECONDS <= took <= 20
        await heir.stop()

    run_virtually(main())


def test_a_clean_stop_gives_the_lease_back_at_once() -> None:
    async def main() -> None:
        leases = FakeLeases()
        first = Candidate(leases, "one")
        await asyncio.sleep(5)
        second = Candidate(leases, "two")
        await asyncio.sleep(5)
        await first.stop()
        began = asyncio.get_running_loop().time()
        await second.elector.elected.wait()
        assert asyncio.get_running_loop().time() - began <= 3
        await second.stop()

    run_virtually(main())


def test_a_lease_that_somebody_took_ends_the_leader() -> None:
    async def main() -> None:
        leases = FakeLeases()
        candidate = Candidate(leases, "one")
        await asyncio.sleep(5)
        leases.number += 1
        leases.lease = Lease("thief", str(leases.number))
        await asyncio.sleep(3)
        assert candidate.lost_at is not None
        assert leases.lease.holder == "thief"
        await candidate.stop()
        assert leases.lease.holder == "thief"

    run_virtually(main())


def test_a_frozen_leader_may_not_write_when_it_thaws() -> None:
    """The process stops as a whole, as in a suspended machine: its clock goes on and its tasks do not."""

    async def main() -> None:
        candidate = Candidate(FakeLeases(), "one")
        await asyncio.sleep(5)
        loop = asyncio.get_running_loop()
        loop._clock.now += 60  # type: ignore[attr-defined] # the virtual clock jumps
        assert not candidate.elector.may_write
        await candidate.stop()

    run_virtually(main())
