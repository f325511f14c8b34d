"""Architectures whose layers are built in other ways: each answers as `generate` does, or says why it cannot be served.

A way of batching that fits most of them is wrong for some without a word, so every family has its shape here.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedConfig

from inference.engine.protocol import Sampling, Work
from inference.engine.transformers import load, start
from inference.engine.transformers.adapters import Adapters
from inference.engine.transformers.engine import check_vocabulary
from inference.engine.transformers.forward import Dense
from inference.engine.transformers.scheduler import PROMPT_TOKENS, Scheduler
from inference.engine.transformers.start import choose, fitting
from inference.errors import RequestError, StartError
from inference.settings import ModelSettings
from tests import models
from tests.test_batching import ENOUGH_DISTINCT, generated, greedy, run

COMMON = {"vocab_size": models.VOCABULARY, "initializer_range": models.LIVELY, "bos_token_id": 0, "eos_token_id": 0}
USUAL = COMMON | {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "pad_token_id": 0,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}


def made(name: str, **more: Any) -> Callable[[], PreTrainedConfig]:
    return lambda: getattr(transformers, f"{name}Config")(**(USUAL | more))


SHAPES: dict[str, Callable[[], PreTrainedConfig]] = {
    "qwen2, some layers with a window": made("Qwen2", use_sliding_window=True, sliding_window=7, max_window_layers=1),
    "qwen3, norms and biases of attention": made("Qwen3", head_dim=48, attention_bias=True),
    "qwen3, experts": made("Qwen3Moe", head_dim=32, **EXPERTS),
    "phi": made("Phi", num_key_value_heads=4),
    "phi3": made("Phi3", num_key_value_heads=4),
    "opt": made("OPT", ffn_dim=256, word_embed_proj_dim=64, do_layer_norm_before=False, init_std=models.LIVELY),
    "gpt-neox": made("GPTNeoX"),
    "falcon, a bias for distance": made("Falcon", alibi=True, multi_query=False, parallel_attn=False, bias=True),
    "falcon, new": made("Falcon", num_kv_heads=2, new_decoder_architecture=True),
    "gemma": made("Gemma", head_dim=32, tie_word_embeddings=True),
    "gemma2": made("Gemma2", head_dim=32, sliding_window=7),
    "mixtral": made("Mixtral", num_local_experts=4),
    "gpt-oss, sinks": made("GptOss", head_dim=32, num_local_experts=4, num_experts_per_tok=2, sliding_window=7),
    "xglm, a mask for each row": made("XGLM", d_model=128, attention_heads=4, num_layers=4, init_std=models.LIVELY),
    "llama with biases and a tied head": made("Llama", attention_bias=True, mlp_bias=True, tie_word_embeddings=True),
}
STATES: dict[str, Callable[[], PreTrainedConfig]] = {
    "mamba": made("Mamba"),
    "bamba, its first layer without places": made(
        "Bamba",
        attn_layer_indices=[1, 3],
        mamba_n_heads=8,
        mamba_d_head=32,
        mamba_d_state=16,
        mamba_chunk_size=16,
    ),
    "qwen3-next": made(
        "Qwen3Next",
        head_dim=32,
        **EXPERTS,
        shared_expert_intermediate_size=64,
        linear_num_value_heads=4,
        linear_num_key_heads=2,
        linear_key_head_dim=32,
        linear_value_head_dim=32,
    ),
}


@torch.inference_mode()
@pytest.mark.parametrize("shape", [*SHAPES])
def test_a_family_answers_as_generate_does(shape: str) -> None:
    model = models.build(SHAPES[shape]())
    rows, mode = choose(model, ModelSettings("x"), Adapters())
    assert mode == "continuous"
    dice = random.Random(5)  # noqa: S311 -- nothing secret
    prompts = [[dice.randrange(2, models.VOCABULARY) for _ in range(dice.randrange(1, 30))] for _ in range(6)]
    sequences = [greedy(prompt, dice.randrange(4, 16)) for prompt in prompts]
    expected = [generated(model, list(item.work.prompt), item.work.sampling.max_tokens) for item in sequences]
    assert len({token for answer in expected for token in answer}) > ENOUGH_DISTINCT
    run(Scheduler(rows, 4), [sequences[:3], [], sequences[3:]])
    assert [item.owner for item in sequences] == expected


@torch.inference_mode()
@pytest.mark.parametrize("shape", [*STATES])
def test_a_model_with_a_state_is_served_one_by_one_whatever_the_length(shape: str) -> None:
    """Its state is not told apart by places, and may not survive a prompt that is read in parts."""
    model = models.build(STATES[shape]())
    rows, mode = choose(model, ModelSettings("x"), Adapters())
    assert mode == "serial"
    sequences = [greedy([3 + (7 * place + length) % 500 for place in range(length)], 6) for length in (1, 5, 30)]
    sequences.append(greedy([3 + 11 * place % 500 for place in range(PROMPT_TOKENS + 40)], 6))
    expected = [generated(model, list(item.work.prompt), 6) for item in sequences]
    run(Scheduler(rows, 4), [sequences])
    assert [item.owner for item in sequences] == expected


@torch.inference_mode()
def test_a_model_that_even_alone_answers_otherwise_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.build(models.llama())
    monkeypatch.setattr(start, "_generated", lambda *_: ([1] * start.STEPS, torch.rand(start.STEPS, models.VOCABULARY)))
    with pytest.raises(StartError, match="differ from those of `generate`"):
        choose(model, ModelSettings("x"), Adapters())


@torch.inference_mode()
def test_a_model_that_can_be_loaded_and_not_run_is_refused_in_one_sentence() -> None:
    model = models.build(models.llama())
    model.model.layers[1].mlp.down_proj = torch.nn.Linear(8, 128)
    with pytest.raises(StartError, match="cannot generate: RuntimeError: mat1 and mat2"):
        choose(model, ModelSettings("x"), Adapters())


@pytest.mark.parametrize("name", ["T5", "Bert", "BertGeneration", "Roberta", "Bart"])
def test_encoders_are_refused_though_some_can_be_loaded(name: str, tmp_path: Path) -> None:
    getattr(transformers, f"{name}Config")(vocab_size=100).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(StartError, match="no decoder-only"):
        load.load(ModelSettings(str(tmp_path)))


@pytest.mark.slow
def test_a_rotation_that_depends_on_the_longest_text_bounds_the_context(tmp_path: Path) -> None:
    """Phi-3's long contexts: one long text would change the answers of all others in its batch."""
    factors = {"short_factor": [1.0] * 16, "long_factor": [2.0] * 16}
    rotation = {"rope_type": "longrope", "rope_theta": 10000.0, **factors}
    config = made("Phi3", num_key_value_heads=4, original_max_position_embeddings=64, rope_parameters=rotation)()
    folder = str(models.save(tmp_path / "phi", config))
    assert load.load(ModelSettings(folder)).context == 64
    assert load.load(ModelSettings(folder, max_model_len=32)).context == 32
    with pytest.raises(StartError, match="vLLM"):
        load.load(ModelSettings(folder, max_model_len=128))


