"""The transformers engine: a thread that steps the batch, a thread for odd requests, and queues to the event loop."""

import asyncio
import logging
import queue
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from inference.engine.protocol import Capabilities, Chunk, EngineDeadError, Stats, Work
from inference.engine.transformers import beams
from inference.engine.transformers.adapters import Adapters
from inference.engine.transformers.forward import Rows
from inference.engine.transformers.grammar import Grammars
from inference.engine.transformers.sampler import Sampler
from inference.engine.transformers.scheduler import Running, Scheduler, Step
from inference.errors import RequestError

log = logging.getLogger(__name__)
Item = Chunk | Exception
CLOSE_SECONDS = 5.0
"""How long a thread that is inside torch is waited for; the process may end without it."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A request on its way between the event loop and the threads."""

    work: Work
    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[Item] = field(default_factory=asyncio.Queue)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def send(self, item: Item) -> None:
        """Called from a thread; a loop that has closed has nobody left to tell."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.queue.put_nowait, item)


class TransformersEngine:
    """A model that transformers loaded, behind the engine protocol."""

    def __init__(
        self,
        model: Any,
        rows: Rows,
        capabilities: Capabilities,
        *,
        grammars: Grammars,
        adapters: Adapters,
        running: int,
    ) -> None:
        self.capabilities = capabilities
        self.failure: str | None = None
        self._model = model
        beams.unadorn(model)
        self._vocabulary = int(model.get_input_embeddings().weight.shape[0])
        self._grammars = grammars
        self._adapters = adapters
        self._scheduler = Scheduler(rows, running)
        self._stats = Stats()
        self._odd_running = 0
        self._inbox: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._odd: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._tickets: set[Ticket] = set()
        # PEFT routes rows to adapters by hooks on the model itself: then only one thread may be inside it.
        self._inside: Any = threading.Lock() if adapters else nullcontext()
        self._threads = [
            threading.Thread(target=self._work, args=[self._batch], name="batch", daemon=True),
            threading.Thread(target=self._work, args=[self._generate], name="generate", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    async def generate(self, work: Work) -> AsyncGenerator[Chunk, None]:
        ticket = Ticket(work, asyncio.get_running_loop())
        # First on the list, then the question: an engine that dies in between tells everybody who is on the list.
        self._tickets.add(ticket)
        try:
            if self.failure:
                raise EngineDeadError(self.failure)
            (self._odd if work.sampling.other else self._inbox).put(ticket)
            while True:
                item = await ticket.queue.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if item.finish:
                    return
        finally:
            ticket.cancelled.set()
            self._tickets.discard(ticket)

    def stats(self) -> Stats:
        batch, odd = self._stats, self._odd_running
        waiting = batch.waiting + self._inbox.qsize() + self._odd.qsize()
        return Stats(batch.running + odd, waiting, batch.cache_usage)

    def prometheus(self) -> bytes | None:
        return None

    async def close(self) -> None:
        """End both threads; what still runs is told that the engine is gone."""
        self._die("the engine was closed")
        self._inbox.put(None)
        self._odd.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join, CLOSE_SECONDS)

    def _die(self, reason: str) -> None:
        self.failure = self.failure or reason
        for ticket in list(self._tickets):
            ticket.cancelled.set()
            ticket.send(EngineDeadError(self.failure))

    def _work(self, loop: Callable[[], None]) -> None:
        """The life of a thread: an error that nobody expected leaves no sequence that could be trusted."""
        try:
            with torch.inference_mode():
                loop()
        except BaseException as error:
            log.exception("the thread `%s` ended", threading.current_thread().name)
            self._die(f"{type(error).__name__}: {error}")

    def _batch(self) -> None:
        """Step as long as there is anything to do."""
        while self._take_newcomers():
            self._cancel()
            with self._inside:
                done = self._scheduler.step()
            self._stats = self._scheduler.stats()
            self._send(done)

    def _take_newcomers(self) -> bool:
        """Move what has arrived into the scheduler, waiting where there is nothing else to do; False at the end."""
        while True:
            try:
                ticket = self._inbox.get(block=self._scheduler.idle)
            except queue.Empty:
                return not self.failure
            if ticket is None:
                return False
            self._admit(ticket)

    def _admit(self, ticket: Ticket) -> None:
        work = ticket.work
        try:
            check_vocabulary(work, self._vocabulary)
            grammar = self._grammars.compile(work.sampling.schema) if work.sampling.schema else None
        except RequestError as error:
            ticket.send(error)
            return
        sampler = Sampler(work.sampling, work.prompt, grammar)
        self._scheduler.add(Running(work, sampler, ticket, self._adapters.for_request(work.adapter)))

    def _cancel(self) -> None:
        for sequence in self._scheduler.sequences():
            sequence.cancelled = sequence.cancelled or sequence.owner.cancelled.is_set()

    def _send(self, done: Step) -> None:
        for sequence, chunk in done:
            sequence.owner.send(chunk)

    def _generate(self) -> None:
        while (ticket := self._odd.get()) is not None:
            if ticket.cancelled.is_set():
                continue
            self._odd_running = 1
            try:
                with self._inside:
                    adapter = self._adapters.for_request(ticket.work.adapter)
                    beams.run(self._model, ticket.work, adapter, ticket.cancelled, ticket.send)
            except RequestError as error:
                ticket.send(error)
            finally:
                self._odd_running = 0


def check_vocabulary(work: Work, vocabulary: int) -> None:
    """Refuse tokens that the tokenizer has and the model has not: looking one up would end the whole batch."""
    for name, tokens in (("prompt", work.prompt), ("logit_bias", work.sampling.logit_bias)):
        unknown = next((token for token in tokens if token >= vocabulary), None)
        if unknown is not None:
            raise RequestError(f"`{name}` holds the token {unknown}, but the model knows only {vocabulary}", name)
