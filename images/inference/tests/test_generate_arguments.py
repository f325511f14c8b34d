"""Every argument of `generate` that KAITO's clients may send does something to the answer, or is refused by name."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from transformers import GenerationConfig

from inference.api import kaito
from inference.api.kaito import ChatBody
from inference.deployment import Served
from inference.engine.echo import EchoEngine, EchoTokenizer
from inference.engine.protocol import Capabilities, Sampling, Work
from inference.engine.transformers import beams
from inference.errors import RequestError
from inference.flags import parse
from inference.transformers_server import load
from tests import models
from tests.servers import Running, in_process

PROMPT = "one two three"
FIELDS = sorted(set(GenerationConfig().to_dict()) | {"_from_model_config"})
VALUES: dict[str, Any] = {
    "bad_words_ids": [[5]],
    "begin_suppress_tokens": [5],
    "do_sample": False,
    "early_stopping": True,
    "eos_token_id": [7],
    "exponential_decay_length_penalty": [2, 1.5],
    "forced_eos_token_id": 7,
    "guidance_scale": 2.0,
    "max_length": 50,
    "min_length": 50,
    "remove_invalid_values": True,
    "renormalize_logits": True,
    "sequence_bias": [[[5], 3.0]],
    "stop_strings": ["x"],
    "suppress_tokens": [5],
    "top_h": 0.4,
    "use_cache": False,
    "watermarking_config": {"bias": 3.0, "seeding_scheme": "lefthash"},
}
"""Values that differ from what holds without them; 3, or 0.5 below 1, where nothing else is said."""
SHARES = ("top_p", "typical_p", "min_p", "epsilon_cutoff", "eta_cutoff", "temperature")
PADDING = "pad_token_id"
"""A single prompt is padded with nothing: the one argument that is taken and has nothing to do."""


@pytest.fixture
def served() -> Served:
    engine = EchoEngine()
    engine.capabilities = Capabilities("transformers", "continuous", 4096)
    return Served(engine, EchoTokenizer(), ("echo",))


def value(field: str) -> Any:
    return VALUES.get(field, 0.5 if field in SHARES else 3)


def asked(served: Served, arguments: dict[str, Any]) -> tuple[Sampling, Any]:
    order = kaito.order(served, ChatBody(prompt=PROMPT, generate_kwargs=arguments), "text-generation")
    return order.work.sampling, order.ending


def refusal(served: Served, arguments: dict[str, Any]) -> RequestError | None:
    """By the front, or by the lane that the arguments lead to."""
    try:
        sampling, _ = asked(served, arguments)
        if sampling.other:
            beams.generation_config(sampling, None)
    except RequestError as error:
        return error
    return None


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_of_a_generation_config_reaches_the_choice_of_tokens_or_is_refused(
    field: str, served: Served
) -> None:
    arguments = {field: value(field)}
    if refused := refusal(served, arguments):
        assert refused.param == f"generate_kwargs.{field}"
        assert field in refused.message
    elif field != PADDING:
        sampling, ending = asked(served, arguments)
        assert (sampling, ending) != asked(served, {})
        for name in sampling.other:
            assert name in beams.HONOURED
            assert getattr(beams.generation_config(sampling, None), name) is not None


@pytest.mark.parametrize("field", sorted(kaito.NEUTRAL))
def test_values_that_change_nothing_stay_in_the_batch(field: str, served: Served) -> None:
    plain = asked(served, {})
    assert asked(served, {field: kaito.NEUTRAL[field]}) == plain
    assert asked(served, {field: None}) == plain
    own = GenerationConfig._get_default_generation_params()
    assert own.get(field, kaito.NEUTRAL[field]) == kaito.NEUTRAL[field]


@pytest.mark.parametrize("wrong", [True, "x", 10**6, -1, [1]])
def test_padding_that_is_no_token_is_refused(wrong: Any, served: Served) -> None:
    with pytest.raises(RequestError, match="pad_token_id"):
        asked(served, {PADDING: wrong})


def generated(model: Any, prompt: list[int], sampling: Sampling) -> list[int]:
    tokens: list[int] = []
    emitted: list[Any] = []
    beams.run(model, Work(prompt, sampling), None, threading.Event(), emitted.append)
    for chunk in emitted:
        tokens += [token.id for token in chunk.tokens]
    assert emitted[-1].finish
    return tokens


def plainly(**more: Any) -> Sampling:
    return Sampling(**({"max_tokens": 12, "temperature": 0.0} | more))


@pytest.fixture(scope="module")
def model() -> Any:
    made = models.build(models.llama())
    made.generation_config.update(no_repeat_ngram_size=1, num_beams=3, eos_token_id=0, suppress_tokens=[1])
    beams.unadorn(made)
    return made


def effects(first: int, second: int) -> Iterator[tuple[Sampling, Sampling]]:
    """What must answer differently, beside what it is compared with; the tokens are those of the plain answer."""
    drawn: dict[str, Any] = {"temperature": 3.0, "seed": 5}
    for field, wanted in {
        "bad_words_ids": [[first]],
        "begin_suppress_tokens": [first],
        "suppress_tokens": [second],
        "sequence_bias": [[[first], -100.0]],
        "forced_eos_token_id": 7,
        "encoder_repetition_penalty": 50.0,
        "guidance_scale": 9.0,
        "watermarking_config": {"bias": 90.0, "seeding_scheme": "lefthash"},
        "num_beams": 4,
    }.items():
        yield plainly(other={field: wanted}), plainly(other={"use_cache": False})
    for field in ("no_repeat_ngram_size", "encoder_no_repeat_ngram_size"):
        # Said again and again, unless that is forbidden.
        again = {"repetition_penalty": 0.1}
        yield plainly(other={field: 1}, **again), plainly(other={"use_cache": False}, **again)
    for field, share in {"top_h": 0.01, "epsilon_cutoff": 0.9, "eta_cutoff": 0.9}.items():
        yield plainly(other={field: share}, **drawn), plainly(other={"use_cache": False}, **drawn)
    # What the batch knows as well must not get lost on the way to `generate`.
    for narrowing in ({"top_k": 2}, {"top_p": 0.01}, {"min_p": 0.9}, {"typical_p": 0.01}):
        yield plainly(other={"use_cache": False}, **drawn, **narrowing), plainly(other={"use_cache": False}, **drawn)
    yield plainly(other={"use_cache": False}, repetition_penalty=0.1), plainly(other={"use_cache": False})
    ends = {"stop_tokens": frozenset({first, second})}
    decay = {"exponential_decay_length_penalty": [1, 99.0]}
    yield plainly(other=decay, **ends, min_tokens=0), plainly(other={"use_cache": False})
    yield plainly(other={"use_cache": False}, **ends), plainly(other={"use_cache": False}, **ends, min_tokens=4)
    yield (
        plainly(other={"num_beams": 4, "length_penalty": -50.0}, **ends),
        plainly(other={"num_beams": 4, "length_penalty": 50.0}, **ends),
    )


def test_what_is_honoured_has_an_effect(model: Any) -> None:
    prompt = [7, 8, 9, 30, 31]
    plain = generated(model, prompt, plainly(other={"use_cache": False}))
    assert len(plain) == 12
    prompt += plain[:2]
    first, second = generated(model, prompt, plainly(other={"use_cache": False}))[:2]
    tried = set()
    for wanted, compared in effects(first, second):
        tried |= set(wanted.other)
        assert generated(model, prompt, wanted) != generated(model, prompt, compared), wanted
    # These change an answer only where numbers are broken, beams are equal or many are compared.
    assert tried == beams.HONOURED - {"remove_invalid_values", "renormalize_logits", "early_stopping"}


def test_the_lane_answers_as_the_batch_does_whatever_the_models_makers_recommend(model: Any) -> None:
    """The makers would repeat no token, never say token 1 and try three beams: the batch knows nothing of it."""
    prompt = [7, 8, 9, 30, 31]
    alone = generated(model, prompt, plainly(other={"use_cache": False}))
    ids = torch.tensor([prompt])
    for _ in alone:
        ids = torch.cat([ids, model(ids).logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    assert alone == ids[0, len(prompt) :].tolist()
    assert generated(model, prompt, plainly(other={"use_cache": False}, stop_tokens=frozenset())) == alone


@pytest.mark.slow
def test_a_seed_repeats_an_answer_of_the_lane_while_others_draw(tmp_path: Path) -> None:
    folder = models.save(tmp_path / "llama", models.llama())
    command = parse(["--pretrained_model_name_or_path", str(folder), "--adapters_dir", str(tmp_path / "none")])
    with in_process(lambda: load(command, {})) as server:
        check_seeds(server)


def check_seeds(server: Running) -> None:
    arguments = {"max_new_tokens": 40, "temperature": 2.0, "top_k": 0, "no_repeat_ngram_size": 9}

    def lane(**more: Any) -> str:
        answer = server.client.post("/chat", json={"prompt": "x", "generate_kwargs": arguments | more})
        assert answer.status_code == httpx.codes.OK, answer.text
        return str(answer.json()["Result"])

    alone = lane(seed=5)
    # Whoever comes after a seed must not be told its numbers.
    after = [(lane(seed=5), lane())[1] for _ in range(3)]
    assert len({alone, *after}) == 4
    stop = threading.Event()

    def draw() -> None:
        while not stop.is_set():
            server.client.post("/v1/completions", json={"prompt": "y", "max_tokens": 60, "temperature": 2})

    neighbour = threading.Thread(target=draw)
    neighbour.start()
    try:
        assert {lane(seed=5) for _ in range(4)} == {alone}
        batch = {"prompt": "x", "max_tokens": 30, "temperature": 2, "ignore_eos": True}
        lane(seed=6)
        texts = set()
        for _ in range(3):
            lane(seed=6)
            texts.add(server.client.post("/v1/completions", json=batch).json()["choices"][0]["text"])
        assert len(texts) == 3
    finally:
        stop.set()
        neighbour.join()
