"""Asks for a model as an init container does, and looks at what the folder holds then."""

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path

from inference.fetch.cli import main
from inference.fetch.download import Pace
from inference.fetch.place import MARK
from tests.stores import COMMIT

PACE = Pace(part_bytes=100_000, workers=4)
HUGGINGFACE = ("huggingface", "--repo", "example-org/model", "--revision", COMMIT)
AZUREBLOB = ("azureblob", "--account", "examplemodels", "--container", "models", "--prefix", "my-model")
REGISTRY = ("azureml", "--registry", "example-registry", "--model", "my-model", "--version", "3")
WORKSPACE = ("azureml", "--subscription", "00000000-0000-0000-0000-000000000000", "--resource-group", "ml",
             "--workspace", "example-workspace", "--model", "my-model", "--version", "3")  # fmt: skip


def fetch(source: Sequence[str], into: Path, pauses: list[float] | None = None, pace: Pace = PACE) -> int:
    """The exit code; pauses are noted, not waited for."""
    waited = [] if pauses is None else pauses

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        time.sleep(0)

    return main([*source, "--into", str(into)], sleep, pace)


def contents(folder: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del found[MARK]
    return found


def last_line(err: str) -> str:
    """What the log ends with: one sentence in JSON."""
    line = err.strip().splitlines()[-1]
    message = str(json.loads(line)["message"])
    assert not re.search(r"Traceback|\n", message)
    return message
