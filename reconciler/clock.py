"""What time is it? Dates come from here, spans from the event loop's own clock; tests have their own of both."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def wall_clock() -> datetime:
    return datetime.now(UTC)


def loop_time() -> float:
    return asyncio.get_running_loop().time()
