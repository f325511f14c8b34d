"""The sampler chooses by the definitions of `generate`, of vLLM and of OpenAI, and by its own seed alone."""

import importlib.util
import random
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from inference.engine.protocol import Sampling, Work
from inference.engine.transformers.adapters import Adapters
from inference.engine.transformers.sampler import Sampler
from inference.engine.transformers.scheduler import Running, Scheduler
from inference.engine.transformers.start import choose
from inference.settings import ModelSettings
from tests import models
from tests.servers import vllm_missing
from tests.test_batching import run

SIZE = 50
PROMPT = [3, 4, 4, 9]
CHOSEN = [4, 7, 7, 7, 11]


def drawn(dice: random.Random) -> dict[str, Any]:
    """Any of the limits, in any mixture."""
    wanted: dict[str, Any] = {"temperature": dice.choice([0.3, 1.0, 1.7])}
    if dice.random() < 0.5:
        wanted["top_k"] = dice.choice([2, 5, SIZE, SIZE + 9])
    if dice.random() < 0.5:
        wanted["top_p"] = dice.choice([0.05, 0.5, 0.9])
    if dice.random() < 0.5:
        wanted["min_p"] = dice.choice([0.01, 0.2, 0.9])
    if dice.random() < 0.5:
        wanted["typical_p"] = dice.choice([0.1, 0.5, 0.95])
    return wanted


def test_every_mixture_of_limits_leaves_what_generate_leaves() -> None:
    dice = random.Random(6)  # noqa: S311 -- nothing secret
    torch.manual_seed(6)
    model = models.build(models.llama())
    for _ in range(300):
        limits, logits = drawn(dice), torch.randn(SIZE) * 3
        config = GenerationConfig(do_sample=True, **({"top_k": 0} | limits))
        processors = model._get_logits_processor(config, input_ids_seq_length=1)
        expected = processors(torch.tensor([[1]]), logits[None].clone())[0].softmax(-1)
        parts, tokens = Sampler(Sampling(max_tokens=1, **limits), PROMPT).distribution(logits.clone())
        found = torch.zeros(SIZE)
        found[torch.arange(SIZE) if tokens is None else tokens] = parts / parts.sum()
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4, msg=str(limits))


PENALTIES: list[dict[str, Any]] = [
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 0.6},
    {"presence_penalty": 1.5},
    {"frequency_penalty": -1.2},
    {"repetition_penalty": 1.3, "presence_penalty": -0.5, "frequency_penalty": 0.7, "logit_bias": {4: 9.0, 20: -100.0}},
]


def bent(wanted: dict[str, Any], logits: torch.Tensor) -> torch.Tensor:
    sampler = Sampler(Sampling(max_tokens=9, **wanted), PROMPT)
    for token in CHOSEN:
        sampler.accept(token)
    return sampler.bend(logits.clone())


@pytest.mark.parametrize("wanted", PENALTIES)
def test_penalties_are_openais_and_huggingfaces(wanted: dict[str, Any]) -> None:
    """Of the answer's tokens, once and by their number; of all tokens, as a factor."""
    torch.manual_seed(2)
    logits = torch.randn(SIZE)
    expected = logits.tolist()
    for token, bias in wanted.get("logit_bias", {}).items():
        expected[token] += bias
    factor = wanted.get("repetition_penalty", 1.0)
    for token in {*PROMPT, *CHOSEN}:
        expected[token] = expected[token] * factor if expected[token] < 0 else expected[token] / factor
    for token in set(CHOSEN):
        expected[token] -= wanted.get("presence_penalty", 0.0)
        expected[token] -= wanted.get("frequency_penalty", 0.0) * CHOSEN.count(token)
    torch.testing.assert_close(bent(wanted, logits), torch.tensor(expected))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None or bool(vllm_missing()), reason=vllm_missing())
@pytest.mark.parametrize("wanted", PENALTIES)
def test_penalties_are_vllms(wanted: dict[str, Any]) -> None:
    from vllm.model_executor.layers.utils import apply_penalties

    torch.manual_seed(3)
    logits = torch.randn(SIZE)
    biased = logits.clone()
    for token, bias in wanted.get("logit_bias", {}).items():
        biased[token] += bias
    factors = [wanted.get(name, 0.0) for name in ("presence_penalty", "frequency_penalty")]
    factors.append(wanted.get("repetition_penalty", 1.0))
    tensors = [torch.tensor([factor]) for factor in factors]
    expected = apply_penalties(biased[None], torch.tensor([PROMPT]), torch.tensor([CHOSEN]), *tensors)[0]
    torch.testing.assert_close(bent(wanted, logits), expected)


@torch.inference_mode()
def test_a_seed_gives_the_same_answer_whoever_else_is_in_the_batch() -> None:
    model = models.build(models.llama())
    rows, _ = choose(model, ModelSettings("x"), Adapters())
    dice = random.Random(9)  # noqa: S311 -- nothing secret

    def sequence(prompt: list[int], seed: int | None, **more: Any) -> Running:
        wanted = Sampling(max_tokens=16, temperature=1.3, seed=seed, **more)
        return Running(Work(prompt, wanted), Sampler(wanted, prompt), owner=[])

    def seeded() -> list[Running]:
        """As `n` choices: one prompt, a seed each."""
        limits: list[dict[str, Any]] = [{}, {"top_k": 40}, {"top_p": 0.9}, {"presence_penalty": 1.0}]
        return [sequence([7, 8, 9], -1 + number, **more) for number, more in enumerate(limits)]

    def neighbours() -> list[Running]:
        return [sequence([dice.randrange(1, 500) for _ in range(dice.randrange(1, 30))], None) for _ in range(3)]

    alone = seeded()
    for one in alone:
        run(Scheduler(rows, 4), [[one]])
    answers = [one.owner for one in alone]
    assert len({tuple(answer) for answer in answers}) == len(answers)
    for _ in range(3):
        again = seeded()
        arrivals = [neighbours(), [again[0]], [again[1], *neighbours()], [], [again[2]], [again[3], *neighbours()]]
        run(Scheduler(rows, 6), arrivals)
        assert [one.owner for one in again] == answers


@torch.inference_mode()
def test_reported_log_probabilities_are_the_models_own() -> None:
    """Whatever bends the choice: temperature, penalties, limits."""
    torch.manual_seed(8)
    logits = torch.randn(SIZE)
    own = logits.log_softmax(-1)
    wanted = Sampling(max_tokens=9, temperature=0.2, top_k=3, presence_penalty=2.0, logit_bias={5: 9.0}, logprobs=4)
    token = Sampler(wanted, PROMPT).choose(logits)
    assert token.logprob == pytest.approx(float(own[token.id]))
    values, tokens = own.topk(4)
    assert [other for other, _ in token.top] == tokens.tolist()
    assert [value for _, value in token.top] == pytest.approx(values.tolist())
