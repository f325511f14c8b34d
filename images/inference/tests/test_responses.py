"""`/v1/responses` answers what `/v1/chat/completions` answers, in its own words; asked by OpenAI's own client."""

from typing import Any, Literal

import httpx
import openai
import pytest
from pydantic import BaseModel

from tests.servers import Running

SAID: Any = [{"role": "user", "content": "one two"}]
FUNCTION = {
    "type": "object",
    "properties": {"n": {"enum": [1, 2]}},
    "required": ["n"],
    "additionalProperties": False,
}
TOOL: Any = {"type": "function", "name": "count", "parameters": FUNCTION, "strict": True}


class Count(BaseModel):
    """What a client asks for by a class."""

    n: Literal[1, 2]


@pytest.fixture
def wanted(client: openai.OpenAI) -> dict[str, Any]:
    return {"model": client.models.list().data[0].id, "temperature": 0}


def test_a_response_says_what_a_chat_says(client: openai.OpenAI, wanted: dict[str, Any]) -> None:
    chat = client.chat.completions.create(messages=SAID, max_completion_tokens=6, **wanted)
    answer = client.responses.create(input="one two", max_output_tokens=6, **wanted)
    assert answer.output_text == chat.choices[0].message.content
    assert chat.usage is not None
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (
        chat.usage.prompt_tokens,
        chat.usage.completion_tokens,
    )
    cut = chat.choices[0].finish_reason == "length"
    assert answer.status == ("incomplete" if cut else "completed")
    assert (answer.incomplete_details is not None) is cut


def test_a_stream_grows_into_the_whole_response(client: openai.OpenAI, wanted: dict[str, Any]) -> None:
    whole = client.responses.create(input=SAID, max_output_tokens=12, **wanted)
    with client.responses.stream(input=SAID, max_output_tokens=12, **wanted) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert sum(event.type == "response.output_text.delta" for event in events) > 3
    last = events[-1]
    assert last.type in ("response.completed", "response.incomplete")
    assert last.response.output_text == whole.output_text
    assert (last.response.status, last.response.usage) == (whole.status, whole.usage)


def test_a_conversation_goes_on_with_what_was_answered(client: openai.OpenAI, wanted: dict[str, Any]) -> None:
    first = client.responses.create(input=SAID, instructions="be brief", max_output_tokens=4, **wanted)
    items: Any = [*SAID, *[item.model_dump() for item in first.output], {"role": "user", "content": "three"}]
    then = client.responses.create(input=items, instructions="be brief", max_output_tokens=4, **wanted)
    messages: Any = [
        {"role": "system", "content": "be brief"},
        *SAID,
        {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "three"},
    ]
    chat = client.chat.completions.create(messages=messages, max_completion_tokens=4, **wanted)
    assert then.output_text == chat.choices[0].message.content
    assert chat.usage is not None
    assert then.usage is not None
    assert then.usage.input_tokens == chat.usage.prompt_tokens


def test_a_tool_is_called_and_answered(client: openai.OpenAI, wanted: dict[str, Any], engine: str) -> None:
    if engine == "echo":
        with pytest.raises(openai.BadRequestError, match="tools"):
            client.responses.create(input="one", tools=[TOOL], **wanted)
        return
    asked: Any = {"input": SAID, "tools": [TOOL], "tool_choice": "required", "max_output_tokens": 80} | wanted
    (call,) = client.responses.create(**asked).output
    assert (call.type, call.name) == ("function_call", "count")
    assert Count.model_validate_json(call.arguments).n in (1, 2)
    with client.responses.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert "response.function_call_arguments.done" in kinds
    assert [item.type for item in final.output] == ["function_call"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "1"}
    named = {"type": "function", "name": "count"}
    more = asked | {"input": [*SAID, call.model_dump(), result], "tool_choice": named}
    assert client.responses.create(**more).output[0].type == "function_call"


def test_an_answer_of_a_class_is_parsed(client: openai.OpenAI, wanted: dict[str, Any], engine: str) -> None:
    if engine == "echo":
        pytest.skip("the echo follows no schema")
    parsed = client.responses.parse(input=SAID, text_format=Count, max_output_tokens=60, **wanted).output_parsed
    assert parsed is not None
    assert parsed.n in (1, 2)


def test_log_probabilities_come_with_the_text(client: openai.OpenAI, wanted: dict[str, Any]) -> None:
    answer = client.responses.create(
        input=SAID, max_output_tokens=3, include=["message.output_text.logprobs"], top_logprobs=1, **wanted
    )
    item = answer.output[0]
    assert item.type == "message"
    part = item.content[0]
    assert part.type == "output_text"
    assert part.logprobs is not None
    assert answer.usage is not None
    assert len(part.logprobs) == answer.usage.output_tokens
    assert all(token.top_logprobs[0].token == token.token for token in part.logprobs)


PICTURE = [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"input": "x", "store": True}, "store"),
    ({"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
    ({"input": "x", "max_output_tokens": 10**6}, "max_output_tokens"),
    ({"input": "x", "reasoning": {"effort": "high"}}, "reasoning"),
    ({"input": "x", "top_logprobs": 2}, "top_logprobs"),
    ({"input": "x", "text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format"),
    ({"input": []}, "input"),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input"),
    ({"input": [{"type": "function_call_output", "output": "1"}]}, "input"),
    ({"input": PICTURE}, "input"),
    ({}, "input"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("body", "field"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_be_honoured_is_refused_by_its_name_here(
    server: Running, body: dict[str, Any], field: str, stream: bool
) -> None:
    answer = server.client.post("/v1/responses", json=body | {"stream": stream})
    assert answer.status_code == httpx.codes.BAD_REQUEST, answer.text
    error = answer.json()["error"]
    assert error["param"] == field
    assert "`messages" not in error["message"]
    assert "response_format" not in error["message"]
