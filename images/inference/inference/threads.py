"""How many processors and how much memory this container really has.

Two traps make a server slow without a word. `accelerate launch` sets `OMP_NUM_THREADS=1` for its child, and a container
with a CPU limit still sees every processor of its node: too few threads or far too many, both cost most of the speed.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
GIBIBYTE = 1 << 30
CACHE_SHARE = 4


def usable_cpus(cgroup: Path = CGROUP, affinity: int | None = None) -> int:
    """Processors that this process may keep busy: the smaller of its CPU quota and its affinity."""
    bound = affinity or len(os.sched_getaffinity(0))
    return max(1, min(bound, math.ceil(_quota(cgroup) or bound)))


def _quota(cgroup: Path) -> float | None:
    """CPUs that the cgroup's quota is worth, in version 2 or 1 of the interface; None where nothing limits it."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        quota, period = _read(cgroup / "cpu" / "cpu.cfs_quota_us"), _read(cgroup / "cpu" / "cpu.cfs_period_us")
    if not quota.lstrip("-").isdigit() or not period.isdigit() or int(quota) <= 0 or int(period) <= 0:
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def memory_limit(cgroup: Path = CGROUP) -> int:
    """Bytes that the container may use: its limit, or the machine's memory where there is none."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _read(cgroup / name)
        if text.isdigit():
            return min(int(text), machine)
    return machine


def cache_budget(cgroup: Path = CGROUP) -> int:
    """Bytes for keys and values on a CPU: a quarter of what the container may use, and no more than a gibibyte."""
    return min(GIBIBYTE, memory_limit(cgroup) // CACHE_SHARE)


def threads_to_use(environ: Mapping[str, str], available: int) -> int:
    """What the operator chose with `OMP_NUM_THREADS`; never more than there are processors.

    A lone `1` beside accelerate's own variables is accelerate's default and nobody's choice.
    """
    wanted = environ.get("OMP_NUM_THREADS", "").strip()
    launched = any(name in environ for name in ("ACCELERATE_MIXED_PRECISION", "ACCELERATE_USE_CPU"))
    if not wanted.isdigit() or int(wanted) == 0 or (wanted == "1" and launched):
        return available
    return min(int(wanted), available)
