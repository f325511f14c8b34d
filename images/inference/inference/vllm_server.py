"""`vllm/inference_api.py`: vLLM's engine behind the same front."""

import os
import sys
from collections.abc import Mapping, Sequence

from inference.deployment import Served
from inference.engine.vllm.flags import VllmCommand, parse
from inference.process import serve


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run the server; the exit code of the process."""
    given = sys.argv[1:] if arguments is None else arguments
    return serve(lambda rank: parse(given, rank), lambda command: load(command, environ), environ)


def load(command: VllmCommand, environ: Mapping[str, str]) -> Served:
    """Start vLLM in a thread: importing it alone takes many seconds, and probes are answered meanwhile."""
    os.environ["VLLM_CONFIGURE_LOGGING"] = "0"
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    # Python's tracker of shared memory outlives this process: over what a killed one left, it would have the last word.
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    from inference.engine.vllm.start import start

    return start(command, environ)
