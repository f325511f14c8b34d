"""Is the memory of a LoRA run counted as the papers count it?"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.fit.tuning import Training, count_training, judge_tuning, training_of

from .known import A10, A100, FACTS, shape

ENGINE = FACTS.figures.engine
GIB = 1 << 30


def test_the_parts_by_hand() -> None:
    parts = count_training(shape(), Training(), 1024, 1, ENGINE)
    assert parts.weights == 16.0
    # 34 bytes for each token, hidden number and layer; ten for each logit
    assert parts.activations * GIB == 1024 * (4096 * 34 * 32 + 128256 * 10)
    # rank 8 x 32 layers x (q, o: 4 x 4,096; k, v: 2 x 5,120; gate, up, down: 3 x 18,432) x 16 bytes
    assert parts.training * GIB == 8 * 32 * (16384 + 10240 + 55296) * 16


def test_qlora_quantizes_all_but_embedding_and_output() -> None:
    kept = 2 * 128256 * 4096 * 2 / GIB
    parts = count_training(shape(), training_of("qlora", None), 1024, 1, ENGINE)
    assert parts.weights == pytest.approx(kept + (16 - kept) * 4.127 / 16)


def test_checkpointing_keeps_a_layer_s_input_alone() -> None:
    parts = count_training(replace(shape(), vocabulary=1), Training(recomputed=True), 1024, 1, ENGINE)
    assert parts.activations * GIB == 1024 * (4096 * (2 * 32 + 34) + 10)


def test_a_configuration_is_read_in_kaito_s_words() -> None:
    config: dict[str, dict[str, Any]] = {
        "ModelConfig": {"torch_dtype": "float32"},
        "LoraConfig": {"r": 32},
        "TrainingArguments": {"per_device_train_batch_size": 4, "max_length": 2048, "gradient_checkpointing": True},
    }
    assert training_of("lora", config) == Training(bits=32, rank=32, batch=4, length=2048, recomputed=True)
    single = {"QuantizationConfig": {"load_in_4bit": True}}
    assert training_of("qlora", single).bits == 4.5
    assert training_of("qlora", {"QuantizationConfig": {"load_in_8bit": True}}).bits == 8.05
    assert training_of("lora", {}).batch == 1
    assert training_of("lora", {"LoraConfig": {}}).batch == 8, "transformers' own batch where one is not written"


def test_a_run_that_does_not_fit_says_what_it_takes() -> None:
    fit = judge_tuning(shape(20.0), A10, Training(batch=8), ENGINE, "eastus")
    assert not fit.fits
    assert fit.nodes is None
    assert fit.reasons[0].startswith("a GPU lacks ")
    assert "activations of 8 x 1,024 tokens" in fit.reasons[0]


def test_qlora_fits_where_lora_does_not() -> None:
    model = shape(20.0)
    assert not judge_tuning(model, A10, training_of("lora", None), ENGINE).fits
    assert judge_tuning(model, A10, training_of("qlora", None), ENGINE).fits


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 8192), st.integers(1, 8192))
def test_larger_batches_and_longer_samples_never_take_less(batch: int, more: int, length: int, longer: int) -> None:
    small = count_training(shape(), Training(), length, batch, ENGINE).total
    assert small <= count_training(shape(), Training(), length + longer, batch + more, ENGINE).total


def test_reach_is_consistent() -> None:
    fit = judge_tuning(shape(), A100, Training(), ENGINE)
    at = [count_training(shape(), Training(), fit.max_context + extra, 1, ENGINE).total for extra in (0, 1)]
    assert at[0] <= 80 < at[1]