@torch.inference_mode()
def test_one_long_request_gets_no_more_memory_than_there_is() -> None:
    """Four rows of the longest text would be four times the budget, and the end of the process."""
    model = models.build(models.llama(max_position_embeddings=100_000))
    token = 3 * 2 * 2 * 32 * 4
    rows, _ = choose(model, ModelSettings("x", cache_bytes=token * 1024), Adapters())
    assert isinstance(rows, Dense)
    assert rows.longest == 1024
    assert fitting(100_000, rows.longest, None) == 1024
    assert fitting(512, rows.longest, 512) == 512
    with pytest.raises(StartError, match="--cache_bytes"):
        fitting(100_000, rows.longest, 100_000)
    rows.reserve([1024])
    assert rows._slots.rows * rows._slots.length <= 1024
    assert not rows.fits([1024, 8])
    assert rows.fits([500, 500])


def test_tokens_that_only_the_tokenizer_knows_are_refused_and_end_nothing() -> None:
    sampling = Sampling(max_tokens=1)
    check_vocabulary(Work([1, 511], sampling), 512)
    with pytest.raises(RequestError, match="512"):
        check_vocabulary(Work([1, 512], sampling), 512)
    with pytest.raises(RequestError, match="logit_bias"):
        check_vocabulary(Work([1], Sampling(max_tokens=1, logit_bias={600: 1.0})), 512)
