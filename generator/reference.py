"""The reference pages of `docs/`, written from the types and tables that the code itself uses."""

from collections.abc import Iterator
from typing import Any

from generator.model import FOLDERS, KINDS
from generator.verdict import TABLE, Verdict

NOTE = "<!-- Written by `kaitops schemas` from the code; edit the code. -->"
WORDS = {"object": "map", "array": "list", "integer": "number"}
MEANINGS = {
    Verdict.LIVE: "applied in place, nothing restarts",
    Verdict.RESTART: "applied in place by restarting the only pod; blue-green unless the entry says `rollout: Restart`",
    Verdict.BLUE_GREEN: "a new object beside the old one, which serves until the new one is healthy",
    Verdict.RECREATE: "the old object goes before the new one can serve",
    Verdict.REFUSED: "no rendering carries the edit; the checks say so",
}


def pages() -> dict[str, str]:
    """File name in `docs/` → its text."""
    return {"catalog.md": _catalog(), "verdicts.md": _verdicts()}


def _verdicts() -> str:
    head = [
        "# What an edit does to what runs",
        NOTE,
        "",
        "KAITO makes most fields immutable or ignores their edits. An object is therefore named `<entry>-<revision>`,",
        "the revision being a hash over exactly the fields whose edit cannot roll out in place.",
        "",
        *(f"- **{verdict.value}**: {meaning}" for verdict, meaning in MEANINGS.items()),
        "",
        "| kind | field | verdict | set or removed | source |",
        "|---|---|---|---|---|",
    ]
    rows = (
        f"| {row.kind} | `{row.path}` | {row.verdict.value} | {(row.presence or row.verdict).value} | {row.source} |"
        for row in TABLE
    )
    return "\n".join([*head, *rows]) + "\n"


def _catalog() -> str:
    lines = ["# The fields of a catalog entry", NOTE, ""]
    for kind, model in KINDS.items():
        schema = model.model_json_schema(by_alias=True)
        lines += [f"## {kind} (`catalog/{FOLDERS[kind]}/<name>.yaml`)", ""]
        lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
        lines += _rows(schema["$defs"][f"{kind}Spec"], schema["$defs"], "spec")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _rows(node: dict[str, Any], definitions: dict[str, Any], path: str) -> Iterator[str]:
    required = node.get("required", [])
    for name, field in node.get("properties", {}).items():
        default = "required" if name in required else _default(field)
        inner, suffix = _inner(field, definitions)
        meaning = field.get("description") or (inner or {}).get("description", "")
        meaning = " ".join(meaning.replace("|", "\\|").split())
        yield f"| `{path}.{name}` | {_type(field, definitions)} | {default} | {meaning} |"
        if inner is not None:
            yield from _rows(inner, definitions, f"{path}.{name}{suffix}")


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    if isinstance(value, dict | list) or value in (None, ""):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _options(field: dict[str, Any]) -> list[dict[str, Any]]:
    return [option for option in field.get("anyOf", [field]) if option.get("type") != "null"]


def _inner(field: dict[str, Any], definitions: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """The object that a field holds, and how its path goes on: `[]` through a list, `.<name>` through a map."""
    for option in _options(field):
        for holder, suffix in (
            (option, ""),
            (option.get("items"), "[]"),
            (option.get("additionalProperties"), ".<name>"),
        ):
            if isinstance(holder, dict) and "$ref" in holder:
                return definitions[holder["$ref"].rpartition("/")[2]], suffix
    return None, ""


def _type(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    words = []
    for option in _options(field):
        if "enum" in option or "const" in option:
            words += [f"`{value}`" for value in option.get("enum", [option.get("const")])]
        elif "$ref" in option:
            target = definitions[option["$ref"].rpartition("/")[2]]
            words += [f"`{value}`" for value in target["enum"]] if "enum" in target else ["map"]
        else:
            words.append(
                {"object": "map", "array": "list", "integer": "number"}.get(
                    option.get("type", ""), option.get("type", "")
                )
            )
    return " or ".join(dict.fromkeys(words))
