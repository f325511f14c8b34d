"""OpenAI's body for `/v1/responses`, and the chat that it means."""

from typing import Annotated, Any, Literal

from pydantic import Field

from inference.api.fields import Body, Count, Share, Temperature
from inference.api.openai_wire import (
    ChatRequest,
    ContentPart,
    FunctionCall,
    FunctionSpec,
    JsonSchema,
    Message,
    NamedFunction,
    NamedTool,
    ResponseFormat,
    Tool,
    ToolCall,
)
from inference.errors import RequestError, unsupported

LOGPROBS = "message.output_text.logprobs"
TEXTS = frozenset({"input_text", "output_text", "text"})


class InputPart(Body):
    type: str
    text: str | None = None
    # An answer that is sent back has these beside its text.
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None


class InputItem(Body):
    """What was said, called or answered so far; which fields count depends on the type."""

    type: Literal["message", "function_call", "function_call_output"] = "message"
    id: str | None = None
    status: str | None = None
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[InputPart] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[InputPart] | None = None


class Form(JsonSchema):
    type: Literal["text", "json_object", "json_schema"]


class Text(Body):
    format: Form | None = None
    verbosity: Literal["medium"] | None = None


class FunctionTool(FunctionSpec):
    type: Literal["function"]


class NamedChoice(NamedFunction):
    type: Literal["function"]


class StreamOptions(Body):
    include_obfuscation: Literal[False] | None = None


class ResponsesRequest(Body):
    """POST /v1/responses."""

    model: str | None = None
    input: str | Annotated[list[InputItem], Field(min_length=1, max_length=4096)]
    instructions: str | None = None
    max_output_tokens: Count | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    text: Text | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    include: list[Literal["message.output_text.logprobs", "reasoning.encrypted_content"]] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    truncation: Literal["disabled"] | None = None
    previous_response_id: str | None = None
    # Nothing is kept and nothing is done later
    store: Literal[False] | None = None
    background: Literal[False] | None = None
    # OpenAI's own, without effect on the answer
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: Literal["auto", "default"] | None = None


def as_chat(body: ResponsesRequest) -> ChatRequest:
    """The same request in the words of `/v1/chat/completions`."""
    if body.previous_response_id:
        raise unsupported(
            "previous_response_id", "is not supported: no answer is kept, send the conversation as `input`"
        )
    reported = LOGPROBS in (body.include or [])
    if body.top_logprobs and not reported:
        raise RequestError(f"`top_logprobs` needs `include` with `{LOGPROBS}`", "top_logprobs")
    return ChatRequest(
        model=body.model,
        messages=_messages(body),
        max_completion_tokens=body.max_output_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        response_format=_response_format(body.text.format) if body.text and body.text.format else None,
        tools=[_tool(tool) for tool in body.tools] if body.tools else None,
        tool_choice=_tool_choice(body.tool_choice),
        parallel_tool_calls=body.parallel_tool_calls,
        logprobs=reported,
        top_logprobs=body.top_logprobs if reported else None,
    )


def _messages(body: ResponsesRequest) -> list[Message]:
    """One message for each item; calls that belong together are one message of the assistant."""
    items = [InputItem(role="user", content=body.input)] if isinstance(body.input, str) else body.input
    said = [Message(role="system", content=body.instructions)] if body.instructions else []
    for place, item in enumerate(items):
        if item.type == "function_call":
            if not (said and said[-1].role == "assistant" and said[-1].tool_calls):
                said.append(Message(role="assistant", tool_calls=[]))
            said[-1].tool_calls = [*(said[-1].tool_calls or []), _call(item, place)]
        else:
            said.append(_message(item, place))
    return said


def _message(item: InputItem, place: int) -> Message:
    if item.type == "function_call_output":
        if item.call_id is None or item.output is None:
            raise RequestError(f"`input[{place}]` needs `call_id` and `output`", "input")
        return Message(role="tool", tool_call_id=item.call_id, content=_content(item.output))
    if item.role is None or item.content is None:
        raise RequestError(f"`input[{place}]` needs `role` and `content`", "input")
    return Message(role=item.role, content=_content(item.content))


def _call(item: InputItem, place: int) -> ToolCall:
    if item.call_id is None or item.name is None:
        raise RequestError(f"`input[{place}]` needs `call_id` and `name`", "input")
    return ToolCall(id=item.call_id, function=FunctionCall(name=item.name, arguments=item.arguments or ""))


def _content(content: str | list[InputPart]) -> str | list[ContentPart]:
    if isinstance(content, str):
        return content
    for part in content:
        if part.type not in TEXTS or part.text is None:
            raise unsupported("input", f"holds a part of type `{part.type}`, but only text is understood")
    return [ContentPart(type="text", text=part.text) for part in content]


def _response_format(form: Form) -> ResponseFormat:
    schema = JsonSchema(name=form.name, schema=form.schema_) if form.type == "json_schema" else None
    return ResponseFormat(type=form.type, json_schema=schema)


def _tool(tool: FunctionTool) -> Tool:
    function = FunctionSpec(
        name=tool.name, description=tool.description, parameters=tool.parameters, strict=tool.strict
    )
    return Tool(type="function", function=function)


def _tool_choice(choice: Any) -> Any:
    if isinstance(choice, NamedChoice):
        return NamedTool(type="function", function=NamedFunction(name=choice.name))
    return choice
