"""One suite for every engine: what a client sees must not depend on who makes the tokens."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import httpx
import openai
import pytest
from pydantic import BaseModel

from tests.servers import Running

FAMILIES = [
    "num_requests_running",
    "num_requests_waiting",
    "kv_cache_usage_perc",
    "time_to_first_token_seconds_count",
    "inter_token_latency_seconds_count",
    "e2e_request_latency_seconds_count",
    "prompt_tokens_total",
    "generation_tokens_total",
    "request_success_total",
    "admission_rejections_total",
]
COUNT = "<user>one two\n<assistant>"


@pytest.fixture
def model(client: openai.OpenAI) -> str:
    return client.models.list().data[0].id


def test_models_are_listed_with_their_context(client: openai.OpenAI, model: str) -> None:
    card = client.models.retrieve(model)
    assert card.object == "model"
    assert card.model_dump()["max_model_len"] > 0


def test_a_completion_has_text_reason_and_usage(client: openai.OpenAI, model: str) -> None:
    answer = client.completions.create(model=model, prompt=COUNT, max_tokens=4, temperature=0)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 4
    assert answer.choices[0].text


def test_a_stream_says_what_the_whole_answer_says(client: openai.OpenAI, model: str) -> None:
    wanted: dict[str, Any] = {"model": model, "max_tokens": 12, "temperature": 0}
    whole = client.chat.completions.create(messages=[{"role": "user", "content": "one two"}], **wanted)
    stream = client.chat.completions.create(
        messages=[{"role": "user", "content": "one two"}],
        stream=True,
        stream_options={"include_usage": True},
        **wanted,
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage
    assert len(chunks) > 5


def test_a_stop_string_ends_the_text_across_token_borders(client: openai.OpenAI, model: str) -> None:
    whole = client.completions.create(model=model, prompt=COUNT, max_tokens=20, temperature=0).choices[0].text
    stop = whole[3:8]
    for stream in (False, True):
        wanted: Any = {"prompt": COUNT, "max_tokens": 20, "temperature": 0, "stop": ["never met", stop]}
        answer: Any = client.completions.create(model=model, stream=stream, **wanted)
        choices = [part.choices[0] for part in answer] if stream else [answer.choices[0]]
        assert "".join(choice.text for choice in choices) == whole[: whole.index(stop)]
        assert choices[-1].finish_reason == "stop"


def test_n_choices_and_a_list_of_prompts_are_numbered(client: openai.OpenAI, model: str) -> None:
    answer = client.completions.create(model=model, prompt=["one two", "six seven"], n=2, max_tokens=3, temperature=0)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.choices[0].text == answer.choices[1].text
    one = client.completions.create(model=model, prompt="six seven", max_tokens=3, temperature=0)
    assert answer.choices[2].text == one.choices[0].text


def test_a_seed_repeats_an_answer(client: openai.OpenAI, model: str) -> None:
    def ask(seed: int) -> str:
        answer = client.completions.create(model=model, prompt="x", seed=seed, max_tokens=12, temperature=1.8)
        return answer.choices[0].text

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(ask, [11] * 4))) == 1


def test_log_probabilities_are_given_for_each_token(client: openai.OpenAI, model: str) -> None:
    chat = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "one two"}],
        max_tokens=4,
        temperature=0,
        logprobs=True,
        top_logprobs=1,
    )
    logprobs = chat.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [token.top_logprobs[0].token for token in logprobs.content] == [token.token for token in logprobs.content]
    assert all(token.logprob <= 0 for token in logprobs.content)
    plain = client.completions.create(model=model, prompt="one two", max_tokens=4, temperature=0, logprobs=1, echo=True)
    report = plain.choices[0].logprobs
    assert report is not None
    assert report.token_logprobs is not None
    assert report.tokens is not None
    assert "".join(report.tokens) == plain.choices[0].text
    assert plain.choices[0].text.startswith("one two")
    assert len(report.token_logprobs) == len(report.tokens)


def test_tokens_are_a_prompt_as_well(client: openai.OpenAI, model: str) -> None:
    answer = client.completions.create(model=model, prompt=[[5, 6, 7], [8, 9]], max_tokens=2, temperature=0)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 5


def test_min_tokens_and_ignore_eos_are_honoured(client: openai.OpenAI, model: str) -> None:
    answer = client.completions.create(
        model=model, prompt=COUNT, max_tokens=40, temperature=0, extra_body={"ignore_eos": True}
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 40


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", "x"),
        ("max_tokens", -1),
        ("max_tokens", 10**30),
        ("max_tokens", 1_000_000),
        ("temperature", -0.1),
        ("temperature", "hot"),
        ("top_p", 0),
        ("n", 0),
        ("n", 10_000),
        ("logprobs", 1000),
        ("min_tokens", 3),
        ("stop", [""]),
        ("stop", {"a": 1}),
        ("logit_bias", {"99999999": 1}),
        ("suffix", "end"),
        ("best_of", 7),
        ("prompt", []),
        ("prompt", [[999_999]]),
        ("prompt", None),
        ("unheard_of", True),
        ("stream_options", {"include_usage": True}),
        ("prompt", "\ud800"),
        ("response_format", {"type": "text", "strange": 1}),
    ],
)
def test_what_cannot_be_honoured_is_named(server: Running, field: str, value: Any) -> None:
    body = json.dumps({"prompt": "x", "max_tokens": 2} | {field: value})
    answer = server.client.post("/v1/completions", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == httpx.codes.BAD_REQUEST
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"].partition(".")[0] == field


def test_another_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="another", prompt="x")
    assert caught.value.param == "model"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b'{"prompt": "\xff"}', b"[" * 100_000, b'{"prompt": 1}']
)
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/v1/responses", "/chat", "/generate"])
def test_a_body_that_is_none_is_refused_in_the_form_of_its_path(server: Running, path: str, body: bytes) -> None:
    answer = server.client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert ("error" if path.startswith("/v1") else "detail") in answer.json()


def test_kaitos_contract(server: Running) -> None:
    get, post = server.client.get, server.client.post
    assert get("/").json() == {"message": "Server is running"}
    assert get("/health").json() == {"status": "Healthy"}
    body = {"prompt": "one two", "return_full_text": False, "generate_kwargs": {"max_length": 24, "do_sample": False}}
    short = post("/chat", json=body).json()["Result"]
    assert short
    assert post("/generate", json=body | {"return_full_text": True}).json() == {"Result": f"one two{short}"}
    for more in ({}, {"temperature": 0.7, "top_k": 5, "top_p": 0.9, "repetition_penalty": 1.1}):
        wanted = body | {"generate_kwargs": {"max_length": 30, "min_length": 12} | more}
        assert post("/chat", json=wanted).status_code == httpx.codes.OK
    missing = post("/chat", json={"generate_kwargs": {"max_length": 50}})
    assert missing.status_code == httpx.codes.BAD_REQUEST
    assert missing.json() == {"detail": "Text generation parameter prompt required"}
    assert post("/chat", json={"messages": [{"role": "user", "content": "x"}]}).status_code == httpx.codes.BAD_REQUEST


def test_lengths_count_as_in_generate(server: Running) -> None:
    """KAITO's own tests ask for lengths in tokens, the prompt's included."""
    prompt = "one two"
    inside = server.client.post("/v1/completions", json={"prompt": prompt, "max_tokens": 1}).json()["usage"]
    wanted = {"max_length": inside["prompt_tokens"] + 9, "min_length": inside["prompt_tokens"] + 9}
    before = server.metric("vllm:generation_tokens_total")
    body = {
        "prompt": prompt,
        "return_full_text": False,
        "clean_up_tokenization_spaces": False,
        "generate_kwargs": wanted,
    }
    assert server.client.post("/chat", json=body).status_code == httpx.codes.OK
    assert server.metric("vllm:generation_tokens_total") == before + 9


def test_typical_sampling_is_honoured_or_refused_by_name(server: Running, engine: str) -> None:
    wanted = {"prompt": "one two", "generate_kwargs": {"max_length": 30, "typical_p": 0.9}}
    answer = server.client.post("/chat", json=wanted)
    assert answer.status_code == (httpx.codes.BAD_REQUEST if engine == "vllm" else httpx.codes.OK)
    if engine == "vllm":
        assert "generate_kwargs.typical_p" in answer.json()["detail"]


@pytest.mark.parametrize(
    "wrong",
    [{"max_length": 1}, {"max_length": "x"}, {"temperature": "x"}, {"top_k": -1}, {"nonsense": 1}, {"do_sample": 3},
     {"max_new_tokens": 10**9}, {"eos_token_id": "x"}, {"repetition_penalty": 0}, {"stop_strings": 5}],
)  # fmt: skip
def test_wrong_arguments_of_generate_are_named(server: Running, wrong: dict[str, Any]) -> None:
    answer = server.client.post("/chat", json={"prompt": "one two", "generate_kwargs": wrong})
    assert 400 <= answer.status_code < 500
    assert next(iter(wrong)) in answer.json()["detail"]


def test_beams_and_other_arguments_reach_generate_or_are_refused_by_name(server: Running, engine: str) -> None:
    wanted = {"num_beams": 3, "do_sample": False, "max_new_tokens": 8, "no_repeat_ngram_size": 2}
    answer = server.client.post("/chat", json={"prompt": "one two", "generate_kwargs": wanted})
    if engine == "transformers":
        assert answer.json()["Result"].startswith("one two")
    else:
        assert answer.status_code == httpx.codes.BAD_REQUEST
        assert "generate_kwargs.num_beams" in answer.json()["detail"]


EXTREME: list[tuple[str, dict[str, Any]]] = [
    ("/v1/completions", {"temperature": 1e-300}),
    ("/v1/completions", {"temperature": 2, "top_p": 1e-300, "seed": 2**63 - 1}),
    ("/v1/completions", {"logit_bias": {str(token): -100 for token in range(200)}, "temperature": 1}),
    ("/v1/completions", {"min_tokens": 4, "stop_token_ids": list(range(64)), "temperature": 1}),
    ("/v1/completions", {"repetition_penalty": 1e-9, "presence_penalty": 2, "frequency_penalty": -2}),
    ("/chat", {"generate_kwargs": {"temperature": 1e-300, "max_length": 20}}),
    ("/chat", {"generate_kwargs": {"top_p": 0, "typical_p": 1, "repetition_penalty": 100, "max_length": 20}}),
    ("/chat", {"generate_kwargs": {"temperature": 50.0, "max_length": 20}}),
    ("/chat", {"generate_kwargs": {"bad_words_ids": [[10**9]]}}),
    ("/chat", {"generate_kwargs": {"sequence_bias": "x"}}),
    ("/chat", {"generate_kwargs": {"num_beams": 10**6}}),
    ("/chat", {"generate_kwargs": {"cache_implementation": "static"}}),
    ("/chat", {"generate_kwargs": {"output_attentions": True}}),
    ("/chat", {"generate_kwargs": {"suppress_tokens": [[{}]]}}),
    ("/chat", {"generate_kwargs": {"forced_eos_token_id": "x", "num_beams": 2}}),
]


@pytest.mark.parametrize(("path", "more"), EXTREME)
def test_extreme_wishes_hurt_nobody_else(server: Running, path: str, more: dict[str, Any]) -> None:
    body = {"prompt": "one two"} | ({"max_tokens": 8} if path != "/chat" else {}) | more
    answer = server.client.post(path, json=body)
    assert answer.status_code == httpx.codes.OK or 400 <= answer.status_code < 500, answer.text
    assert server.client.get("/health").status_code == httpx.codes.OK
    assert server.client.post("/v1/completions", json={"prompt": "x"}).status_code == httpx.codes.OK


def test_a_complete_answer_ends_whatever_its_shortest_length(client: openai.OpenAI, model: str, engine: str) -> None:
    if engine == "echo":
        pytest.skip("the echo follows no schema")
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": [1, 2]}}}
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "one"}],
        response_format=wanted,
        max_tokens=20,
        extra_body={"min_tokens": 15},
    )
    assert (answer.choices[0].message.content or "").strip()[:1] in ("1", "2")


def test_metrics_are_kaitos_json_or_prometheus_text(server: Running) -> None:
    for path, accept in (("/metrics", "application/json"), ("/v1/metrics", "text/plain")):
        found = server.client.get(path, headers={"Accept": accept}).json()
        assert found["cpu_info"]["memory"]["total"].endswith("GB") or found["gpu_info"]
    before = server.metric("vllm:generation_tokens_total")
    server.client.post("/v1/completions", json={"prompt": "x", "max_tokens": 3, "ignore_eos": True})
    assert server.metric("vllm:generation_tokens_total") == before + 3
    accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
    text = server.client.get("/metrics", headers={"Accept": accept}).text
    for name in FAMILIES:
        assert f"\nvllm:{name}{{" in text


def test_a_schema_is_followed(client: openai.OpenAI, model: str, engine: str) -> None:
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    messages: Any = [{"role": "user", "content": "one"}]
    if engine == "echo":
        with pytest.raises(openai.BadRequestError, match="response_format"):
            client.chat.completions.create(model=model, messages=messages, response_format=wanted)
        return
    for stream in (False, True):
        answer: Any = client.chat.completions.create(
            model=model, messages=messages, response_format=wanted, max_tokens=60, stream=stream
        )
        text = (
            "".join(c.choices[0].delta.content or "" for c in answer) if stream else answer.choices[0].message.content
        )
        assert json.loads(text or "")["n"] in (1, 2)


class Count(BaseModel):
    """What a client of OpenAI's library asks for by a class."""

    n: Literal[1, 2]


