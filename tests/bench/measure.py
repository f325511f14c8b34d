"""What does one process cost: time on the clock, time on the processor, peak of memory?

Whole processes are measured, since that is what a person waits for. Processor time stands beside the clock's because
it hardly changes when the machine is busy with something else.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

KIB = 1024
Command = Sequence[str | Path]


class BenchError(Exception):
    """A measured command failed, so there is no figure."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process with its children, or the medians of several runs."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def environment(bytecode: Path) -> Mapping[str, str]:
    """As in an ordinary installation, Python's compiled files are kept and found, whatever the caller's shell says.

    Nor are we `CI`, which believes no cache: a figure says itself whether one had a part in it.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in {"PYTHONDONTWRITEBYTECODE", "CI"}}
    return inherited | {"PYTHONPYCACHEPREFIX": str(bytecode)}


def run(command: Command, env: Mapping[str, str], cwd: Path | None = None) -> Cost:
    """Run once, to success.

    Raises:
        BenchError: the command failed; with its last words.
    """
    started = time.perf_counter()
    with subprocess.Popen(
        [str(part) for part in command], env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        output = process.stdout.read() if process.stdout else b""
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        words = output.decode(errors="replace").strip()[-2000:]
        raise BenchError(f"`{' '.join(map(str, command))}` ended with exit {process.returncode}:\n{words}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / KIB)


def medians(once: Callable[[], Cost], runs: int) -> Cost:
    """The medians of several runs after one that only warms up."""
    once()
    costs = [once() for _ in range(runs)]
    return Cost(
        median(cost.seconds for cost in costs),
        median(cost.cpu_seconds for cost in costs),
        median(cost.peak_mib for cost in costs),
    )


def run_all(commands: Sequence[Command], env: Mapping[str, str], at_once: int = 2) -> Cost:
    """All of them, a process each, some at a time: the clock from the first start to the last end."""
    started = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        costs = list(pool.map(lambda command: run(command, env), commands))
    seconds = time.perf_counter() - started
    return Cost(seconds, sum(cost.cpu_seconds for cost in costs), max(cost.peak_mib for cost in costs))


def say(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()
