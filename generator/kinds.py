"""Which schema of ours describes a custom kind? One file for each group, kind and version, distilled from its CRD."""

import json
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

SCHEMAS = Path(__file__).resolve().parent / "schemas"


def schema_file(api_version: str, kind: str) -> Path:
    """`kaito.sh/v1beta1` and `Workspace` → `kaito.sh/workspace_v1beta1.json`; the file need not be there."""
    group, _, version = api_version.rpartition("/")
    return SCHEMAS / group / f"{kind.lower()}_{version}.json"


def custom_schema(api_version: str, kind: str) -> Schema | None:
    """The strict schema of a custom kind, or nothing where we have none."""
    file = schema_file(api_version, kind)
    if not file.is_file():
        return None
    found: Schema = json.loads(file.read_bytes())
    return found


def other_versions(kind: str) -> list[str]:
    """The API versions under which we have a schema of a kind."""
    found = SCHEMAS.glob(f"*/{kind.lower()}_*.json")
    return sorted(f"{file.parent.name}/{file.stem.partition('_')[2]}" for file in found)
