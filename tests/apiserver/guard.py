"""Ends the programs of a test process with it, however it ends, and removes their folder.

Runs as a process of its own, without any import of ours: standard input names each program's id as it starts (`+12`)
and as it has ended (`-12`), and closes when the test process is done or dead.
"""

import os
import shutil
import signal
import sys
from contextlib import suppress


def main(folder: str) -> None:
    running: set[int] = set()
    for line in sys.stdin:
        number = int(line[1:])
        running = running | {number} if line[0] == "+" else running - {number}
    for number in running:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
