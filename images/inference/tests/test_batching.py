"""The batch answers what `generate` answers, whoever else is in it, joins it or leaves it."""

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from inference.engine.protocol import Chunk, Sampling, Token, Work
from inference.engine.transformers import decoder, forward, slots
from inference.engine.transformers.adapters import Adapters
from inference.engine.transformers.forward import Dense, Separate
from inference.engine.transformers.sampler import Sampler
from inference.engine.transformers.scheduler import PROMPT_TOKENS, Running, Scheduler
from inference.engine.transformers.start import choose
from inference.errors import RequestError
from inference.settings import ModelSettings
from tests import models

ENOUGH_DISTINCT = 3


def generated(model: Any, prompt: list[int], count: int) -> list[int]:
    ids = torch.tensor([prompt])
    model.generation_config.eos_token_id = None
    answer = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False)
    return list(answer[0, len(prompt) :].tolist())


def greedy(prompt: list[int], count: int) -> Running:
    work = Work(prompt, Sampling(max_tokens=count, temperature=0.0))
    return Running(work, Sampler(work.sampling, prompt), owner=[])


def run(scheduler: Scheduler, arrivals: list[list[Running]]) -> None:
    """Step until everything is done, letting one group of newcomers in before each step."""
    waiting = deque(arrivals)
    while True:
        for sequence in waiting.popleft() if waiting else []:
            scheduler.add(sequence)
        for sequence, chunk in scheduler.step():
            assert isinstance(chunk, Chunk)
            sequence.owner.extend(token.id for token in chunk.tokens)
        if scheduler.idle and not waiting:
            return


@pytest.fixture(params=[*models.SHAPES])
def model(request: pytest.FixtureRequest) -> Any:
    return models.build(models.SHAPES[request.param]())


@torch.inference_mode()
def test_joins_and_leaves_at_mixed_lengths_change_nothing(model: Any) -> None:
    dice = random.Random(5)  # noqa: S311 -- nothing secret
    rows, mode = choose(model, ModelSettings("x"), Adapters())
    assert mode == "continuous"
    prompts = [[dice.randrange(1, models.VOCABULARY) for _ in range(dice.randrange(1, 40))] for _ in range(14)]
    sequences = [greedy(prompt, dice.randrange(1, 24)) for prompt in prompts]
    expected = [generated(model, list(item.work.prompt), item.work.sampling.max_tokens) for item in sequences]
    assert len({token for answer in expected for token in answer}) > ENOUGH_DISTINCT * len(models.SHAPES)
    run(Scheduler(rows, 5), [sequences[:4], sequences[4:5], [], sequences[5:9], [], sequences[9:]])
    assert [item.owner for item in sequences] == expected


@pytest.mark.parametrize(
    "shape", [models.llama, models.sliding, models.qwen2, models.qwen3], ids=lambda it: it.__name__
)
def test_models_of_llamas_shape_get_a_decoder_of_our_own(shape: Callable[[], Any]) -> None:
    model = models.build(shape())
    prompt = [7, 8, 9, 30, 31]
    expected = generated(model, prompt, 12)
    with torch.inference_mode():
        rows, _ = choose(model, ModelSettings("x"), Adapters())
        assert isinstance(rows, Dense)
        assert rows.decodes_itself
        sequence = greedy(prompt, 12)
        run(Scheduler(rows, 4), [[sequence]])
    assert sequence.owner == expected == generated(model, prompt, 12)


@torch.inference_mode()
def test_a_decoder_that_calculates_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.build(models.llama())
    monkeypatch.setattr(decoder.Decoder, "step", lambda _, tokens, *__: torch.zeros(len(tokens), models.VOCABULARY))
    rows, mode = choose(model, ModelSettings("x"), Adapters())
    assert mode == "continuous"
    assert isinstance(rows, Dense)
    assert not rows.decodes_itself


@torch.inference_mode()
def test_a_long_prompt_is_read_in_parts_while_others_go_on(model: Any) -> None:
    rows, _ = choose(model, ModelSettings("x"), Adapters())
    dice = random.Random(7)  # noqa: S311 -- nothing secret
    length = min(PROMPT_TOKENS + 77, 480 if model.config.model_type == "gpt2" else 10_000)
    long = greedy([dice.randrange(1, models.VOCABULARY) for _ in range(length)], 4)
    short = [greedy([dice.randrange(1, models.VOCABULARY) for _ in range(6)], count) for count in (2, 9, 12)]
    expected = [generated(model, list(item.work.prompt), item.work.sampling.max_tokens) for item in (*short, long)]
    run(Scheduler(rows, 8), [short, [long]])
    assert [item.owner for item in (*short, long)] == expected


