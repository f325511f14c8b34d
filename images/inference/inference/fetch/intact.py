"""Is a model whole? Its weights end where their own header says, and every shard of its index is there.

Checksums catch what the way spoils; this catches what was spoilt before: an upload that broke off, a shard forgotten.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from inference.errors import CANNOT_HEAL, StartError

INDEX = ".safetensors.index.json"
LENGTH_BYTES = 8
LONGEST_HEADER = 100_000_000
"""The format's own limit."""


def check_safetensors(path: Path, name: str) -> None:
    """Refuse a weights file whose header does not describe exactly the bytes behind it."""
    if not name.endswith(".safetensors"):
        return
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        header = file.read(length) if length <= LONGEST_HEADER else b""
    size = path.stat().st_size
    try:
        described = LENGTH_BYTES + length + max(_ends(json.loads(header)), default=0)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise _damaged(name, "has no header of safetensors") from error
    if described != size:
        raise _damaged(name, f"describes {described} bytes and has {size}")


def _ends(header: Mapping[str, Mapping[str, list[int]]]) -> Iterator[int]:
    return (int(tensor["data_offsets"][1]) for name, tensor in header.items() if name != "__metadata__")


def check_shards(folder: Path, names: Collection[str]) -> None:
    """Refuse a model whose index names a file that the source does not have."""
    for index in sorted(name for name in names if name.endswith(INDEX)):
        try:
            shards = set(json.loads((folder / index).read_bytes())["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(index, "is no index of weights") from error
        beside = index.rpartition("/")[0]
        missing = sorted(shard for shard in shards if (f"{beside}/{shard}" if beside else shard) not in names)
        if missing:
            raise _damaged(index, f"names `{missing[0]}`, which the source lacks")


def _damaged(name: str, how: str) -> StartError:
    return StartError(f"`{name}` {how}", "upload the model again", CANNOT_HEAL)
