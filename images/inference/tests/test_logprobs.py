"""The bytes of reported tokens, joined, are the text that was sent, whatever characters the tokens cut in two."""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from inference.api.logprobs import Speller
from inference.deployment import Served
from inference.engine.echo import EchoEngine
from inference.engine.protocol import Token
from inference.generation import reading
from inference.text.detokenize import Detokenizer, context
from inference.text.tokenizer import HubTokenizer
from tests import models
from tests.servers import Running, in_process

KINDS: dict[str, Callable[[Path], PreTrainedTokenizerFast]] = {
    "bytes": models.tokenizer,
    "stripped": models.sentencepiece,
    "unstripped": lambda folder: models.sentencepiece(folder, strip=False),
}
ODD = "naïve 世界 🎉👩‍👩‍👧 one two  three\t€\ufffd<0xE2>\u2581é"
PLAIN = "{{ messages[0].content }}"
FREELY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HubTokenizer:
    return HubTokenizer(KINDS[request.param](tmp_path_factory.mktemp(request.param)), PLAIN)


@pytest.fixture(scope="module")
def server(tokenizer: HubTokenizer) -> Iterator[Running]:
    """Repeats the prompt's tokens as its answer."""
    with in_process(lambda: Served(EchoEngine(), tokenizer, ("echo",))) as running:
        yield running


def joined(entries: list[dict[str, Any]]) -> str:
    return b"".join(bytes(entry["bytes"]) for entry in entries).decode()


def answers(server: Running, text: str, tokens: int, **more: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Text and reported tokens of an answer, whole and streamed."""
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": tokens, "logprobs": True, "top_logprobs": 1}
    whole = server.client.post("/v1/chat/completions", json=body | more).json()["choices"][0]
    yield whole["message"]["content"], whole["logprobs"]["content"]
    stream = server.client.post("/v1/chat/completions", json=body | more | {"stream": True}).text
    events = [json.loads(line.removeprefix("data: ")) for line in stream.split("\n\n") if "{" in line]
    choices = [choice for event in events for choice in event["choices"]]
    said = "".join(choice["delta"].get("content") or "" for choice in choices)
    yield said, [entry for choice in choices if choice["logprobs"] for entry in choice["logprobs"]["content"]]


@FREELY
@given(text=st.one_of(st.text(min_size=1), st.text(ODD, min_size=1)))
def test_joined_bytes_are_the_text_that_was_sent(server: Running, tokenizer: HubTokenizer, text: str) -> None:
    ids = tokenizer.encode(text, special=False)
    if not ids:
        return
    expected = tokenizer.decode([*ids, *ids])[len(tokenizer.decode(ids)) :]
    for said, reported in answers(server, text, len(ids)):
        assert said == expected
        assert joined(reported) == said
        assert [entry["top_logprobs"][0]["bytes"] for entry in reported] == [entry["bytes"] for entry in reported]


@FREELY
@given(text=st.one_of(st.text(), st.text(ODD)))
def test_tokens_of_a_whole_text_join_to_it(tokenizer: HubTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    speller = Speller(tokenizer)
    raw = [speller.spell(Token(token))[0].raw for token in ids]
    assert b"".join(part or b"" for part in raw).decode() == tokenizer.decode(ids)
    assert None not in raw


@FREELY
@given(text=st.one_of(st.text(), st.text(ODD)), more=st.one_of(st.text(), st.text(ODD)), special=st.booleans())
def test_an_answer_in_pieces_continues_the_prompt(tokenizer: HubTokenizer, text: str, more: str, special: bool) -> None:
    decode, spell = reading(tokenizer, special=special)
    prompt, answer = tokenizer.encode(text), tokenizer.encode(more, special=False)
    end = tokenizer.inner.eos_token_id
    answer = [*answer, end, end, *answer]
    detokenizer = Detokenizer(decode, spell, context(prompt, decode, spell))
    said = "".join(detokenizer.push([token]) for token in answer) + detokenizer.push([], last=True)
    assert said == decode([*prompt, *answer])[len(decode(prompt)) :]


def test_what_the_text_does_not_show_has_no_bytes(server: Running, tokenizer: HubTokenizer) -> None:
    text = f"one two{models.END}three"
    ids = tokenizer.encode(text, special=False)
    shown = ids.index(tokenizer.inner.eos_token_id)
    for said, reported in answers(server, text, len(ids)):
        assert (reported[-1]["token"], reported[-1]["bytes"]) == (models.END, [])
        assert len(reported) == shown + 1
        assert joined(reported) == said
    for said, reported in answers(server, text, len(ids), skip_special_tokens=False):
        assert joined(reported) == said
        assert said.endswith(models.END)
    for said, reported in answers(server, text, len(ids), stop_token_ids=ids[shown - 1 : shown]):
        assert reported[-1]["bytes"] == []
        assert joined(reported) == said


def test_an_answer_that_ends_inside_a_character_keeps_its_bytes(server: Running, tokenizer: HubTokenizer) -> None:
    ids = tokenizer.encode("one 世", special=False)
    for said, reported in answers(server, "one 世", len(ids) - 1):
        raw = b"".join(bytes(entry["bytes"]) for entry in reported)
        assert "\ufffd" in said
        assert "one 世".encode().endswith(raw[-5:] + b"\x96")


def test_names_and_offsets_of_the_older_form(server: Running, tokenizer: HubTokenizer) -> None:
    body = {"prompt": "one two 世界 three", "echo": True, "logprobs": 2, "temperature": 0}
    size = len(tokenizer.encode("one two 世界 three"))
    choice = server.client.post("/v1/completions", json=body | {"max_tokens": size}).json()["choices"][0]
    report, text = choice["logprobs"], choice["text"]
    assert text.lstrip().startswith("one two 世界 three")
    assert len(report["tokens"]) == 2 * size
    assert r"bytes:\xb8" in report["tokens"] or r"bytes:\xe4\xb8" in report["tokens"]
    for name, offset in zip(report["tokens"], report["text_offset"], strict=True):
        assert text[offset:].startswith("世" if r"\xe4" in name else "" if "bytes:" in name else name)
    assert all(first <= second for first, second in pairwise(report["text_offset"]))
    assert report["text_offset"][-1] < len(text)
    for name, top in zip(report["tokens"], report["top_logprobs"], strict=True):
        assert top is None or name in top


def test_a_completion_begins_with_the_space_before_its_first_word(server: Running, tokenizer: HubTokenizer) -> None:
    prompt = tokenizer.encode("one two", special=False)
    wanted = {"prompt": prompt, "max_tokens": len(prompt)}
    said = server.client.post("/v1/completions", json=wanted).json()["choices"][0]["text"]
    assert tokenizer.decode(prompt) + said == tokenizer.decode([*prompt, *prompt])
    kaito = {"prompt": " one two", "generate_kwargs": {"max_new_tokens": 3}}
    assert server.client.post("/chat", json=kaito).json()["Result"].startswith(" one two ")
