"""Adapters change the answers exactly as their weights say: merged with their strengths, or alone by their name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from inference.engine.adapter_folders import find
from inference.engine.protocol import Sampling, Work
from inference.engine.transformers import adapters as lora
from inference.engine.transformers.sampler import Sampler
from inference.engine.transformers.scheduler import Running, Scheduler
from inference.engine.transformers.start import choose
from inference.errors import StartError
from inference.settings import ModelSettings
from tests import models
from tests.test_batching import ENOUGH_DISTINCT, generated, run

STRENGTHS = {"dolly": "0.75", "poet": "0.25"}
PROMPTS = [[7, 8, 9, 30, 31], [101, 44], [5, 90, 13, 77, 21, 62, 11]]
STEPS = 10


@pytest.fixture(scope="module")
def mounted(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    for seed, name in enumerate(STRENGTHS):
        models.adapter(folder / name, llama_folder, seed)
    return folder


def by_hand(base: Path, mounted: Path, strengths: dict[str, float]) -> Any:
    """The base model with every adapter's product added to its weights, without PEFT."""
    model = AutoModelForCausalLM.from_pretrained(base).eval()
    weights = dict(model.named_parameters())
    for name, strength in strengths.items():
        config = json.loads((mounted / name / "adapter_config.json").read_text())
        tensors = load_file(mounted / name / "adapter_model.safetensors")
        for key in [key for key in tensors if "lora_A" in key]:
            target = key.removeprefix("base_model.model.").replace(".lora_A", "")
            product = tensors[key.replace("lora_A", "lora_B")] @ tensors[key]
            weights[target].data += strength * config["lora_alpha"] / config["r"] * product
    return model


def answers(base: Path, mounted: Path, wanted: list[str | None], strengths: dict[str, str]) -> list[list[int]]:
    """What our batch says to each prompt under the adapter that its request names."""
    model = AutoModelForCausalLM.from_pretrained(base).eval()
    model, loaded = lora.load(model, find(mounted, strengths), "cat")
    with torch.inference_mode():
        rows, _ = choose(model, ModelSettings("x"), loaded)
        sampling = Sampling(max_tokens=STEPS, temperature=0.0)
        sequences = [
            Running(Work(prompt, sampling, name), Sampler(sampling, prompt), [], loaded.for_request(name))
            for prompt, name in zip(PROMPTS, wanted, strict=True)
        ]
        run(Scheduler(rows, 4), [sequences])
    return [sequence.owner for sequence in sequences]


def expected(base: Path, mounted: Path, mixes: list[dict[str, float]]) -> list[list[int]]:
    pairs = zip(PROMPTS, mixes, strict=True)
    return [generated(by_hand(base, mounted, mix), prompt, STEPS) for prompt, mix in pairs]


def test_all_adapters_together_have_their_strengths(llama_folder: Path, mounted: Path) -> None:
    mix = {name: float(strength) for name, strength in STRENGTHS.items()}
    wanted = expected(llama_folder, mounted, [mix] * 3)
    assert wanted != expected(llama_folder, mounted, [{}] * 3)
    assert wanted != expected(llama_folder, mounted, [dict.fromkeys(mix, 1.0)] * 3)
    assert len({token for answer in wanted for token in answer}) > ENOUGH_DISTINCT
    assert answers(llama_folder, mounted, [None] * 3, STRENGTHS) == wanted


def test_one_batch_holds_requests_for_different_adapters(llama_folder: Path, mounted: Path) -> None:
    mixes = [{"dolly": 1.0}, {"poet": 1.0}, {"dolly": 1.0, "poet": 1.0}]
    wanted = expected(llama_folder, mounted, mixes)
    assert answers(llama_folder, mounted, ["dolly", "poet", None], {}) == wanted


def test_an_adapter_of_another_base_is_refused(mounted: Path) -> None:
    model = models.build(models.llama(hidden_size=64))
    with pytest.raises(StartError, match="does not fit"):
        lora.load(model, find(mounted, {}), "svd")
