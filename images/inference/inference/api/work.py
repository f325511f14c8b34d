"""Runs the orders of one request together, and ends them together: by a last token, a deadline or a lost client."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TypeVar

from starlette.requests import Request
from starlette.types import Receive

from inference.admission import Admission
from inference.deployment import Deployment, Served
from inference.engine.protocol import EngineDeadError
from inference.errors import RequestError
from inference.generation import Order, Piece, joined, pieces
from inference.metrics import Metrics
from inference.settings import Front

Answer = TypeVar("Answer")
Made = TypeVar("Made")
LONG_BODY = 32 * 1024
"""From here on a thread reads a body's text: a tokenizer takes a second for a megabyte, in which nobody would be
answered, probes included. What is shorter takes less than the way to a thread and back, next to one that calculates."""


class ClientGoneError(Exception):
    """Nobody is left to answer."""


class Desk:
    """What every handler needs: the model, the door, the measurements."""

    def __init__(self, deployment: Deployment, front: Front) -> None:
        self.deployment = deployment
        self.front = front
        self.limits = front.limits
        self.admission = Admission(front.limits)
        self.metrics = Metrics(deployment, self.admission)
        # One thread: tokenizers do not like to be changed by two.
        self._reader = ThreadPoolExecutor(1, "read")

    async def read(self, request: Request, understand: Callable[[], Made]) -> Made:
        """Understand a body, its text made tokens, without keeping others waiting; a long one has a place meanwhile."""
        if len(await request.body()) < LONG_BODY:
            return understand()
        with self.admission.places(1):
            return await asyncio.get_running_loop().run_in_executor(self._reader, understand)

    async def answers(self, served: Served, orders: Sequence[Order]) -> list[Piece]:
        """Every order's whole answer."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._whole(served, order)) for order in orders]
        return [task.result() for task in tasks]

    async def _whole(self, served: Served, order: Order) -> Piece:
        async with aclosing(pieces(served, order, self.metrics)) as stream:
            return joined([piece async for piece in stream])

    async def stream(self, served: Served, orders: Sequence[Order]) -> AsyncGenerator[tuple[Order, Piece], None]:
        """The pieces of all orders as they come."""
        if len(orders) == 1:
            async with aclosing(pieces(served, orders[0], self.metrics)) as only:
                async for piece in only:
                    yield orders[0], piece
            return
        arrived: asyncio.Queue[tuple[Order, Piece] | BaseException] = asyncio.Queue()
        tasks = [asyncio.create_task(self._feed(served, order, arrived)) for order in orders]
        try:
            running = len(orders)
            while running:
                item = await arrived.get()
                if isinstance(item, BaseException):
                    raise item
                running -= item[1].finish is not None
                yield item
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed(
        self, served: Served, order: Order, arrived: "asyncio.Queue[tuple[Order, Piece] | BaseException]"
    ) -> None:
        try:
            async with aclosing(pieces(served, order, self.metrics)) as stream:
                async for piece in stream:
                    arrived.put_nowait((order, piece))
        except (RequestError, EngineDeadError) as error:
            arrived.put_nowait(error)

    async def attended(self, receive: Receive, work: Awaitable[Answer]) -> Answer:
        """Await the work as long as the client is there and the deadline has not passed."""
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({task, gone}, timeout=self.limits.request_seconds or None, return_when="FIRST_COMPLETED")
            if task.done():
                return task.result()
            if gone.done():
                raise ClientGoneError
            raise RequestError(
                f"no answer within {self.limits.request_seconds:g} seconds", status=504, code="deadline_exceeded"
            )
        except BaseExceptionGroup as group:
            raise _first(group) from group
        finally:
            for pending in (task, gone):
                pending.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)


def _first(group: "BaseExceptionGroup[BaseException]") -> BaseException:
    """The orders of a request fail alike, so the first failure speaks for all."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
