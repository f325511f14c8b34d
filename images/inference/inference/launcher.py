"""`accelerate launch` of a single process, without accelerate staying in between.

The real launcher would be process 1 of the container, passes no signal on and, as process 1, does not even die of one:
SIGTERM would be lost, and every pod killed after its grace period with requests in flight. It also imports torch once
more. So a launch of one process becomes the script itself; anything else is handed to the real launcher.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

VALUES = {
    "--num_processes": ("1",),
    "--num_machines": ("1",),
    "--machine_rank": ("0",),
    "--gpu_ids": None,
    "--mixed_precision": ("no",),
    "--num_cpu_threads_per_process": None,
    "--main_process_port": None,
    "--dynamo_backend": ("no",),
}
"""Flags with a value, and the values under which one process is all there is to launch; None is any."""
SWITCHES = frozenset({"--cpu", "--quiet"})
Execute = Callable[[str, list[str], dict[str, str]], NoReturn]


def main(arguments: Sequence[str], execute: Execute = os.execve) -> int:
    """Replace this process by the script, or by accelerate itself."""
    environ = dict(os.environ)
    simple = single_script(arguments)
    if simple is None:
        command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", *arguments]
    else:
        options, script = simple
        command = [sys.executable, *script]
        threads = options.get("--num_cpu_threads_per_process", "")
        environ |= {"OMP_NUM_THREADS": threads} if threads else {}
    execute(sys.executable, command, environ)


def single_script(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]] | None:
    """The launch's options and the script with its arguments, where the launch is of one process on one machine."""
    if not arguments or arguments[0] != "launch":
        return None
    options: dict[str, str] = {}
    rest = list(arguments[1:])
    while rest and rest[0].startswith("-"):
        flag, equals, value = rest.pop(0).replace("-", "_").replace("__", "--", 1).partition("=")
        if flag in SWITCHES and not equals:
            continue
        if flag not in VALUES or not (equals or rest):
            return None
        options[flag] = value if equals else rest.pop(0)
        allowed = VALUES[flag]
        if allowed is not None and options[flag] not in allowed:
            return None
    if options.get("--num_processes") != "1" or not rest:
        return None
    return options, rest
