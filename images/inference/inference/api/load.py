"""The load of processor, memory and GPUs in the shape that KAITO's `/metrics` has."""

import sys
from typing import Any

import psutil

GIB = 1 << 30


def measured() -> dict[str, Any]:
    """GPUs where there are any, else the processor; since the last time somebody asked, so that nobody waits."""
    gpus = _gpus()
    return {"gpu_info": gpus, "cpu_info": None} if gpus else {"gpu_info": None, "cpu_info": _cpu()}


def _cpu() -> dict[str, Any]:
    memory = psutil.virtual_memory()
    return {
        "load_percentage": psutil.cpu_percent(),
        "physical_cores": psutil.cpu_count(logical=False),
        "total_cores": psutil.cpu_count(),
        "memory": _memory(memory.used, memory.total),
    }


def _memory(used: int, total: int) -> dict[str, str]:
    return {"used": f"{used / GIB:.2f} GB", "total": f"{total / GIB:.2f} GB"}


def _gpus() -> list[dict[str, Any]]:
    """What torch knows of its devices; torch is not loaded for the sake of this answer."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [_gpu(torch, index) for index in range(torch.cuda.device_count())]


def _gpu(torch: Any, index: int) -> dict[str, Any]:
    free, total = torch.cuda.mem_get_info(index)
    return {
        "id": str(index),
        "name": torch.cuda.get_device_name(index),
        "load": _reading(torch.cuda.utilization, index, "%"),
        "temperature": _reading(torch.cuda.temperature, index, " C"),
        "memory": _memory(total - free, total),
    }


def _reading(measure: Any, index: int, unit: str) -> str:
    """A value of the driver's management library, which not every machine has."""
    try:
        return f"{measure(index)}{unit}"
    except (RuntimeError, ModuleNotFoundError):
        return "unknown"
