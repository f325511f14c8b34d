"""How much memory vLLM takes where nobody has said it.

vLLM's own share of 0.92 fails where the driver or a neighbour holds more than the rest. On a GPU KAITO takes what is
free, less a reserve, and so does this. On a CPU a share of the machine would leave nothing for anybody else: keys and
values get what the transformers engine gives them.
"""

import logging
import math
import os
from collections.abc import Iterator, Mapping
from itertools import starmap

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.platforms import current_platform
from vllm.utils.import_utils import import_pynvml

from inference.threads import cache_budget

log = logging.getLogger(__name__)
RESERVE = 600 << 20
"""What torch needs beside its tensors, by KAITO's measurements."""
LARGEST_SHARE = 0.95
FALLBACK_SHARE = 0.84
"""KAITO's, where the driver does not tell."""


def with_memory(arguments: AsyncEngineArgs, environ: Mapping[str, str] = os.environ) -> None:
    """Decide what the command line leaves open; the arguments come with no share where none was given."""
    if arguments.gpu_memory_utilization is not None:
        return
    if current_platform.is_cpu():
        arguments.gpu_memory_utilization = AsyncEngineArgs.gpu_memory_utilization
        if arguments.kv_cache_memory_bytes is None and not environ.get("VLLM_CPU_KVCACHE_SPACE"):
            arguments.kv_cache_memory_bytes = cache_budget()
    else:
        arguments.gpu_memory_utilization = min(starmap(share, _devices()), default=FALLBACK_SHARE)
    log.info(
        "memory: %s bytes for keys and values, a share of %s for everything",
        arguments.kv_cache_memory_bytes or "the rest",
        arguments.gpu_memory_utilization,
    )


def share(free: int, total: int) -> float:
    """The part of a GPU that is free, less the reserve, in whole hundredths."""
    return max(0.01, min(LARGEST_SHARE, math.floor((free - RESERVE) * 100 / total) / 100))


def _devices() -> Iterator[tuple[int, int]]:
    """Free and total bytes of each GPU of the container, by NVML: torch would take memory of each to find out."""
    nvml = import_pynvml()
    try:
        nvml.nvmlInit()
        for index in range(nvml.nvmlDeviceGetCount()):
            memory = nvml.nvmlDeviceGetMemoryInfo(nvml.nvmlDeviceGetHandleByIndex(index))
            yield memory.free, memory.total
        nvml.nvmlShutdown()
    except nvml.NVMLError as error:
        log.warning("the GPU's driver does not tell its memory: %s", error)
