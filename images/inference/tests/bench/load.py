"""A closed loop of clients: each asks again as soon as it has its answer, for as long as the window is open."""

import asyncio
import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

WORDS = ("the", "cluster", "runs", "every", "model", "that", "somebody", "asked", "for", "and", "keeps", "what", "it")
PROMPT_WORDS = 9
WARM_UP_SECONDS = 120
MIXED = (16, 112)
"""The shortest and the longest answer of a mixed load."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a server is asked, and how its answer is counted."""

    path: str
    body: Callable[[str, int], dict[str, Any]]
    streams: bool = True


@dataclass(slots=True)
class Seen:
    """What the clients of one window saw."""

    tokens: int = 0
    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    failed: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds

    def quantile(self, times: list[float], share: float) -> float:
        if len(times) < 2:
            return times[0] if times else float("nan")
        return statistics.quantiles(times, n=100, method="inclusive")[round(share * 100) - 1]


async def run(url: str, form: Form, clients: int, tokens: int | None, seconds: float) -> Seen:
    """Ask for `tokens` an answer, or for mixed lengths; answers that are under way at the end are counted in part."""
    seen = Seen()
    dice = random.Random(7)  # noqa: S311 -- nothing secret
    began = time.perf_counter()
    async with httpx.AsyncClient(
        base_url=url, timeout=seconds + 60, limits=httpx.Limits(max_connections=None)
    ) as client:

        async def ask_on() -> None:
            while True:
                await _ask(
                    client, form, tokens or dice.randrange(*MIXED), seen, " ".join(dice.choices(WORDS, k=PROMPT_WORDS))
                )

        asking = [asyncio.create_task(ask_on()) for _ in range(clients)]
        await asyncio.wait(asking, timeout=seconds, return_when="FIRST_EXCEPTION")
        seen.seconds = time.perf_counter() - began
        for task in asking:
            task.cancel()
        for outcome in await asyncio.gather(*asking, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
    return seen


async def warm_up(url: str, form: Form) -> None:
    """One whole answer: some servers build what they need with the first request."""
    async with httpx.AsyncClient(base_url=url, timeout=WARM_UP_SECONDS) as client:
        await _ask(client, form, MIXED[0], Seen(), " ".join(WORDS[:PROMPT_WORDS]))


async def _ask(client: httpx.AsyncClient, form: Form, tokens: int, seen: Seen, prompt: str) -> None:
    began = time.perf_counter()
    if form.streams:
        await _stream(client, form, form.body(prompt, tokens), seen)
    else:
        answer = await client.post(form.path, json=form.body(prompt, tokens))
        answer.raise_for_status()
        seen.tokens += tokens
        seen.first.append(time.perf_counter() - began)
    seen.whole.append(time.perf_counter() - began)


async def _stream(client: httpx.AsyncClient, form: Form, body: dict[str, Any], seen: Seen) -> None:
    """Count events while they come, and what the usage adds at the end: a server may send several tokens at once."""
    began, events, spoke = time.perf_counter(), 0, False
    async with client.stream("POST", form.path, json=body) as answer:
        if answer.is_error:
            raise httpx.HTTPStatusError((await answer.aread()).decode()[:500], request=answer.request, response=answer)
        async for line in answer.aiter_lines():
            if not line.startswith("data: {"):
                continue
            data = json.loads(line.removeprefix("data: "))
            if data.get("choices") and not spoke:
                spoke = True
                seen.first.append(time.perf_counter() - began)
            if data.get("usage"):
                seen.tokens += data["usage"]["completion_tokens"] - events
                events = data["usage"]["completion_tokens"]
            elif data.get("choices"):
                events += 1
                seen.tokens += 1
