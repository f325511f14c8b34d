"""What libraries, load generators and load balancers send beside the plain request, as they were seen to send it."""

import gzip
import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import httpx
import openai
import pytest
from pydantic import BaseModel

from inference.api.kaito import ChatBody, order
from inference.deployment import Served
from inference.engine.echo import END, EchoEngine, EchoTokenizer
from tests.servers import Running, in_process

SAID = [{"role": "user", "content": "one two"}]


class Unit(BaseModel):
    name: Literal["m", "s"]


class Length(BaseModel):
    """A model within a model: its schema refers to a definition of its own."""

    n: Literal[1, 2]
    unit: Unit


class Marking(EchoTokenizer):
    """Marks the beginning of a text, as most tokenizers of real models do."""

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        return [END, *super().encode(text)] if special else super().encode(text)


@pytest.fixture
def marking() -> Iterator[Running]:
    with in_process(lambda: Served(EchoEngine(), Marking(), ("echo",))) as running:
        yield running


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == httpx.codes.OK, answer.text
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/completions", {"prompt": "one two"}), ("/v1/chat/completions", {"messages": SAID})]
)
def test_load_generators_get_the_usage_with_every_event(server: Running, path: str, body: dict[str, Any]) -> None:
    """The benchmark of KAITO's own probe counts tokens by it."""
    options = {"include_usage": True, "continuous_usage_stats": True}
    wanted = {"stream": True, "max_tokens": 6, "ignore_eos": True, "stop": None, "stream_options": options} | body
    seen = events(server.client.post(path, json=wanted))
    counts = [one["usage"]["completion_tokens"] for one in seen]
    assert counts == sorted(counts)
    assert counts[-1] == 6
    assert len(set(counts)) > 1
    assert [one["choices"] for one in seen][-1] == []
    assert all(one["choices"] for one in seen[:-1])
    wanted["stream_options"] = {"include_usage": True}
    *before, last = events(server.client.post(path, json=wanted))
    assert {one["usage"] for one in before} == {None}
    assert last["usage"] == seen[-1]["usage"]


NOTHING_SAID: dict[str, Any] = {
    "use_beam_search": False,
    "length_penalty": 1.0,
    "spaces_between_special_tokens": True,
    "return_token_ids": False,
    "return_tokens_as_token_ids": False,
    "priority": 0,
    "logit_bias": {},
    "guided_json": None,
    "user": "",
    "request_id": "",
    "model": "",
}


@pytest.mark.parametrize("name", [*NOTHING_SAID])
def test_a_field_with_the_value_that_changes_nothing_is_taken_and_no_other(server: Running, name: str) -> None:
    body = {"prompt": "one", "max_tokens": 1, name: NOTHING_SAID[name]}
    assert server.client.post("/v1/completions", json=body).status_code == httpx.codes.OK
    if name not in ("user", "logit_bias"):
        refused = server.client.post("/v1/completions", json=body | {name: 7})
        assert 400 <= refused.status_code < 500
        assert refused.json()["error"]["param"] == name


@pytest.mark.parametrize("more", [{"tool_choice": "auto", "tools": []}, {"top_logprobs": 0}, {"echo": False}])
def test_a_chat_is_answered_whatever_a_client_leaves_at_its_default(server: Running, more: dict[str, Any]) -> None:
    body = {"messages": SAID, "max_tokens": 1} | more
    assert server.client.post("/v1/chat/completions", json=body).status_code == httpx.codes.OK


def test_special_tokens_are_added_to_a_prompt_unless_the_client_has_done_so(marking: Running) -> None:
    def asked(more: dict[str, Any], prompt: str | list[int] = "one") -> int:
        answer = marking.client.post("/v1/completions", json={"prompt": prompt, "max_tokens": 1} | more)
        return int(answer.json()["usage"]["prompt_tokens"])

    assert asked({}) == asked({"add_special_tokens": True}) == 4
    assert asked({"add_special_tokens": False}) == asked({}, [1, 2, 3]) == 3


def test_answers_that_the_library_has_parsed_go_back_as_they_are(server: Running) -> None:
    call = {"name": "count", "arguments": '{"n": 1}', "parsed_arguments": {"n": 1}}
    again = [
        *SAID,
        {"role": "assistant", "content": '{"n": 1}', "parsed": {"n": 1}, "annotations": None, "audio": None},
        {"role": "assistant", "tool_calls": [{"id": "a", "index": 0, "type": "function", "function": call}]},
        {"role": "tool", "tool_call_id": "a", "content": "one"},
    ]
    answer = server.client.post("/v1/chat/completions", json={"messages": again, "max_tokens": 2})
    assert answer.status_code == httpx.codes.OK, answer.text


