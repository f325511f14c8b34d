"""Requests that nobody would write by hand: whatever arrives is answered, and never by a failure of ours."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from tests.servers import Running

DOCUMENTED = (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT)
VALID: dict[str, dict[str, Any]] = {
    "/v1/completions": {
        "prompt": "naïve 世界",
        "max_tokens": 4,
        "temperature": 0.5,
        "top_p": 0.9,
        "n": 2,
        "seed": 7,
        "stop": ["xyz"],
        "logprobs": 1,
        "echo": True,
        "stream": False,
        "logit_bias": {"65": 1},
        "presence_penalty": 0.1,
        "stop_token_ids": [9],
    },
    "/v1/chat/completions": {
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "naïve 世界"}],
        "max_completion_tokens": 4,
        "temperature": 0.5,
        "logprobs": True,
        "top_logprobs": 2,
        "stream": False,
        "min_tokens": 1,
        "user": "somebody",
    },
    "/v1/responses": {
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "naïve 世界"}]}],
        "instructions": "be brief",
        "max_output_tokens": 4,
        "temperature": 0.5,
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
        "stream": False,
        "metadata": {"a": "b"},
    },
    "/chat": {
        "prompt": "naïve 世界",
        "return_full_text": False,
        "prefix": "so",
        "generate_kwargs": {"max_length": 40, "do_sample": True, "top_k": 3, "temperature": 0.7},
    },
}
WRONG: tuple[Any, ...] = ({"x": {}}, [[[[]]]], [None], [{"a": 1}], [True, "x"])
EXAMPLES = 60
PATIENCE = 60
"""Seconds: a request that bounds its answer by nothing gets all that the context holds."""


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_nothing_that_the_description_allows_or_forbids_fails_on_our_side(
    server: Running, mode: GenerationMode
) -> None:
    described = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    asked: set[str] = set()
    for found in described.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and operation.method.upper() != "POST":
            continue

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            answer = case.call(timeout=PATIENCE)
            asked.add(case.operation.path)
            assert answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR or answer.status_code in DOCUMENTED

        ask()
    assert asked >= {"/v1/completions", "/v1/chat/completions", "/v1/responses", "/chat", "/generate"}


def malformed(body: dict[str, Any]) -> Iterator[bytes]:
    """Bodies that are broken for certain: cut off, with a byte that is no UTF-8, with a field of no possible type."""
    whole = json.dumps(body, ensure_ascii=False).encode()
    yield from (whole[:end] for end in range(len(whole)))
    yield from (whole[:place] + b"\xff" + whole[place:] for place in range(len(whole)))
    yield from (whole[:place] + b"\xff" + whole[place + 1 :] for place in range(len(whole)))
    for name in body:
        yield from (json.dumps(body | {name: wrong}).encode() for wrong in WRONG)


def test_two_thousand_broken_bodies_are_each_refused(server: Running) -> None:
    asked = 0
    for path, body in VALID.items():
        assert server.client.post(path, json=body).status_code == httpx.codes.OK
        for content in malformed(body):
            asked += 1
            answer = server.client.post(path, content=content, headers={"Content-Type": "application/json"})
            assert 400 <= answer.status_code < 500, content
            assert ("error" if path.startswith("/v1") else "detail") in answer.json()
    assert asked > 2000
    assert server.metric("vllm:num_requests_running") == 0