def test_openais_own_ways_to_parse_and_to_stream_work(client: openai.OpenAI, model: str, engine: str) -> None:
    if engine == "echo":
        pytest.skip("the echo follows no schema")
    wanted: Any = {"model": model, "messages": [{"role": "user", "content": "one"}], "max_completion_tokens": 60}
    parsed = client.chat.completions.parse(response_format=Count, **wanted).choices[0].message
    assert parsed.parsed is not None
    assert parsed.parsed.n in (1, 2)
    tools: Any = [openai.pydantic_function_tool(Count, name="count")]
    called = client.chat.completions.parse(tools=tools, tool_choice="required", **wanted).choices[0].message
    assert called.tool_calls is not None
    assert isinstance(called.tool_calls[0].function.parsed_arguments, Count)
    with client.chat.completions.stream(**wanted, stream_options={"include_usage": True}) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "content.done" in kinds
    assert final.usage is not None
    assert final.usage.completion_tokens > 0
    # What the library gives back may be sent again as it is.
    again: Any = [*wanted["messages"], final.choices[0].message.model_dump(), {"role": "user", "content": "two"}]
    assert client.chat.completions.create(**(wanted | {"messages": again, "max_completion_tokens": 2})).choices


def test_a_demanded_tool_is_called(client: openai.OpenAI, model: str, engine: str) -> None:
    parameters = {
        "type": "object",
        "properties": {"n": {"enum": [1, 2]}},
        "required": ["n"],
        "additionalProperties": False,
    }
    tools: Any = [{"type": "function", "function": {"name": "count", "parameters": parameters}}]
    messages: Any = [{"role": "user", "content": "one"}]
    if engine == "echo":
        with pytest.raises(openai.BadRequestError, match="tools"):
            client.chat.completions.create(model=model, messages=messages, tools=tools)
        return
    wanted: Any = {"model": model, "messages": messages, "tools": tools, "tool_choice": "required", "max_tokens": 80}
    answer = client.chat.completions.create(**wanted)
    assert answer.choices[0].finish_reason == "tool_calls"
    call = answer.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments)["n"] in (1, 2)
    parts = [part for chunk in client.chat.completions.create(**wanted, stream=True)
             for part in chunk.choices[0].delta.tool_calls or []]  # fmt: skip
    assert parts[0].function.name == "count"


def test_a_request_id_is_kept_or_made(server: Running) -> None:
    assert server.client.get("/health", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    made = server.client.get("/health", headers={"X-Request-Id": "white space and more" * 20}).headers["x-request-id"]
    assert len(made) == 32


def test_unknown_paths_and_methods_are_refused_in_form(server: Running) -> None:
    assert server.client.get("/v1/nothing").json()["error"]["type"] == "not_found_error"
    assert server.client.get("/chat").status_code == httpx.codes.METHOD_NOT_ALLOWED
    for path in ("/load", "/invocations", "/tokenize", "/docs", "/v1/load_lora_adapter", "/scale_elastic_ep"):
        assert server.client.post(path).status_code == httpx.codes.NOT_FOUND


def test_the_five_requests_of_the_guide_are_answered(server: Running) -> None:
    for prompt in ("What is Kubernetes?", "Translate to English: Bonjour", "Write a poem", "2 + 2 =", "Hello 🎉 世界"):
        body = {"prompt": prompt, "return_full_text": False, "generate_kwargs": {"max_length": 64, "do_sample": False}}
        answer = server.client.post("/chat", json=body)
        assert answer.status_code == httpx.codes.OK
        assert isinstance(answer.json()["Result"], str)