@pytest.mark.parametrize("tools", [[Length], [Unit, Length]])
def test_the_schema_of_a_demanded_tool_may_refer_to_itself(server: Running, tools: Sequence[type[BaseModel]]) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        model = client.models.list().data[0].id
        if model == "echo":
            pytest.skip("the echo calls no tools")
        wanted: Any = {"model": model, "messages": SAID, "max_tokens": 80, "tool_choice": "required"}
        offered = [openai.pydantic_function_tool(tool) for tool in tools]
        called = client.chat.completions.parse(tools=offered, **wanted).choices[0].message.tool_calls
    assert called is not None
    assert isinstance(called[0].function.parsed_arguments, Length | Unit)


KAITOS_EXAMPLE: dict[str, Any] = {
    "max_length": 40,
    "min_length": 0,
    "do_sample": True,
    "early_stopping": False,
    "num_beams": 1,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
    "temperature": 1.0,
    "top_k": 10,
    "top_p": 1,
    "typical_p": 1,
    "repetition_penalty": 1,
    "length_penalty": 1,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "num_return_sequences": 1,
    "output_scores": False,
    "return_dict_in_generate": False,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "remove_invalid_values": None,
}
"""The arguments of KAITO's documented request with all that can be set, each at its usual value."""


def test_kaitos_example_with_every_argument_is_answered_in_the_batch(server: Running) -> None:
    body = {"prompt": "one two", "return_full_text": False, "clean_up_tokenization_spaces": False, "prefix": None}
    more = {"handle_long_generation": None, "generate_kwargs": KAITOS_EXAMPLE}
    answer = server.client.post("/chat", json=body | more)
    assert answer.status_code == httpx.codes.OK, answer.text
    assert set(answer.json()) == {"Result"}
    made = (
        order(server.desk.deployment.require(), ChatBody.model_validate(body | more), "text-generation")
        if server.desk
        else None
    )
    assert made is None or not made.work.sampling.other


@pytest.mark.parametrize("path", ["/", "/health", "/livez", "/readyz", "/metrics", "/v1/models"])
def test_load_balancers_may_probe_by_head(server: Running, path: str) -> None:
    answer = server.client.head(path)
    assert answer.status_code == httpx.codes.OK
    assert not answer.content
    assert int(answer.headers["content-length"]) > 0


def test_a_slash_at_the_end_of_a_path_changes_nothing(server: Running) -> None:
    assert server.client.get("/health/").json() == server.client.get("/health").json()
    assert server.client.get("/v1/models/").json() == server.client.get("/v1/models").json()
    answer = server.client.post("/v1/completions/", json={"prompt": "one", "max_tokens": 1})
    assert answer.status_code == httpx.codes.OK


@pytest.mark.parametrize("path", ["/v1/completions", "/chat"])
@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"Content-Type": "application/x-www-form-urlencoded"}, "Content-Type: application/json"),
        ({"Content-Type": "text/plain"}, "Content-Type: application/json"),
        ({}, "Content-Type: application/json"),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, "Content-Encoding"),
    ],
)
def test_a_body_in_another_form_is_refused_with_the_header_to_send(
    server: Running, path: str, headers: dict[str, str], named: str
) -> None:
    body = b'{"prompt": "one"}'
    body = gzip.compress(body) if "Content-Encoding" in headers else body
    answer = server.client.post(path, content=body, headers=headers)
    assert answer.status_code == httpx.codes.UNSUPPORTED_MEDIA_TYPE
    assert named in answer.text


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/responses/resp_1", "/rerank"])
def test_what_is_not_served_is_named(server: Running, path: str) -> None:
    answer = server.client.post(path, json={"input": "one"})
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert path in answer.text


def test_metrics_are_in_the_form_that_each_reader_understands(server: Running) -> None:
    def kind(accept: str | None, path: str = "/metrics") -> str:
        request = server.client.build_request("GET", path)
        del request.headers["accept"]
        if accept is not None:
            request.headers["accept"] = accept
        answer = server.client.send(request)
        assert answer.status_code == httpx.codes.OK
        return "json" if answer.headers["content-type"] == "application/json" else "text"

    by_vllm = 'engine="vllm"' in server.client.get("/prometheus/metrics").text
    assert kind("*/*") == "json"
    assert kind("application/json") == "json"
    assert kind("application/json, text/plain, */*") == "json"  # a browser's library
    assert kind("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1") == "text"
    assert kind(None) == ("text" if by_vllm else "json")  # as KAITO's two runtimes do
    assert kind("*/*", "/prometheus/metrics") == "text"


@pytest.mark.parametrize("field", ["temperature", "repetition_penalty", "top_p", "min_p"])
def test_the_smallest_numbers_end_no_answer_on_our_side(server: Running, field: str) -> None:
    """A logit divided by the smallest number there is would be none."""
    answer = server.client.post("/v1/chat/completions", json={"messages": SAID, "max_tokens": 2, field: 5e-324})
    assert answer.status_code in (httpx.codes.OK, httpx.codes.BAD_REQUEST), answer.text
