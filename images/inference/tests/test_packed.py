"""Packed layers: a model says the same, each weight is held once, and a model that they do not suit goes without."""

import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from inference.engine.transformers.adapters import Adapters
from inference.engine.transformers.forward import Dense
from inference.engine.transformers.load import load
from inference.engine.transformers.packed import MOST_ROWS, Packed, can_pack, kernel_rows, pack, unpack
from inference.engine.transformers.scheduler import Scheduler
from inference.engine.transformers.start import choose
from inference.settings import ModelSettings
from tests import models
from tests.test_batching import generated, greedy, run

PROMPT = [7, 8, 9, 30, 31]
PLENTY = 1 << 30


def plain(model: Any) -> list[str]:
    return [name for name, layer in model.named_modules() if type(layer) in {nn.Linear, Conv1D}]


@pytest.fixture(params=[*models.SHAPES])
def model(request: pytest.FixtureRequest) -> Any:
    return models.build(models.SHAPES[request.param]())


@torch.inference_mode()
def test_every_linear_layer_is_packed_and_says_the_same(model: Any) -> None:
    ids = torch.tensor([PROMPT, PROMPT[::-1]])
    before = model(input_ids=ids).logits
    pack(model, PLENTY)
    assert plain(model) == []
    torch.testing.assert_close(model(input_ids=ids).logits, before, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("shape", [(0,), (1,), (5,), (17,), (255,), (256,), (257,), (600,), (3, 100), (2, 2, 33)])
def test_any_number_of_rows(shape: tuple[int, ...]) -> None:
    layer = nn.Linear(24, 40)
    rows = torch.randn(*shape, 24)
    torch.testing.assert_close(Packed(layer.weight, layer.bias)(rows), layer(rows))


def test_rows_are_filled_up_to_a_few_sizes() -> None:
    sizes = {rows: kernel_rows(rows) for rows in range(MOST_ROWS + 1)}
    assert all(rows <= size <= rows * 1.25 for rows, size in sizes.items())
    assert {rows: sizes[rows] for rows in (0, 1, 2, 7, 8)} == {0: 0, 1: 1, 2: 2, 7: 7, 8: 8}
    assert len(set(sizes.values())) == 29


@torch.inference_mode()
def test_prompts_of_many_lengths_take_no_memory_that_stays() -> None:
    layers = [Packed(torch.randn(64, columns), None) for columns in (32, 64, 96)]
    process = psutil.Process()

    def read(lengths: range) -> int:
        for rows in lengths:
            for layer in layers:
                layer(torch.ones(rows, layer.in_features))
        return int(process.memory_info().rss)

    before = read(range(1, MOST_ROWS + 1))
    assert read(range(1, 700)) - before < 8 << 20


@torch.inference_mode()
def test_unpacked_weights_are_what_they_were(model: Any) -> None:
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    pack(model, PLENTY)
    unpack(model)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name]) or torch.equal(weight, before[name].t()), name


@torch.inference_mode()
def test_a_tied_head_is_held_twice_only_where_there_is_room() -> None:
    for spare, left in ((PLENTY, []), (1000, ["lm_head"])):
        model = models.build(models.llama(tie_word_embeddings=True))
        pack(model, spare)
        assert plain(model) == left


def test_one_layer_at_a_time_is_held_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them twice would end a server in a container that its model just fits in."""
    model = models.build(models.llama())
    layers = [weakref.ref(layer) for layer in model.modules() if type(layer) is nn.Linear]
    alive = []
    begin = Packed.__init__

    def count(packed: Packed, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        alive.append(sum(layer() is not None for layer in layers))
        begin(packed, weight, bias)

    monkeypatch.setattr(Packed, "__init__", count)
    pack(model, PLENTY)
    assert alive == list(range(len(layers), 0, -1))


@torch.inference_mode()
def test_layers_that_say_something_else_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Packed, "forward", lambda layer, states: states.new_ones(*states.shape[:-1], layer.out_features)
    )
    model = models.build(models.llama())
    expected = generated(model, PROMPT, 8)
    rows, mode = choose(model, ModelSettings("x"), Adapters())
    assert mode == "continuous"
    assert isinstance(rows, Dense)
    assert rows.decodes_itself
    assert not any(isinstance(layer, Packed) for layer in model.modules())
    assert generated(model, PROMPT, 8) == expected


def test_where_there_are_no_kernels_nothing_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.build(models.llama())
    assert can_pack(model)
    assert not can_pack(model.to(torch.float16))
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not can_pack(model.to(torch.float32))


def test_no_page_of_the_weights_file_stays(tmp_path: Path) -> None:
    """A file that somebody replaces would end the server, and would be counted as its memory beside the weights."""
    folder = models.save(tmp_path / "model", models.llama())
    loaded = load(ModelSettings(str(folder), dtype="float32"))
    assert str(folder) in Path("/proc/self/maps").read_text()
    with torch.inference_mode():
        choose(loaded.model, ModelSettings("x"), Adapters())
    assert str(folder) not in Path("/proc/self/maps").read_text()


def test_layers_quantized_to_4_bits_keep_their_own_program(tmp_path: Path) -> None:
    folder = models.save(tmp_path / "model", models.llama(hidden_size=256, intermediate_size=512))
    loaded = load(ModelSettings(str(folder), quantization="4bit"))
    with torch.inference_mode():
        rows, mode = choose(loaded.model, ModelSettings("x"), Adapters())
        assert mode == "continuous"
        kinds = Counter(type(layer).__name__ for layer in loaded.model.modules())
        assert (kinds["Linear4bit"], kinds["Packed"]) == (3 * 7, 1)
        sequence = greedy(PROMPT, 8)
        run(Scheduler(rows, 2), [[sequence]])
    assert sequence.owner == generated(loaded.model, PROMPT, 8)
