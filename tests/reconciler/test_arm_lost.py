"""What if the answer does not come, or cannot be read? Then it is neither a yes nor a no, and nothing is sent again."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from reconciler.azure import AzureError, LostError
from reconciler.azure.answer import REQUEST_SECONDS
from tests.fakearm import Bench, Fault, Kind, RefusedError, run_over_http
from tests.reconciler.making import a_desired

Request = Callable[[Bench], Awaitable[object]]
REQUESTS: dict[str, tuple[str, Request]] = {
    "list": ("GET", lambda bench: bench.pools.list()),
    "cluster": ("GET", lambda bench: bench.pools.cluster()),
    "create": ("PUT", lambda bench: bench.pools.create(replace(a_desired(), name="new"))),
    "delete": ("DELETE", lambda bench: bench.pools.delete("ws1", bench.aks.records["ws1"].etag)),
}
requests = pytest.mark.parametrize("request_name", REQUESTS)


async def _one_pool(bench: Bench) -> None:
    bench.aks.settle("ws1", {"vmSize": "Standard_D4s_v5", "count": 1})


@requests
@pytest.mark.parametrize("kind", [Kind.CUT_BEFORE, Kind.CUT_AFTER, Kind.CUT_BODY])
def test_a_connection_that_breaks_is_a_lost_answer_and_nothing_is_sent_again(request_name: str, kind: Kind) -> None:
    method, send = REQUESTS[request_name]

    async def scenario(bench: Bench) -> None:
        await _one_pool(bench)
        bench.arm.faults.add(Fault(kind, method))
        with pytest.raises(LostError):
            await send(bench)
        assert [each.method for each in bench.arm.seen] == [method]
        done = kind is not Kind.CUT_BEFORE
        assert ("new" in bench.aks.records) is (done and method == "PUT")
        assert (bench.aks.records["ws1"].state == "Deleting") is (done and method == "DELETE")

    run_over_http(scenario)


@requests
@pytest.mark.parametrize("after", [0, 5])
def test_a_connection_that_was_used_before_is_no_reason_to_send_again(request_name: str, after: int) -> None:
    """The HTTP library believes that a used connection broke before the request arrived, and sends it once more."""
    method, send = REQUESTS[request_name]

    async def scenario(bench: Bench) -> None:
        await _one_pool(bench)
        for _ in range(after):
            await bench.pools.list()
        bench.arm.faults.add(Fault(Kind.CUT_AFTER, method))
        with pytest.raises(LostError):
            await send(bench)
        assert len(bench.arm.seen) == after + 1

    run_over_http(scenario)


def test_our_own_pool_met_again_after_a_lost_answer_is_neither_success_nor_failure() -> None:
    async def scenario(bench: Bench) -> None:
        bench.arm.faults.add(Fault(Kind.CUT_AFTER, "PUT"))
        with pytest.raises(LostError):
            await bench.pools.create(a_desired())
        with pytest.raises(AzureError) as caught:
            await bench.pools.create(a_desired())
        assert (caught.value.status, caught.value.changed) == (412, True)
        assert bench.aks.created == ["ws1"]
        (ours,) = [pool for pool in await bench.pools.list() if pool.name == "ws1"]
        assert ours.uid == "uid-1"

    run_over_http(scenario)


def test_a_lost_delete_that_took_effect_is_done_by_the_next_one() -> None:
    async def scenario(bench: Bench) -> None:
        await _one_pool(bench)
        etag = bench.aks.records["ws1"].etag
        bench.arm.faults.add(Fault(Kind.CUT_AFTER, "DELETE"))
        with pytest.raises(LostError):
            await bench.pools.delete("ws1", etag)
        with pytest.raises(AzureError) as caught:
            await bench.pools.delete("ws1", etag)
        assert caught.value.changed
        assert bench.aks.records["ws1"].state == "Deleting"

    run_over_http(scenario)


@requests
def test_an_answer_that_takes_too_long_is_lost_and_the_work_may_be_done(request_name: str) -> None:
    method, send = REQUESTS[request_name]

    async def scenario(bench: Bench) -> None:
        await _one_pool(bench)
        bench.arm.faults.add(Fault(Kind.HOLD, method, seconds=600))
        began = bench.aks.clock()
        with pytest.raises(LostError, match="within 60 seconds"):
            await send(bench)
        assert bench.aks.clock() - began == pytest.approx(REQUEST_SECONDS, abs=1.0)
        assert len(bench.arm.seen) == 1

    run_over_http(scenario)


@requests
def test_a_slow_answer_is_waited_for(request_name: str) -> None:
    method, send = REQUESTS[request_name]

    async def scenario(bench: Bench) -> None:
        await _one_pool(bench)
        bench.arm.faults.add(Fault(Kind.HOLD, method, seconds=REQUEST_SECONDS - 5))
        await send(bench)
        assert len(bench.arm.seen) == 1

    run_over_http(scenario)


def test_the_time_limit_is_for_all_pages_together() -> None:
    async def scenario(bench: Bench) -> None:
        await _one_pool(bench)
        bench.arm.page = 1
        bench.arm.faults.add(Fault(Kind.HOLD, "GET", times=2, seconds=REQUEST_SECONDS - 5))
        with pytest.raises(LostError):
            await bench.pools.list()

    run_over_http(scenario)


@pytest.mark.parametrize("kind", [Kind.CUT_BEFORE, Kind.CUT_BODY])
def test_a_list_whose_later_page_is_lost_is_no_list(kind: Kind) -> None:
    async def scenario(bench: Bench) -> None:
        await _one_pool(bench)
        bench.arm.page = 1
        bench.arm.faults.add(Fault(kind, "GET", "skiptoken"))
        with pytest.raises(LostError):
            await bench.pools.list()

    run_over_http(scenario)


def test_a_list_whose_later_page_is_refused_is_no_list() -> None:
    async def scenario(bench: Bench) -> None:
        await _one_pool(bench)
        bench.arm.page = 1
        bench.arm.faults.refuse("GET", RefusedError(500, "InternalServerError", "try again"), path="skiptoken")
        with pytest.raises(AzureError) as caught:
            await bench.pools.list()
        assert caught.value.status == 500

    run_over_http(scenario)


@pytest.mark.parametrize("page", ["", "skiptoken"])
@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[]",
        "null",
        '"pools"',
        '{"value": null}',
        '{"value": {}}',
        '{"value": [null]}',
        '{"value": [{"properties": {}}]}',
        '{"value": [{"name": "ws1", "properties": []}]}',
        "{",
        "",
    ],
)
def test_a_page_that_holds_no_pools_is_no_empty_page(page: str, body: str) -> None:
    """Pools that are missing from a LIST count as gone, and their claims would be let go."""

    async def scenario(bench: Bench) -> None:
        await _one_pool(bench)
        bench.arm.page = 1
        bench.arm.faults.add(Fault(Kind.REPLACE, "GET", page, body=body))
        with pytest.raises(LostError):
            await bench.pools.list()

    run_over_http(scenario)


@requests
@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
def test_a_gateway_s_page_instead_of_an_answer_is_no_success(request_name: str, content_type: str) -> None:
    method, send = REQUESTS[request_name]
    page = "<html>sign in to the hotel's network</html>"

    async def scenario(bench: Bench) -> None:
        await _one_pool(bench)
        bench.arm.faults.add(Fault(Kind.REPLACE, method, body=page, content_type=content_type))
        with pytest.raises((LostError, AzureError)):
            await send(bench)

    run_over_http(scenario)


@requests
@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_gateway_s_error_has_a_status_and_is_no_verdict(request_name: str, content_type: str, status: int) -> None:
    method, send = REQUESTS[request_name]

    async def scenario(bench: Bench) -> None:
        await _one_pool(bench)
        page = Fault(Kind.REPLACE, method, status=status, body="<html>bad</html>", content_type=content_type)
        bench.arm.faults.add(page)
        with pytest.raises(AzureError) as caught:
            await send(bench)
        assert caught.value.status == status
        assert not caught.value.changed
        assert caught.value.throttled is (status == 429)

    run_over_http(scenario)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_with_our_token(status: int) -> None:
    async def scenario(bench: Bench) -> None:
        elsewhere = RefusedError(status, "Moved", "over there", headers={"Location": f"{bench.arm.url}/elsewhere"})
        bench.arm.faults.refuse("GET", elsewhere)
        with pytest.raises((AzureError, LostError)):
            await bench.pools.list()
        assert len(bench.arm.seen) == 1

    run_over_http(scenario)


@requests
def test_azure_is_out_of_reach(request_name: str) -> None:
    _, send = REQUESTS[request_name]

    async def scenario(bench: Bench) -> None:
        await _one_pool(bench)
        await bench.arm.stop()
        with pytest.raises(LostError, match="no answer from Azure"):
            await send(bench)

    run_over_http(scenario)
