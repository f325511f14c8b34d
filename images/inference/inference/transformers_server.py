"""`tfs/inference_api.py`: the transformers engine behind the front."""

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from inference import logs
from inference.deployment import Served
from inference.errors import StartError
from inference.flags import TransformersCommand, parse
from inference.serve import run
from inference.settings import ModelSettings
from inference.threads import threads_to_use, usable_cpus

log = logging.getLogger(__name__)

QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run the server; the exit code of the process."""
    logs.configure()
    try:
        command = parse(sys.argv[1:] if arguments is None else arguments, environ.get("LOCAL_RANK", "0"))
    except StartError as error:
        log.error(str(error))  # noqa: TRY400 -- the message is the interface, a traceback is none
        return error.exit_code
    logs.configure(command.front.log_level)
    end_with_parent(environ)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    return run(command.front, lambda: load(command, environ))


def load(command: TransformersCommand, environ: Mapping[str, str]) -> Served:
    """Load the model in a thread: probes are answered meanwhile."""
    import torch
    import transformers

    threads = threads_to_use(environ, usable_cpus())
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    log.info("loading `%s` with %s threads", command.model.source, threads)
    from inference.engine.transformers.start import start

    engine, loaded = start(command.model, command.front.limits.running, environ)
    root = command.model.source + (f"@{loaded.revision}" if loaded.revision else "")
    return Served(engine, loaded.tokenizer, names(command.model), loaded.defaults, root)


def names(settings: ModelSettings) -> tuple[str, ...]:
    """What clients call the model: as served, else as the repository is called, else as its folder."""
    if settings.names:
        return settings.names
    return (settings.source.rstrip("/").rsplit("/", 1)[-1] if settings.local else settings.source,)


def leave(code: int) -> NoReturn:
    """End the process without waiting for threads that are inside torch: everything that matters has been closed."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def end_with_parent(environ: Mapping[str, str]) -> None:
    """Below accelerate, its death is our SIGTERM: it passes no signal on, and would leave us behind."""
    if any(name.startswith("ACCELERATE_") for name in environ):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
