"""Tool calls: forced ones follow a grammar, free ones are read in the forms that models are trained to write."""

import copy
import json
import re
import uuid
from collections.abc import Sequence
from typing import Any

from inference.api.openai_wire import ChatRequest, NamedTool, Tool
from inference.deployment import Served
from inference.errors import RequestError, unsupported

MARKS = ("<tool_call>", "[TOOL_CALLS]", "<|python_tag|>", "{", "[")
_TAGGED = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|$)", re.DOTALL)


def offered(served: Served, body: ChatRequest) -> list[Tool]:
    """The tools that the model is told of; a model whose template has no place for them is not asked in vain."""
    tools = body.tools or []
    if body.tool_choice not in (None, "none", "auto") and not tools:
        raise RequestError("`tool_choice` needs `tools`", "tool_choice")
    if not tools or body.tool_choice == "none":
        return []
    if "tools" in served.engine.capabilities.unsupported or not served.tokenizer.knows_tools:
        raise unsupported("tools", f"is not supported: the chat template of `{served.name}` has no place for tools")
    if isinstance(body.tool_choice, NamedTool):
        _named(tools, body.tool_choice)
    return tools


def _named(tools: Sequence[Tool], choice: NamedTool) -> Tool:
    for tool in tools:
        if tool.function.name == choice.function.name:
            return tool
    raise RequestError(f"`tool_choice` names `{choice.function.name}`, which is not in `tools`", "tool_choice")


def forced_schema(tools: Sequence[Tool], choice: Any) -> str | None:
    """What the answer must look like where a call is demanded: one of the tools, with arguments of its schema."""
    if not tools or choice in (None, "auto", "none"):
        return None
    allowed = [_named(tools, choice)] if isinstance(choice, NamedTool) else list(tools)
    if len(allowed) == 1:
        return json.dumps(_call_schema(allowed[0], "#"))
    return json.dumps({"anyOf": [_call_schema(tool, f"#/anyOf/{place}") for place, tool in enumerate(allowed)]})


def _call_schema(tool: Tool, place: str) -> dict[str, Any]:
    """What a call of this tool looks like, for a schema that has it at `place`."""
    arguments = _moved(tool.function.parameters or {"type": "object"}, f"{place}/properties/arguments")
    return {
        "type": "object",
        "properties": {"name": {"const": tool.function.name}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _moved(schema: dict[str, Any], place: str) -> dict[str, Any]:
    """The schema for another place: what refers to its own root, as Pydantic's nested models do, goes along."""
    moved = copy.deepcopy(schema)
    unseen: list[Any] = [moved]
    while unseen:
        part = unseen.pop()
        unseen += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        if isinstance(part, dict) and isinstance(reference := part.get("$ref"), str) and reference.startswith("#"):
            part["$ref"] = place + reference[1:]
    return moved


def parse(text: str, tools: Sequence[Tool]) -> tuple[str | None, list[dict[str, Any]]]:
    """The text beside the calls, and the calls to tools that were offered; other JSON is an answer like any."""
    names = {tool.function.name for tool in tools}
    tagged = _TAGGED.findall(text)
    if tagged:
        calls = [call for body in tagged for call in _calls(body, names)]
        rest = _TAGGED.sub("", text).strip()
    else:
        bare = text.strip().removeprefix("[TOOL_CALLS]").removeprefix("<|python_tag|>")
        calls, rest = _calls(bare, names), ""
    return (rest or None, calls) if calls else (text, [])


def _calls(text: str, names: set[str]) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    found = found if isinstance(found, list) else [found]
    calls = [_call(item) for item in found if isinstance(item, dict) and item.get("name") in names]
    return calls if len(calls) == len(found) else []


def _call(found: dict[str, Any]) -> dict[str, Any]:
    arguments = found.get("arguments", found.get("parameters", {}))
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {
        "id": f"call_{uuid.uuid4().hex[:24]}",
        "type": "function",
        "function": {"name": found["name"], "arguments": text},
    }


def may_be_call(text: str) -> bool:
    """Whether a text that has just begun may still turn out to be a call, so that it must not be sent as words yet."""
    begun = text.lstrip()
    return any(begun.startswith(mark) or mark.startswith(begun) for mark in MARKS)
