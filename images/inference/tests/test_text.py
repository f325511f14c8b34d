"""Tokens become the same text in pieces as at once, and stop strings are found wherever the borders are."""

import json
import random
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from inference.errors import RequestError, StartError
from inference.flags import parse
from inference.text.detokenize import Detokenizer, StopStrings
from inference.text.tokenizer import HubTokenizer
from inference.transformers_server import load
from tests import models
from tests.servers import in_process


def decode(ids: list[int]) -> str:
    return bytes(ids).decode(errors="replace")


@pytest.mark.parametrize("text", ["plain", "naïve 世界 🎉👩‍👩‍👧 end", "\ufffd real replacement", "tab\t\n\r"])
def test_pieces_add_up_to_the_whole_and_never_hold_half_a_character(text: str) -> None:
    detokenizer = Detokenizer(lambda ids: decode(list(ids)))
    pieces = [detokenizer.push([byte]) for byte in text.encode()] + [detokenizer.push([], last=True)]
    assert "".join(pieces) == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


def test_wrong_bytes_are_shown_as_such_and_do_not_hold_the_rest_back() -> None:
    detokenizer = Detokenizer(lambda ids: decode(list(ids)))
    shown = "".join(detokenizer.push([byte]) for byte in b"\xf0" * 9)
    assert shown.startswith("\ufffd")
    assert detokenizer.push(list(b"ab"), last=True).endswith("ab")


def test_a_stop_string_is_found_however_the_text_is_cut() -> None:
    dice = random.Random(3)  # noqa: S311 -- nothing secret
    for _ in range(300):
        text = "".join(dice.choice("ab") for _ in range(30))
        stops = ["".join(dice.choice("ab") for _ in range(dice.randrange(1, 6))) for _ in range(2)]
        cuts = sorted(dice.sample(range(31), 5))
        parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, 30], strict=True)]
        scanner, seen, met = StopStrings(stops), "", None
        for part in parts:
            certain, met = scanner.push(part)
            seen += certain
            if met:
                break
        seen += scanner.flush() if not met else ""
        found = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
        assert seen == (text[: min(found)[1]] if found else text)
        assert bool(met) is bool(found)


def test_the_stop_string_is_kept_where_that_is_asked_for() -> None:
    assert StopStrings(["cd"], include=True).push("abcdef") == ("abcd", "cd")


def bare(folder: Path) -> HubTokenizer:
    """A tokenizer without an end, padding or a template."""
    models.tokenizer(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    for name in ("eos_token", "pad_token", "bos_token", "chat_template"):
        settings.pop(name, None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    return HubTokenizer(PreTrainedTokenizerFast.from_pretrained(folder))


def test_a_template_gets_the_variables_of_a_request_and_no_others(tmp_path: Path) -> None:
    template = "{{ messages[0].content }}{% if enable_thinking is defined and not enable_thinking %} quiet{% endif %}"
    tokenizer = HubTokenizer(models.tokenizer(tmp_path), template)
    messages = [{"role": "user", "content": "one"}]
    assert tokenizer.decode(tokenizer.chat(messages)) == "one"
    assert tokenizer.decode(tokenizer.chat(messages, variables={"enable_thinking": False})) == "one quiet"
    for name in ("chat_template", "tokenize", "return_tensors", "conversation", "add_generation_prompt"):
        with pytest.raises(RequestError, match=f"chat_template_kwargs.{name}"):
            tokenizer.chat(messages, variables={name: "{{ 1 }}"})
    with pytest.raises(RequestError, match="no chat template"):
        bare(tmp_path / "bare").chat(messages, variables={"enable_thinking": False})


@pytest.mark.slow
def test_a_model_with_several_templates_uses_the_one_for_tools_where_there_are_any(tmp_path: Path) -> None:
    models.tokenizer(tmp_path)
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text("with tools: {{ messages[0].content }}")
    tokenizer = HubTokenizer(PreTrainedTokenizerFast.from_pretrained(tmp_path))
    said = [{"role": "user", "content": "one"}]
    assert tokenizer.decode(tokenizer.chat(said)) == "<user>one\n<assistant>"
    assert tokenizer.knows_tools
    assert tokenizer.decode(tokenizer.chat(said, tools=[{"type": "function"}])) == "with tools: one"


def test_a_template_that_cannot_be_read_is_found_at_the_start_and_one_that_refuses_is_not(tmp_path: Path) -> None:
    inner = models.tokenizer(tmp_path)
    with pytest.raises(StartError, match="chat template"):
        HubTokenizer(inner, "{% for m in messages %}{{ m")
    picky = HubTokenizer(inner, "{{ raise_exception('no system message') }}")
    with pytest.raises(RequestError, match="no system message"):
        picky.chat([{"role": "user", "content": "one"}])


def test_a_tokenizer_without_end_padding_or_template_serves_all_the_same(tmp_path: Path) -> None:
    folder = models.save(tmp_path / "odd", models.llama(eos_token_id=None, bos_token_id=None))
    assert bare(folder).end_tokens == frozenset()
    command = parse(["--pretrained_model_name_or_path", str(folder), "--adapters_dir", str(tmp_path / "none")])
    with in_process(lambda: load(command, {})) as server:
        messages = [{"role": "user", "content": "one"}]
        chat = server.client.post("/v1/chat/completions", json={"messages": messages, "max_tokens": 5}).json()
        assert chat["usage"]["completion_tokens"] == 5
        kaito = {"prompt": "one two", "generate_kwargs": {"max_new_tokens": 5, "num_beams": 2}}
        assert server.client.post("/chat", json=kaito).json()["Result"].startswith("one two")
        wanted = {"messages": messages, "max_tokens": 5, "response_format": {"type": "json_object"}}
        refused = server.client.post("/v1/chat/completions", json=wanted)
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "response_format"
        assert server.client.post("/v1/completions", json={"prompt": "x", "min_tokens": 3}).status_code == 200
