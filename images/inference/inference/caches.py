"""Where libraries keep what they compile and download: torch ends the process at its import where it cannot be made.

The image names folders of a volume at `/cache`. Who starts it without that volume gets one among the temporary files.
"""

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

from inference.errors import CANNOT_HEAL, StartError

log = logging.getLogger(__name__)
NAMES = (
    "HF_HOME",
    "XDG_CACHE_HOME",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    "NUMBA_CACHE_DIR",
    "VLLM_CACHE_ROOT",
)


def moved(environ: Mapping[str, str]) -> dict[str, str]:
    """Other folders for the variables whose own cannot be made."""
    lost = [name for name in NAMES if environ.get(name) and not _made(Path(environ[name]))]
    if not lost:
        return {}
    log.warning("%s cannot be made; what is kept there goes to the temporary files", environ[lost[0]])
    return {name: str(_temporary() / "cache" / name.lower()) for name in lost}


def _made(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return True


def _temporary() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise StartError(
            "no folder can be written, not even for temporary files",
            "mount an `emptyDir` at `/tmp`, and one at `/cache`",
            CANNOT_HEAL,
        ) from error
