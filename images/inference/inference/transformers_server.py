"""`tfs/inference_api.py`: the transformers engine behind the front."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence

from inference.deployment import Served
from inference.flags import TransformersCommand, default_name, parse
from inference.process import serve
from inference.settings import ModelSettings
from inference.threads import threads_to_use, usable_cpus

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run the server; the exit code of the process."""
    given = sys.argv[1:] if arguments is None else arguments
    return serve(lambda rank: parse(given, rank), lambda command: load(command, environ), environ)


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
    return settings.names or (default_name(settings.source),)
