"""Does the queue never work on a key twice at once, never forget one, and go slow on what fails?"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from reconciler.runtime.queue import BURST, LONGEST_DELAY, PACE, Queue
from tests.reconciler.virtual import run_virtually


def virtually(test: Callable[[Queue], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await test(Queue(jitter=lambda: 1.0))

    run_virtually(main())


async def is_idle(queue: Queue, seconds: float = 0.0) -> bool:
    try:
        await asyncio.wait_for(queue.take(), seconds + 0.001)
    except TimeoutError:
        return True
    return False


def test_a_key_is_handed_out_once_however_often_it_was_added() -> None:
    async def test(queue: Queue) -> None:
        for _ in range(3):
            queue.add("a")
        assert await queue.take() == "a"
        assert await is_idle(queue)

    virtually(test)


def test_a_key_that_is_worked_on_comes_again_only_afterwards() -> None:
    async def test(queue: Queue) -> None:
        queue.add("a")
        await queue.take()
        queue.add("a")
        assert await is_idle(queue, 10)
        queue.done("a")
        assert await queue.take() == "a"

    virtually(test)


def test_keys_come_in_the_order_in_which_they_are_due() -> None:
    async def test(queue: Queue) -> None:
        queue.add("late", 20)
        queue.add("early", 10)
        queue.add("now")
        assert [await queue.take() for _ in range(3)] == ["now", "early", "late"]

    virtually(test)


def test_an_earlier_time_wins_and_a_later_one_changes_nothing() -> None:
    async def test(queue: Queue) -> None:
        queue.add("a", 10)
        queue.add("a", 5)
        queue.add("a", 60)
        began = asyncio.get_running_loop().time()
        await queue.take()
        assert asyncio.get_running_loop().time() - began == pytest.approx(5)
        queue.done("a")
        assert await is_idle(queue, 100)

    virtually(test)


def test_a_failure_waits_longer_each_time_and_success_forgets_them() -> None:
    async def test(queue: Queue) -> None:
        delays = []
        for _ in range(9):
            queue.add("a")
            await queue.take()
            delays.append(queue.failed("a"))
        assert delays == [1, 2, 4, 8, 16, 32, LONGEST_DELAY, LONGEST_DELAY, LONGEST_DELAY]
        await queue.take()
        queue.done("a")
        queue.add("a")
        await queue.take()
        assert queue.failed("a") == 1

    virtually(test)


def test_events_do_not_bring_a_key_forward_that_failed() -> None:
    async def test(queue: Queue) -> None:
        queue.add("a")
        await queue.take()
        queue.add("a")
        queue.failed("a", at_least=30)
        queue.add("a")
        assert await is_idle(queue, 29)
        assert await queue.take() == "a"

    virtually(test)


def test_a_key_that_is_done_comes_back_when_it_said() -> None:
    async def test(queue: Queue) -> None:
        queue.add("a")
        await queue.take()
        queue.done("a", again=60)
        assert await is_idle(queue, 59)
        assert await queue.take() == "a"

    virtually(test)


def test_depth_and_age_count_what_is_due() -> None:
    async def test(queue: Queue) -> None:
        queue.add("a")
        queue.add("b", 100)
        await asyncio.sleep(30)
        assert (queue.depth, queue.oldest) == (1, 30)
        await queue.take()
        assert (queue.depth, queue.oldest) == (1, 0)

    virtually(test)


def test_every_worker_wakes_for_a_key_of_its_own() -> None:
    async def test(queue: Queue) -> None:
        workers = [asyncio.create_task(queue.take()) for _ in range(3)]
        await asyncio.sleep(1)
        for key in "abc":
            queue.add(key)
        assert sorted(await asyncio.gather(*workers)) == ["a", "b", "c"]

    virtually(test)


async def turns_within(queue: Queue, seconds: float) -> int:
    """How often a key comes that is added anew whenever it was worked on, and meanwhile."""
    count, end = 0, asyncio.get_running_loop().time() + seconds
    while not await is_idle(queue, end - asyncio.get_running_loop().time()):
        count += 1
        queue.add("a")
        queue.done("a")
        queue.add("a")
    return count


def test_a_key_that_changes_without_end_is_slowed_down(caplog: pytest.LogCaptureFixture) -> None:
    async def test(queue: Queue) -> None:
        queue.add("a")
        assert BURST <= await turns_within(queue, 600) <= BURST + 600 / PACE + 1
        assert len(queue._heap) <= 1
        queue.add("b")
        assert await queue.take() == "b"

    virtually(test)
    assert "slowed down" in caplog.text


def test_a_key_that_was_slowed_down_recovers_and_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    async def test(queue: Queue) -> None:
        queue.add("a")
        await turns_within(queue, 600)
        await queue.take()
        queue.done("a")
        await asyncio.sleep(PACE * (BURST + 2))
        queue.add("b")
        await queue.take()
        assert list(queue._spent) == ["b"]
        caplog.clear()
        for _ in range(BURST):
            queue.add("a")
            assert await queue.take() == "a"
            queue.done("a")

    virtually(test)
    assert "slowed down" not in caplog.text
