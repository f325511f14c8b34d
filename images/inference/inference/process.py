"""What every entry point does around its engine: log, read the flags, serve, end."""

import ctypes
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from typing import NoReturn, Protocol, TypeVar

from inference import caches, logs
from inference.deployment import Served
from inference.errors import StartError
from inference.serve import run
from inference.settings import Front

log = logging.getLogger(__name__)

QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
PR_SET_PDEATHSIG = 1
OPEN_FILES = 1 << 16
SPINS = "5000"
"""How often a thread of OpenMP looks for work before it sleeps: a fraction of a millisecond. With libgomp's 300,000 a
neighbour on the same processors makes a step ten times slower, since all wait actively for a thread that cannot run."""


class Command(Protocol):
    """A command line, understood."""

    @property
    def front(self) -> Front: ...


Understood = TypeVar("Understood", bound=Command)


def serve(parse: Callable[[str], Understood], load: Callable[[Understood], Served], environ: Mapping[str, str]) -> int:
    """Run the server that a command line asks for; the exit code of the process."""
    logs.configure()
    try:
        command = parse(environ.get("LOCAL_RANK", "0"))
        os.environ.update(caches.moved(environ))
    except StartError as error:
        log.error(str(error))  # noqa: TRY400 -- the message is the interface, a traceback is none
        return error.exit_code
    logs.configure(command.front.log_level)
    _end_with_parent(environ)
    allow_connections()
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    return run(command.front, lambda: load(command))


def allow_connections() -> None:
    """Raise the limit of open files as far as the container may: its usual 1024 are fewer than a burst of clients.

    Where none is left, nobody gets in for seconds, probes included, and the log fills with the refusals.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def leave(code: int) -> NoReturn:
    """End the process without waiting for threads that are inside torch: everything that matters has been closed."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _end_with_parent(environ: Mapping[str, str]) -> None:
    """Below accelerate, its death is our SIGTERM: it passes no signal on, and would leave us behind."""
    if any(name.startswith("ACCELERATE_") for name in environ):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
