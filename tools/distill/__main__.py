"""`python -m tools.distill`: write `generator/schemas/`, or with `--check` say what in it is stale."""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from generator.finding import CannotRunError
from tools.distill.sources import crds, fetch
from tools.distill.structural import distill

SCHEMAS = Path(__file__).resolve().parents[2] / "generator" / "schemas"
BY_HAND = ("metadata.json", "kustomize.config.k8s.io/")
"""Written by a person: kustomize has no CRD, and metadata is the same for every kind."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.distill", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a schema is stale")
    check = parser.parse_args(arguments).check
    try:
        wanted = texts(crds(fetch()))
    except CannotRunError as error:
        sys.stderr.write(f"error: {error}\n" + (f"  hint: {error.hint}\n" if error.hint else ""))
        return 2
    stale = [name for name in sorted(wanted.keys() | committed()) if wanted.get(name) != _read(name)]
    for name in stale:
        if check:
            sys.stdout.write(f"generator/schemas/{name}: error: the schema is stale [schemas/stale]\n")
        else:
            _replace(name, wanted.get(name))
    sys.stderr.write(f"{len(stale)} of {len(wanted)} schemas {'are stale' if check else 'written'}\n")
    return 1 if check and stale else 0


def texts(found: Iterable[tuple[dict[str, Any], str]]) -> dict[str, str]:
    """Path below `generator/schemas/` and text of the schema of each CRD and version."""
    metadata = json.loads((SCHEMAS / "metadata.json").read_text("utf-8"))
    return {_name(crd, version): _text(distill(crd, version, metadata)) for crd, version in found}


def committed() -> set[str]:
    """The schemas on disk that this tool owns."""
    names = {file.relative_to(SCHEMAS).as_posix() for file in SCHEMAS.rglob("*.json")}
    return {name for name in names if not name.startswith(BY_HAND)}


def _name(crd: dict[str, Any], version: str) -> str:
    return f"{crd['spec']['group']}/{crd['spec']['names']['kind'].lower()}_{version}.json"


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _read(name: str) -> str | None:
    file = SCHEMAS / name
    return file.read_text("utf-8") if file.is_file() else None


def _replace(name: str, text: str | None) -> None:
    file = SCHEMAS / name
    if text is None:
        file.unlink()
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