@torch.inference_mode()
def test_a_small_budget_makes_sequences_wait_and_changes_no_answer() -> None:
    model = models.build(models.llama())
    rows, _ = choose(model, ModelSettings("x", cache_bytes=1), Adapters())
    sequences = [greedy([7, 8, 9 + number], 5) for number in range(6)]
    scheduler = Scheduler(rows, 32)
    for sequence in sequences:
        scheduler.add(sequence)
    scheduler.step()
    assert (scheduler.stats().running, scheduler.stats().waiting) == (1, 5)
    run(scheduler, [])
    # The first step's tokens went to nobody.
    assert [item.owner for item in sequences[1:]] == [generated(model, list(s.work.prompt), 5) for s in sequences[1:]]


@torch.inference_mode()
def test_a_wrong_mask_is_found_before_anybody_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.build(models.llama())

    causal, present = slots.causal, slots.present
    monkeypatch.setattr(forward, "causal", lambda *arguments: torch.zeros_like(causal(*arguments)))
    monkeypatch.setattr(forward, "present", lambda *arguments: torch.ones_like(present(*arguments)))
    rows, mode = choose(model, ModelSettings("x"), Adapters())
    assert isinstance(rows, Separate)
    assert mode == "serial"


@torch.inference_mode()
@torch.inference_mode()
def test_newcomers_that_cannot_be_read_together_are_found_before_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """XGLM takes no mask that is shared by several sequences, which one prompt after the other never shows."""
    alone = Dense.read

    def read(self: Dense, first: int, prompts: Sequence[Sequence[int]], *rest: Any, **more: Any) -> Any:
        if len(prompts) > 1:
            raise ValueError("the mask is of one sequence, but there are more")
        return alone(self, first, prompts, *rest, **more)

    monkeypatch.setattr(Dense, "read", read)
    rows, mode = choose(models.build(models.llama()), ModelSettings("x"), Adapters())
    assert mode == "serial"
    assert not rows.fits([1, 1])


def test_a_sequence_without_a_next_token_leaves_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.build(models.llama())
    rows, _ = choose(model, ModelSettings("x"), Adapters())
    wanted = Sampling(max_tokens=5, temperature=1.0, seed=3)
    broken, sound = (Running(Work([7, 8], wanted), Sampler(wanted, [7, 8]), owner=[]) for _ in range(2))
    monkeypatch.setattr(broken.sampler, "bend", lambda logits: logits * float("nan"))
    scheduler = Scheduler(rows, 4)
    for sequence in (broken, sound):
        scheduler.add(sequence)
    while not scheduler.idle:
        for sequence, chunk in scheduler.step():
            sequence.owner.append(chunk)
    assert [type(item) for item in broken.owner] == [RequestError]
    assert [len(item.tokens) for item in sound.owner] == [1] * 5


@torch.inference_mode()
def test_the_serial_mode_answers_the_same(model: Any) -> None:
    rows, mode = choose(model, ModelSettings("x", mode="serial"), Adapters())
    assert mode == "serial"
    sequences = [greedy([7, 8, 9 + number], 6) for number in range(3)]
    run(Scheduler(rows, 4), [sequences])
    assert [item.owner for item in sequences] == [generated(model, list(item.work.prompt), 6) for item in sequences]


@torch.inference_mode()
def test_prompt_log_probabilities_are_those_of_the_model() -> None:
    model = models.build(models.llama())
    rows, _ = choose(model, ModelSettings("x"), Adapters())
    prompt = [3 + number % 90 for number in range(150)]
    wanted = Sampling(max_tokens=1, temperature=0.0, logprobs=2, prompt_logprobs=2)
    scheduler = Scheduler(rows, 4)
    scheduler.add(Running(Work(prompt, wanted), Sampler(wanted, prompt), owner=[]))
    report: list[Token] = []
    while not scheduler.idle:
        for _, chunk in scheduler.step():
            assert isinstance(chunk, Chunk)
            report += chunk.prompt
    logprobs = model(torch.tensor([prompt])).logits[0].log_softmax(-1)
    assert report[0] == Token(prompt[0])
    for place in (1, 64, 65, 149):
        assert report[place].logprob == pytest.approx(float(logprobs[place - 1, prompt[place]]), abs=1e-3)
        assert report[place].top[0][0] == int(logprobs[place - 1].argmax())
