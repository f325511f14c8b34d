"""`python -m reconciler [orphans | adopt] --help`: run it, or look before anything is done."""

import asyncio
import os
import sys
from collections.abc import Sequence

from reconciler.kube import KubeError
from reconciler.logs import log_as_json
from reconciler.run import run
from reconciler.settings import SettingsError, read_settings

COMMANDS = ("run", "orphans", "adopt")


def main(arguments: Sequence[str]) -> int:
    """0: it did what was asked; 1: it could not, or lost its lease; 2: it was asked wrongly."""
    command, rest = (arguments[0], arguments[1:]) if arguments and arguments[0] in COMMANDS else ("run", arguments)
    try:
        if command == "run":
            settings = read_settings(rest, os.environ)
            log_as_json(settings.log_level)
            return asyncio.run(run(settings))
        return _look(command, rest)
    except SettingsError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)  # noqa: T201 -- the start-up message is for a person
        return 2
    except KubeError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 -- as above
        return 1


def _look(command: str, rest: Sequence[str]) -> int:
    from reconciler import adopt, look  # noqa: PLC0415 -- the long-running command never needs them

    if command == "orphans":
        return asyncio.run(look.orphans(rest, os.environ))
    return asyncio.run(adopt.adopt(rest, os.environ))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
