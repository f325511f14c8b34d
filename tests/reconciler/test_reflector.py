"""Does the mirror of one kind hold what the API server last told, and begin again more slowly each time it goes wrong?

The faults of a watch on the wire are in `test_watch_faults.py`; here its time is virtual.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from reconciler.runtime.reflector import LONGEST_DELAY, SLACK_SECONDS, WATCH_SECONDS, Event, Object, Reflector
from tests.reconciler.virtual import run_virtually


def item(name: str, version: int) -> Object:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


class Script:
    """A source whose watches are given, each a list of events and how it ends; then it is silent."""

    def __init__(self, *watches: list[Event | Exception]) -> None:
        self.listed = [item("a", 1)]
        self.watches = list(watches)
        self.lists: list[float] = []
        self.began: list[tuple[float, str]] = []

    async def list(self) -> tuple[list[Object], str]:
        self.lists.append(asyncio.get_running_loop().time())
        return list(self.listed), "1"

    async def watch(self, version: str, seconds: float) -> AsyncIterator[Event]:
        self.began.append((asyncio.get_running_loop().time(), version))
        assert seconds == WATCH_SECONDS
        for each in self.watches.pop(0) if self.watches else []:
            if isinstance(each, Exception):
                raise each
            yield each
        if not self.watches:
            await asyncio.sleep(10_000)


def play(script: Script, test: Callable[[Reflector, list[str]], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        changed: list[str] = []
        reflector = Reflector(script, changed.append, jitter=lambda: 1.0)
        task = asyncio.create_task(reflector.run())
        try:
            await test(reflector, changed)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    run_virtually(main())


def test_should_tell_of_each_change_and_hold_the_last_version() -> None:
    events: list[Event | Exception] = [("ADDED", item("b", 2)), ("MODIFIED", item("a", 3)), ("DELETED", item("b", 4))]

    async def test(reflector: Reflector, changed: list[str]) -> None:
        await reflector.synced.wait()
        await asyncio.sleep(1)
        assert reflector.items == {"a": item("a", 3)}
        assert changed == ["a", "b", "a", "b"]

    play(Script(events), test)


def test_a_bookmark_changes_nothing_but_where_the_next_watch_begins() -> None:
    script = Script([("BOOKMARK", {"metadata": {"resourceVersion": "7"}})], [])

    async def test(reflector: Reflector, changed: list[str]) -> None:
        await asyncio.sleep(1)
        assert [version for _, version in script.began] == ["1", "7"]
        assert reflector.items == {"a": item("a", 1)}
        assert changed == ["a"]

    play(script, test)


def test_what_changed_or_went_while_nobody_watched_is_told_after_the_next_list() -> None:
    script = Script([ConnectionError("cut")], [])

    async def test(reflector: Reflector, changed: list[str]) -> None:
        await reflector.synced.wait()
        script.listed = [item("b", 5)]
        await asyncio.sleep(5)
        assert reflector.items == {"b": item("b", 5)}
        assert sorted(changed) == ["a", "a", "b"]

    play(script, test)


def test_a_watch_that_hangs_is_dropped_and_a_list_tells_what_it_missed() -> None:
    script = Script([])

    async def test(reflector: Reflector, _changed: list[str]) -> None:
        await reflector.synced.wait()
        script.listed = [item("a", 9)]
        await asyncio.sleep(WATCH_SECONDS + SLACK_SECONDS + 1)
        assert reflector.items == {"a": item("a", 9)}
        assert reflector.heard == script.lists[-1]

    play(script, test)


def test_should_list_again_ever_more_slowly_while_watches_fail() -> None:
    fails: list[Event | Exception] = [ConnectionError("no")]
    script = Script(*[fails] * 30)

    async def test(_reflector: Reflector, _changed: list[str]) -> None:
        await asyncio.sleep(120)
        gaps = [round(after - before, 3) for before, after in zip(script.lists, script.lists[1:], strict=False)]
        assert gaps[:7] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8]
        assert set(gaps[7:]) == {LONGEST_DELAY}

    play(script, test)


def test_an_api_server_that_is_away_for_a_day_is_waited_for() -> None:
    fails: list[Event | Exception] = [ConnectionError("no")]
    script = Script(*[fails] * 6000)

    async def test(reflector: Reflector, _changed: list[str]) -> None:
        await asyncio.sleep(24 * 3600)
        script.watches, script.listed = [], [item("a", 9)]
        await asyncio.sleep(LONGEST_DELAY + 1)
        assert reflector.items == {"a": item("a", 9)}

    play(script, test)


def test_watches_that_end_at_once_and_tell_nothing_are_no_good_ones() -> None:
    script = Script(*[[] for _ in range(20)])

    async def test(_reflector: Reflector, _changed: list[str]) -> None:
        await asyncio.sleep(60)
        assert len(script.began) <= 11

    play(script, test)


@pytest.mark.parametrize(("base", "held"), [("1", 5), ("0", 1)], ids=["newest known", "the watch knows better"])
def test_the_answer_to_a_write_of_ours_is_believed_unless_the_watch_knows_better(base: str, held: int) -> None:
    async def test(reflector: Reflector, _changed: list[str]) -> None:
        await reflector.synced.wait()
        reflector.learn(base, item("a", 5))
        assert reflector.items == {"a": item("a", held)}

    play(Script([]), test)
