"""Adapters change the answers exactly as their weights say: merged with their strengths, or alone by their name."""

import dataclasses
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference.deployment import Served
from inference.engine import adapter_fit
from inference.engine.adapter_folders import find
from inference.engine.echo import EchoEngine, EchoTokenizer
from inference.engine.model_folder import model_shapes
from inference.engine.protocol import Sampling, Work
from inference.engine.transformers import adapters as lora
from inference.engine.transformers import beams
from inference.engine.transformers.sampler import Sampler
from inference.engine.transformers.scheduler import Running, Scheduler
from inference.engine.transformers.start import choose
from inference.errors import CANNOT_HEAL, StartError
from inference.settings import ModelSettings
from tests import models, servers
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
        rows, mode = choose(model, ModelSettings("x"), loaded)
        assert mode == "continuous"
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


@pytest.mark.parametrize("other", [{"use_cache": False}, {"num_beams": 3}, {"num_beams": 1, "no_repeat_ngram_size": 9}])
def test_what_only_generate_can_do_has_the_adapters_too(
    other: dict[str, Any], llama_folder: Path, mounted: Path
) -> None:
    """Each beam is a row that wants the adapter."""
    model, loaded = lora.load(AutoModelForCausalLM.from_pretrained(llama_folder).eval(), find(mounted, {}), "cat")
    beams.unadorn(model)
    emitted: list[Any] = []
    work = Work(PROMPTS[0], Sampling(max_tokens=STEPS, temperature=0.0, other=other))
    beams.run(model, work, loaded.for_request("dolly"), threading.Event(), emitted.append)
    merged = by_hand(llama_folder, mounted, {"dolly": 1.0})
    ids = torch.tensor([PROMPTS[0]])
    wanted = {"max_new_tokens": STEPS, "do_sample": False, "eos_token_id": None} | other
    whole = merged.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **wanted)
    assert [token.id for chunk in emitted for token in chunk.tokens] == whole[0, len(PROMPTS[0]) :].tolist()


def answers_by_name(server: servers.Running, base: Path, adapters: dict[str, Path]) -> None:
    """Each request gets the adapter that it names, or none, whoever else is in the batch."""
    names = [card["id"] for card in server.client.get("/v1/models").json()["data"]]
    assert names == [base.name, *adapters]
    tokenizer = AutoTokenizer.from_pretrained(base)

    def ask(name: str) -> str:
        body = {"model": name, "prompt": PROMPTS[0], "max_tokens": STEPS, "temperature": 0, "ignore_eos": True}
        answer = server.client.post("/v1/completions", json=body | {"skip_special_tokens": False}).json()
        assert answer["model"] == name
        return str(answer["choices"][0]["text"])

    mixes = [{}, *({folder.name: 1.0} for folder in adapters.values())]
    parent = next(iter(adapters.values())).parent
    wanted = [str(tokenizer.decode(generated(by_hand(base, parent, mix), PROMPTS[0], STEPS))) for mix in mixes]
    assert len(set(wanted)) == len(names)
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, names * 4)) == wanted * 4
    missing = server.client.post("/v1/completions", json={"model": "another", "prompt": "x"})
    assert missing.status_code == httpx.codes.NOT_FOUND
    assert all(f"`{name}`" in missing.json()["error"]["message"] for name in names)
    assert missing.json()["error"]["code"] == "model_not_found"


def test_a_name_that_means_two_things_is_refused() -> None:
    engine = EchoEngine()
    engine.capabilities = dataclasses.replace(engine.capabilities, adapters=("echo", "dolly"))
    with pytest.raises(StartError, match="name of the model and of an adapter"):
        Served(engine, EchoTokenizer(), ("echo",))


UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"hidden_size": 64}, "is 128x128 and not 64x64"),
    ({"hidden_size": 256}, "is 128x128 and not 256x256"),
    ({"num_hidden_layers": 5}, r"has no layer `model\.layers\.3"),
    ({"num_key_value_heads": 4}, "is 64x128 and not 128x128"),
]


@pytest.mark.parametrize(("other", "named"), UNFIT)
def test_an_adapter_of_another_model_is_found_by_its_shapes(
    other: dict[str, Any], named: str, llama_folder: Path, mounted: Path, tmp_path: Path
) -> None:
    """Neither vLLM, for a smaller model, nor PEFT, for a deeper one, would say anything."""
    models.adapter(tmp_path / "mounted" / "stray", models.save(tmp_path / "other", models.llama(**other)), 1)
    for own in find(mounted, {}):
        adapter_fit.check(own, str(llama_folder), model_shapes(llama_folder))
    (stray,) = find(tmp_path / "mounted", {})
    with pytest.raises(StartError, match=named):
        adapter_fit.check(stray, str(llama_folder), model_shapes(llama_folder))
    with pytest.raises(StartError, match=named):
        lora.load(AutoModelForCausalLM.from_pretrained(llama_folder), [stray], "svd")


def test_shapes_say_nothing_where_names_are_others_or_weights_are_packed() -> None:
    layer = "base_model.model.model.layers.0.q"
    adapter = {f"{layer}.lora_A.weight": (4, 8), f"{layer}.lora_B.weight": (8, 4)}
    fitting: list[dict[str, tuple[int, ...]]] = [
        {"model.layers.0.q.weight": (8, 8)},
        {"layers.0.q.weight": (8, 8)},
        {"blocks.0.attention.weight": (9, 9)},
        {"model.layers.0.q.weight": ()},
        {"model.layers.0.q.qweight": ()},
    ]
    assert [adapter_fit.misfits(adapter, model) for model in fitting] == [[]] * 5
    assert adapter_fit.misfits(adapter, {"layers.0.q.weight": (8, 9)})


def test_dora_is_refused_before_a_request_meets_it(llama_folder: Path, tmp_path: Path) -> None:
    """PEFT would complain of it in the middle of a batch."""
    models.adapter(tmp_path / "mounted" / "dora", llama_folder, 1, use_dora=True)
    with pytest.raises(StartError, match="made by DoRA") as caught:
        lora.load(AutoModelForCausalLM.from_pretrained(llama_folder), find(tmp_path / "mounted", {}), "svd")
    assert caught.value.exit_code == CANNOT_HEAL


def test_an_adapter_of_another_base_is_refused(mounted: Path) -> None:
    model = models.build(models.llama(hidden_size=64))
    with pytest.raises(StartError, match="does not fit"):
        lora.load(model, find(mounted, {}), "svd")
