"""How much memory vLLM takes where nobody has said it.

vLLM's own share of 0.92 fails where the driver or a neighbour holds more than the rest. On a GPU KAITO takes what is
free, less a reserve, and so does this. On a CPU a share of the machine would leave nothing for anybody else: keys and
values get what the transformers engine gives them.
"""

import logging
import math
import os
from collections.abc import Mapping
from itertools import starmap
from typing import Any

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
        devices = _devices(environ.get("CUDA_VISIBLE_DEVICES", ""))
        arguments.gpu_memory_utilization = min(starmap(share, devices), default=FALLBACK_SHARE)
    log.info(
        "memory: %s bytes for keys and values, a share of %s for everything",
        arguments.kv_cache_memory_bytes or "the rest",
        arguments.gpu_memory_utilization,
    )


def share(free: int, total: int) -> float:
    """The part of a GPU that is free, less the reserve, in whole hundredths."""
    return max(0.01, min(LARGEST_SHARE, math.floor((free - RESERVE) * 100 / total) / 100))


def _devices(visible: str) -> list[tuple[int, int]]:
    """Free and total bytes of each GPU that vLLM may take, by NVML: torch would take memory of each to find out.

    NVML itself knows nothing of `CUDA_VISIBLE_DEVICES`; a GPU that is not named there may well be full.
    """
    nvml = import_pynvml()
    try:
        nvml.nvmlInit()
        try:
            names = [name.strip() for name in visible.split(",") if name.strip()]
            handles = [_handle(nvml, name) for name in names or map(str, range(nvml.nvmlDeviceGetCount()))]
            found = [nvml.nvmlDeviceGetMemoryInfo(handle) for handle in handles]
        finally:
            nvml.nvmlShutdown()
    except nvml.NVMLError as error:
        log.warning("the GPU's driver does not tell its memory: %s", error)
        return []
    return [(memory.free, memory.total) for memory in found]


def _handle(nvml: Any, name: str) -> Any:
    """A GPU by its number or its UUID, as `CUDA_VISIBLE_DEVICES` names them."""
    return nvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdecimal() else nvml.nvmlDeviceGetHandleByUUID(name)
