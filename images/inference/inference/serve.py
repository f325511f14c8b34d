"""The life of the process: answer probes at once, load, prove a token, serve, drain, end.

SIGTERM turns readiness off, refuses new work and waits for what runs; only then does the server stop listening. The
model loads beside the event loop, so that probes are answered from the first second.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from inference.api.app import build
from inference.api.work import Desk
from inference.deployment import Deployment, Phase, Served
from inference.engine.protocol import Engine, Sampling, Work
from inference.errors import CANNOT_HEAL, TRY_AGAIN, StartError
from inference.settings import Front

log = logging.getLogger(__name__)

Loader = Callable[[], Served]
WATCH_SECONDS = 0.2
ONE_STOP_SECONDS = 1.0
"""So close together, signals are one stop: a process group and the death of our parent both bring it."""
WARM_UP = "Hello"


class Server(uvicorn.Server):
    """uvicorn, ended by us: its own handler would close the door while requests are still on their way."""

    def __init__(
        self, config: uvicorn.Config, on_signal: Callable[[], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(config)
        self._on_signal = on_signal
        self._clock = clock
        self._signalled: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, SIGINT like SIGTERM; whoever asks again later has no patience left."""
        del sig, frame
        now = self._clock()
        if self._signalled is None:
            self._signalled = now
            self._on_signal()
        elif now - self._signalled > ONE_STOP_SECONDS:
            self.should_exit = True


def run(front: Front, loader: Loader) -> int:
    """Serve until somebody ends it; the exit code says whether that was in order."""
    return asyncio.run(_serve(front, loader))


async def _serve(front: Front, loader: Loader) -> int:
    deployment = Deployment()
    desk = Desk(deployment, front)
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(
        build(desk),
        host=front.host,
        port=front.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        backlog=2048,
    )
    server = Server(config, lambda: loop.call_soon_threadsafe(told.set))
    tasks = [
        asyncio.create_task(_bring_up(deployment, loader, server)),
        asyncio.create_task(_drain(desk, told, server)),
    ]
    try:
        await server.serve()
    except SystemExit as error:
        deployment.fail(f"port {front.port} cannot be opened", CANNOT_HEAL)
        log.debug("uvicorn gave up", exc_info=error)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return await _end(deployment)


async def _bring_up(deployment: Deployment, loader: Loader, server: Server) -> None:
    """Load, generate a token, then keep an eye on the engine; whatever fails ends the process."""
    try:
        engine = (await _loaded(deployment, loader)).engine
    except StartError as error:
        deployment.fail(str(error), error.exit_code)
    except Exception as error:
        log.exception("the model could not be started")
        deployment.fail(f"{type(error).__name__}: {error}", CANNOT_HEAL)
    else:
        deployment.fail(f"the engine died: {await _death(engine)}", TRY_AGAIN)
    server.should_exit = True


async def _loaded(deployment: Deployment, loader: Loader) -> Served:
    served = await _in_thread(loader)
    try:
        await _prove(served)
    except BaseException:
        await served.engine.close()
        raise
    if deployment.phase is Phase.LOADING:
        deployment.ready(served)
        about = served.engine.capabilities
        log.info("ready", extra={"fields": {"model": served.name, "engine": about.engine, "mode": about.mode}})
    return served


async def _death(engine: Engine) -> str:
    """Why the engine is dead, once it is."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        if engine.failure:
            return engine.failure


async def _in_thread(loader: Loader) -> Served:
    """Run the loader in a thread that does not keep a process alive that has been told to end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Served] = loop.create_future()

    def work() -> None:
        try:
            served = loader()
        except BaseException as error:  # noqa: BLE001 -- it is raised again by whoever awaits it
            _tell(loop, done.set_exception, error)
        else:
            _tell(loop, done.set_result, served)

    threading.Thread(target=work, name="load", daemon=True).start()
    return await done


def _tell(loop: asyncio.AbstractEventLoop, tell: Callable[[Any], None], what: Any) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(tell, what)


async def _prove(served: Served) -> None:
    """A model that has never made a token is not ready, whatever it says of itself; nor is an adapter."""
    prompt = served.tokenizer.encode(WARM_UP) or [0]
    for adapter in (None, *served.engine.capabilities.adapters):
        work = Work(prompt, Sampling(max_tokens=1, temperature=0.0), adapter)
        async for _ in served.engine.generate(work):
            pass


async def _drain(desk: Desk, told: asyncio.Event, server: Server) -> None:
    await told.wait()
    desk.deployment.drain()
    log.info("draining", extra={"fields": {"sequences": desk.admission.inside}})
    try:
        await asyncio.wait_for(desk.admission.empty(), desk.limits.drain_seconds)
    except TimeoutError:
        log.warning("%s sequences did not finish in time", desk.admission.inside)
    server.should_exit = True


async def _end(deployment: Deployment) -> int:
    failed = deployment.phase is Phase.FAILED
    if deployment.loaded:
        await deployment.loaded.engine.close()
    if failed:
        log.error(deployment.reason)
        return deployment.exit_code
    log.info("ended")
    return 0
