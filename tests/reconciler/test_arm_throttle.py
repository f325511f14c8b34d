"""Does everybody wait as long as Azure says, and do we stay below what it allows?"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from email.utils import formatdate

import pytest

from reconciler.azure import AgentPools, AzureError, LostError
from reconciler.azure.answer import retry_after
from reconciler.azure.throttle import PAUSE_SECONDS, ThrottledPools
from tests.fakearm import Bench, Fault, Kind, RefusedError, run_over_http
from tests.reconciler.making import a_desired

WAIT = 40
Request = Callable[[AgentPools], Awaitable[object]]
REQUESTS: dict[str, tuple[str, Request]] = {
    "list": ("GET", lambda pools: pools.list()),
    "cluster": ("GET", lambda pools: pools.cluster()),
    "create": ("PUT", lambda pools: pools.create(replace(a_desired(), name="new"))),
    "another": ("PUT", lambda pools: pools.create(replace(a_desired(), name="another"))),
    "tag": ("GET", lambda pools: pools.tag("ws1", "", {"a": "b"})),
    "delete": ("DELETE", lambda pools: pools.delete("ws1", "")),
}


async def refusal(request: Awaitable[object]) -> AzureError:
    with pytest.raises(AzureError) as caught:
        await request
    return caught.value


async def told_to_wait(request: Awaitable[object]) -> float:
    """For how long; 0: it was sent, and Azure may have said no for another reason."""
    try:
        await request
    except AzureError as error:
        return (error.retry_after or 0.0) if error.throttled else 0.0
    return 0.0


TOGETHER = {
    ("Throttled", "list"): {"list", "delete"},
    ("Throttled", "delete"): {"list", "delete"},
    ("Throttled", "cluster"): {"cluster"},
    ("Throttled", "create"): {"create"},
    ("Throttled", "tag"): {"tag"},
    ("SubscriptionRequestsThrottled", "list"): {"list", "cluster"},
    ("SubscriptionRequestsThrottled", "delete"): {"delete"},
    ("SubscriptionRequestsThrottled", "cluster"): {"list", "cluster"},
    ("SubscriptionRequestsThrottled", "create"): {"create", "tag", "another"},
    ("TooManyRequests", "tag"): {"create", "tag", "another"},
}
"""Whom one 429 concerns: AKS says `Throttled`, everything else is ARM's or a gateway's."""


@pytest.mark.parametrize(("code", "first"), TOGETHER)
def test_one_429_pauses_what_azure_counts_together_for_as_long_as_it_says(code: str, first: str) -> None:
    method, send = REQUESTS[first]

    async def scenario(bench: Bench) -> None:
        bench.aks.settle("ws1", {"vmSize": "Standard_D4s_v5", "count": 1})
        waits: list[float] = []
        pools = ThrottledPools(bench.pools, waited=waits.append)
        bench.arm.faults.refuse(method, RefusedError(429, code, "slow", headers={"Retry-After": str(WAIT)}))
        told = await refusal(send(pools))
        assert (told.throttled, told.retry_after, waits) == (True, WAIT, [WAIT])
        until = bench.aks.clock() + WAIT
        waiting = {name: await told_to_wait(other(pools)) for name, (_, other) in REQUESTS.items()}
        assert {name for name, wait in waiting.items() if wait} == TOGETHER[code, first]
        left = pytest.approx(until - bench.aks.clock())
        assert all(wait == left for wait in waiting.values() if wait)
        await asyncio.sleep(WAIT)
        assert await told_to_wait(send(pools)) == 0

    run_over_http(scenario)


def test_a_429_without_a_time_pauses_too() -> None:
    async def scenario(bench: Bench) -> None:
        pools = ThrottledPools(bench.pools)
        bench.arm.faults.refuse("GET", RefusedError(429, "Throttled", "slow"))
        assert (await refusal(pools.list())).retry_after is None
        await asyncio.sleep(PAUSE_SECONDS - 1)
        assert (await refusal(pools.list())).retry_after == pytest.approx(1)
        await asyncio.sleep(1)
        await pools.list()
        assert len(bench.arm.seen) == 2

    run_over_http(scenario)


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    """Two requests were on their way when the first 429 came."""

    async def scenario(bench: Bench) -> None:
        pools = ThrottledPools(bench.pools)
        for wait in (str(WAIT), "1"):
            bench.arm.faults.refuse("GET", RefusedError(429, "Throttled", "slow", headers={"Retry-After": wait}))
        await asyncio.gather(refusal(pools.list()), refusal(pools.list()))
        await asyncio.sleep(WAIT - 1)
        assert (await refusal(pools.list())).throttled
        assert len(bench.arm.seen) == 2

    run_over_http(scenario)


@pytest.mark.parametrize("status", [409, 500, 503])
def test_another_refusal_that_names_a_time_pauses_nobody_else(status: int) -> None:
    async def scenario(bench: Bench) -> None:
        pools = ThrottledPools(bench.pools)
        bench.arm.faults.refuse("PUT", RefusedError(status, "Busy", "later", headers={"Retry-After": "9"}))
        assert (await refusal(pools.create(a_desired()))).retry_after == 9
        await pools.list()
        assert len(bench.arm.seen) == 2

    run_over_http(scenario)


def test_azure_s_own_allowance_is_told_as_it_is() -> None:
    async def scenario(bench: Bench) -> None:
        for _ in range(60):
            await bench.pools.list()
        told = await refusal(bench.pools.list())
        assert (told.status, told.trouble.code, told.retry_after) == (429, "Throttled", 1.0)
        await asyncio.sleep(1)
        await bench.pools.list()

    run_over_http(scenario)


def test_a_pool_that_is_asked_for_again_and_again_is_throttled_by_itself() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.pools.create(a_desired())
        statuses = [(await refusal(bench.pools.create(a_desired()))).status for _ in range(20)]
        assert statuses == [412] * 19 + [429]
        await bench.pools.create(replace(a_desired(), name="other"))

    run_over_http(scenario)


@pytest.mark.parametrize(("operations", "seconds"), [(("list", "delete", "cluster"), 300), (("create",), 30)], ids=str)
def test_whoever_asks_without_end_is_refused_here_and_never_by_azure(operations: tuple[str, ...], seconds: int) -> None:
    """LIST and DELETE take from one bucket of AKS, and from two of ours."""

    async def scenario(bench: Bench) -> None:
        bench.aks.limit = 100_000
        answers: list[str] = []
        pools = ThrottledPools(bench.pools, counted=lambda _operation, code: answers.append(code))
        await asyncio.gather(*(_storm(pools, operation, bench.aks.clock() + seconds) for operation in operations))
        assert not {"429", "lost"} & set(answers)
        assert len(answers) >= 200

    run_over_http(scenario)


async def _storm(pools: AgentPools, operation: str, until: float) -> None:
    """As fast as the pools let us, and faster."""
    number = 0
    while asyncio.get_running_loop().time() < until:
        number += 1
        try:
            await _ask(pools, operation, number)
        except AzureError as error:
            await asyncio.sleep(error.retry_after or 0)


async def _ask(pools: AgentPools, operation: str, number: int) -> None:
    if operation == "create":
        await pools.create(replace(a_desired(), name=f"pool{number}"))
    elif operation == "delete":
        await pools.delete(f"none{number}", "")
    elif operation == "cluster":
        await pools.cluster()
    else:
        await pools.list()


def test_each_request_is_counted_with_what_came_of_it() -> None:
    async def scenario(bench: Bench) -> None:
        counted: list[tuple[str, str]] = []
        pools = ThrottledPools(bench.pools, counted=lambda operation, code: counted.append((operation, code)))
        await pools.list()
        await pools.create(a_desired())
        await refusal(pools.create(a_desired()))
        bench.arm.faults.add(Fault(Kind.CUT_AFTER, "DELETE"))
        with pytest.raises(LostError):
            await pools.delete("ws1", "")
        assert counted == [("list", "200"), ("create", "200"), ("create", "412"), ("delete", "lost")]

    run_over_http(scenario)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 7 "}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": formatdate(1_800_000_090, usegmt=True), "Date": formatdate(1_800_000_000, usegmt=True)}, 90.0),
        ({"Retry-After": formatdate(1_800_000_000, usegmt=True), "Date": formatdate(1_800_000_090, usegmt=True)}, 0.0),
        ({"Retry-After": formatdate(1_000_000_000, usegmt=True)}, 0.0),
        ({}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": formatdate(1_800_000_090, usegmt=True), "Date": "yesterday"}, None),
    ],
)
def test_the_time_to_wait_is_a_number_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    found = retry_after(headers)
    assert found == seconds
    assert found is None or math.isfinite(found)
