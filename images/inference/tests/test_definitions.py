"""What OpenAI's and vLLM's fields mean, asked of every engine: seeds, counts, ends and reports of the same answer."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.servers import Running

DRAWN: dict[str, Any] = {"prompt": "one two", "max_tokens": 10, "temperature": 1.6, "ignore_eos": True}
GREEDY: dict[str, Any] = {"prompt": "<user>one two\n<assistant>", "max_tokens": 12, "temperature": 0}


def ask(server: Running, path: str = "/v1/completions", **body: Any) -> Any:
    answer = server.client.post(path, json=body)
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.json()


def texts(answer: Any) -> list[str]:
    return [choice["text"] for choice in answer["choices"]]


def streamed(server: Running, path: str = "/v1/completions", **body: Any) -> list[Any]:
    text = server.client.post(path, json=body | {"stream": True}).text
    assert text.endswith("data: [DONE]\n\n")
    return [json.loads(event.removeprefix("data: ")) for event in text.split("\n\n")[:-2]]


@pytest.mark.parametrize("seed", [0, 5, -1, -(2**63), 2**63 - 1])
def test_each_choice_has_its_own_seed_whoever_else_draws(server: Running, seed: int) -> None:
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(ask, server, **DRAWN, seed=seed, n=3) for _ in range(2)]
        others = [pool.submit(ask, server, **(DRAWN | {"prompt": "seven"})) for _ in range(4)]
        answers = [texts(answer.result()) for answer in asked]
        assert all(other.result() for other in others)
    assert answers[0] == answers[1]
    following = [number for number in (seed, seed + 1, seed + 2) if number < 2**63]
    assert answers[0][: len(following)] == [texts(ask(server, **DRAWN, seed=number))[0] for number in following]


def test_prompts_count_once_and_answers_each(server: Running) -> None:
    one = ask(server, **GREEDY | {"max_tokens": 3, "ignore_eos": True})["usage"]
    more: dict[str, Any] = {"max_tokens": 3, "ignore_eos": True, "n": 2, "best_of": 2, "echo": True}
    both = ask(server, **GREEDY | more | {"prompt": [GREEDY["prompt"]] * 2})["usage"]
    assert both["prompt_tokens"] == 2 * one["prompt_tokens"]
    assert both["completion_tokens"] == 4 * one["completion_tokens"] == 12
    assert both["total_tokens"] == both["prompt_tokens"] + 12
    silent = ask(server, **GREEDY | {"max_tokens": 0, "echo": True, "logprobs": 0})
    assert silent["usage"]["completion_tokens"] == 0
    assert texts(silent) == [GREEDY["prompt"]]
    assert silent["choices"][0]["finish_reason"] == "length"


def test_a_stop_string_ends_the_count_and_names_itself(server: Running) -> None:
    whole = ask(server, **GREEDY, logprobs=0)["choices"][0]
    tokens = whole["logprobs"]["tokens"]
    stop = "".join(tokens[2:5])[1:]
    place = whole["text"].index(stop) + len(stop)
    needed = next(count for count in range(len(tokens) + 1) if len("".join(tokens[:count])) >= place)
    answer = ask(server, **GREEDY, stop=stop)
    assert answer["usage"]["completion_tokens"] == needed
    assert answer["choices"][0]["stop_reason"] == stop
    events = streamed(server, **GREEDY, stop=stop, stream_options={"include_usage": True})
    assert events[-1]["usage"] == answer["usage"]
    assert events[-1]["choices"] == []
    assert all(event["usage"] is None for event in events[:-1])
    assert "".join(text for event in events[:-1] for text in texts(event)) == texts(answer)[0]


def test_the_shortest_answer_outlasts_ends_and_stop_strings(server: Running) -> None:
    """The counting model ends by itself, the echo by its prompt's end: both before the shortest answer asked for."""
    free = ask(server, **GREEDY | {"max_tokens": 40})
    assert free["choices"][0]["finish_reason"] == "stop"
    assert free["choices"][0]["stop_reason"] is None
    owed = free["usage"]["completion_tokens"]
    longer = ask(server, **GREEDY | {"max_tokens": 40, "min_tokens": owed + 2})
    assert longer["usage"]["completion_tokens"] >= owed + 2
    stop = texts(free)[0][:3]
    assert texts(ask(server, **GREEDY, stop=stop)) == [""]
    kept = ask(server, **GREEDY, stop=stop, min_tokens=4)
    assert kept["usage"]["completion_tokens"] >= 4
    assert texts(kept)[0].startswith(stop)


def test_schemas_hold_for_every_choice(server: Running) -> None:
    if server.desk:
        pytest.skip("the echo follows no schema")
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": "one"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        "max_tokens": 60,
        "temperature": 1.5,
        "n": 3,
    }
    answer = ask(server, "/v1/chat/completions", **body)
    said = [choice["message"]["content"] for choice in answer["choices"]]
    events = streamed(server, "/v1/chat/completions", **body)
    for index in range(3):
        parts = [choice for event in events for choice in event["choices"] if choice["index"] == index]
        said.append("".join(choice["delta"].get("content") or "" for choice in parts))
        assert parts[-1]["finish_reason"] == "stop"
    assert all(json.loads(text)["n"] in (1, 2) for text in said)


WRONG_SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}},
    {"type": "no such type"},
    {"type": "string", "pattern": "("},
]


@pytest.mark.parametrize("schema", WRONG_SCHEMAS)
def test_a_schema_that_cannot_be_followed_is_the_clients_mistake(server: Running, schema: dict[str, Any]) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    refused = server.client.post("/v1/completions", json=GREEDY | {"response_format": wanted})
    assert refused.status_code == httpx.codes.BAD_REQUEST
    assert refused.json()["error"]["param"] in ("response_format", None)
    assert refused.json()["error"]["type"] == "invalid_request_error"
    assert ask(server, **GREEDY)["choices"]


def test_logprobs_are_of_the_model_whatever_bends_the_choice(server: Running) -> None:
    plain = ask(server, **GREEDY, logprobs=2)["choices"][0]["logprobs"]
    first = plain["top_logprobs"][0]
    bends: dict[str, Any] = {
        "temperature": 0.3,
        "presence_penalty": 1.5,
        "logit_bias": {"65": 3},
        "top_k": 3,
        "seed": 4,
    }
    bent = ask(server, **GREEDY | bends, logprobs=2)["choices"][0]["logprobs"]
    same = set(first) & set(bent["top_logprobs"][0])
    assert same
    for name in same:
        assert bent["top_logprobs"][0][name] == pytest.approx(first[name], abs=2e-3)
