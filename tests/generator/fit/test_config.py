"""Is the cache of real models counted as their engines keep it? Each figure is worked out by hand beside it.

The configs are parts of the models' public `config.json`.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.fit.config import shape_of
from generator.fit.memory import Layout, Load, cache_bytes, count
from generator.fit.shape import Shape, UnknownShapeError

from .known import FACTS, KAITO

LLAMA_31_8B = {  # https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct
    "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336,
    "max_position_embeddings": 131072, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "vocab_size": 128256,
}  # fmt: skip
MISTRAL_7B_V01 = {  # https://huggingface.co/mistralai/Mistral-7B-v0.1
    "architectures": ["MistralForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336,
    "max_position_embeddings": 32768, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "sliding_window": 4096, "vocab_size": 32000,
}  # fmt: skip
DEEPSEEK_V3 = {  # https://huggingface.co/deepseek-ai/DeepSeek-V3
    "architectures": ["DeepseekV3ForCausalLM"], "hidden_size": 7168, "intermediate_size": 18432, "kv_lora_rank": 512,
    "max_position_embeddings": 163840, "moe_intermediate_size": 2048, "n_shared_experts": 1,
    "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
    "qk_rope_head_dim": 64, "quantization_config": {"quant_method": "fp8"}, "vocab_size": 129280,
}  # fmt: skip
GEMMA_3_27B = {  # https://huggingface.co/google/gemma-3-27b-it
    "architectures": ["Gemma3ForConditionalGeneration"],
    "text_config": {
        "head_dim": 128, "hidden_size": 5376, "intermediate_size": 21504, "num_attention_heads": 32,
        "num_hidden_layers": 62, "num_key_value_heads": 16, "sliding_window": 1024, "max_position_embeddings": 131072,
    },
}  # fmt: skip
GEMMA_3_12B = {  # https://huggingface.co/google/gemma-3-12b-it, which leaves out what equals its class's defaults
    "architectures": ["Gemma3ForConditionalGeneration"],
    "text_config": {
        "hidden_size": 3840, "intermediate_size": 15360, "num_attention_heads": 16, "num_hidden_layers": 48,
        "num_key_value_heads": 8, "sliding_window": 1024,
    },
}  # fmt: skip
GPT_OSS_20B = {  # https://huggingface.co/openai/gpt-oss-20b
    "architectures": ["GptOssForCausalLM"], "head_dim": 64, "hidden_size": 2880, "intermediate_size": 2880,
    "layer_types": ["sliding_attention", "full_attention"] * 12, "max_position_embeddings": 131072,
    "num_attention_heads": 64, "num_experts_per_tok": 4, "num_hidden_layers": 24, "num_key_value_heads": 8,
    "num_local_experts": 32, "quantization_config": {"quant_method": "mxfp4"}, "sliding_window": 128,
    "tie_word_embeddings": False, "vocab_size": 201088,
}  # fmt: skip
QWEN_38_27B = {  # https://huggingface.co/Qwen/Qwen3.8-27B
    "architectures": ["Qwen3_5ForConditionalGeneration"],
    "text_config": {
        "full_attention_interval": 4, "head_dim": 256, "hidden_size": 5120, "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 48,
        "linear_value_head_dim": 128, "max_position_embeddings": 262144, "num_attention_heads": 24,
        "num_hidden_layers": 64, "num_key_value_heads": 4,
    },
}  # fmt: skip
NEMOTRON_3_NANO = {  # https://huggingface.co/nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16
    "architectures": ["NemotronHForCausalLM"], "conv_kernel": 4, "head_dim": 128, "hidden_size": 2688,
    "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME", "mamba_head_dim": 64,
    "mamba_num_heads": 64, "max_position_embeddings": 262144, "n_groups": 8, "num_attention_heads": 32,
    "num_hidden_layers": 52, "num_key_value_heads": 2, "ssm_state_size": 128,
}  # fmt: skip
GEMMA_4_TEXT = {  # https://huggingface.co/google/gemma-4-31B-it
    "attention_k_eq_v": True, "global_head_dim": 512, "head_dim": 256, "hidden_size": 5376,
    "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 10, "max_position_embeddings": 262144,
    "num_attention_heads": 32, "num_global_key_value_heads": 4, "num_hidden_layers": 60,
    "num_key_value_heads": 16, "num_kv_shared_layers": 0, "sliding_window": 1024,
}  # fmt: skip
GEMMA_4_31B = {"architectures": ["Gemma4ForConditionalGeneration"], "text_config": GEMMA_4_TEXT}
BLOOMZ_560M = {  # https://huggingface.co/bigscience/bloomz-560m
    "architectures": ["BloomForCausalLM"], "hidden_size": 1024, "n_head": 16, "n_layer": 24, "seq_length": 2048,
    "vocab_size": 250880,
}  # fmt: skip
BLOOM_7B1 = {  # https://huggingface.co/bigscience/bloom-7b1, whose width has the name of the first release
    "architectures": ["BloomForCausalLM"], "n_embed": 4096, "n_layer": 30, "num_attention_heads": 32,
    "seq_length": 2048, "vocab_size": 250880,
}  # fmt: skip


def of(config: dict[str, Any]) -> Shape:
    return shape_of(config, 10.0)


def kept(config: dict[str, Any], context: int, batched: int = 2048, tensor: int = 1) -> int:
    load = Load(context=context, batched_tokens=batched, max_sequences=1)
    return cache_bytes(of(config), load, Layout(tensor=tensor), 16)


def per_token(config: dict[str, Any]) -> float:
    """Bytes that each further token costs, where the sequence is long already."""
    return (kept(config, 65536) - kept(config, 32768)) / 32768


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LLAMA_31_8B, 131072),  # keys and values x 8 heads x 128 x 32 layers x 2 bytes
        (MISTRAL_7B_V01 | {"sliding_window": None}, 131072),  # as v0.3 is: the same figures
        (MISTRAL_7B_V01, 0),  # every layer looks back 4,096 tokens only
        (DEEPSEEK_V3, 70272),  # (512 + 64) x 61 layers x 2 bytes, no heads in it
        (GEMMA_3_27B, 81920),  # 2 x 16 x 128 x 2 bytes in the 10 layers of 62 that look at everything
        (GEMMA_3_12B, 65536),  # 2 x 8 x 256 x 2 bytes in 8 of 48 layers; 3840 / 16 would be heads of 240
        (GPT_OSS_20B, 24576),  # 2 x 8 x 64 x 2 bytes in 12 of 24 layers
        (QWEN_38_27B, 65536),  # 2 x 4 x 256 x 2 bytes in 16 of 64 layers
        (NEMOTRON_3_NANO, 6144),  # 2 x 2 x 128 x 2 bytes in the 6 layers marked with a star
        (GEMMA_4_31B, 81920),  # 2 x 4 x 512 x 2 bytes in 10 of 60 layers
        (BLOOMZ_560M, 98304),  # 2 x 16 x 64 x 24 layers x 2 bytes
        (BLOOM_7B1, 491520),  # 2 x 32 x 128 x 30 layers x 2 bytes
    ],
    ids=lambda value: value["architectures"][0] if isinstance(value, dict) else "",
)
def test_bytes_per_token(config: dict[str, Any], expected: int) -> None:
    assert per_token(config) == expected


def test_a_window_keeps_itself_the_batch_and_a_block() -> None:
    # 4,095 tokens in blocks are 4,096, one block more, and the 2,048 of the batch: 6,160 tokens of 128 KiB.
    assert kept(MISTRAL_7B_V01, 32768) == 6160 * 131072


def test_a_short_sequence_in_a_window_is_kept_whole() -> None:
    assert kept(MISTRAL_7B_V01, 1024) == (1024 + 16) * 131072


@pytest.mark.parametrize(
    ("config", "batched", "traced"),
    [
        # Bytes of one sequence of 262,144 tokens as vLLM 0.29 reserves them for these configs: figures that the tests
        # of a public memory calculator, `apron`, state as traced in vLLM's source.
        (QWEN_38_27B, 16384, 17_520_656_384),
        (NEMOTRON_3_NANO, 16384, 1_725_628_416),
        (GEMMA_4_31B, 16384, 13_637 * 2_621_440),
        (GEMMA_4_31B, 4096, 9_797 * 2_621_440),
    ],
)
def test_mixed_layers_come_near_to_what_vllm_reserves(config: dict[str, Any], batched: int, traced: int) -> None:
    assert kept(config, 262144, batched) == pytest.approx(traced, rel=0.011)


def test_tensor_parallelism_divides_heads_but_no_latent_vector() -> None:
    assert kept(LLAMA_31_8B, 32768, tensor=4) * 4 == kept(LLAMA_31_8B, 32768)
    assert kept(LLAMA_31_8B, 32768, tensor=16) * 8 == kept(LLAMA_31_8B, 32768), "8 heads have no sixteenth"
    assert kept(DEEPSEEK_V3, 32768, tensor=8) == kept(DEEPSEEK_V3, 32768)


def test_only_active_experts_count_for_activations() -> None:
    assert of(DEEPSEEK_V3).intermediate_size == (8 + 1) * 2048
    assert of(GPT_OSS_20B).intermediate_size == 4 * 2880


def test_layers_that_share_a_cache_keep_it_once() -> None:
    assert per_token({**GEMMA_4_31B, "text_config": GEMMA_4_TEXT | {"num_kv_shared_layers": 30}}) == 81920 / 2


def test_an_indexer_keeps_its_keys_beside_the_latent_vector() -> None:
    config = DEEPSEEK_V3 | {"architectures": ["DeepseekV32ForCausalLM"], "index_head_dim": 128}
    assert per_token(config) == 70272 + 61 * (128 + 4)


def test_a_silent_config_has_the_defaults_of_its_class() -> None:
    shape = of(GEMMA_3_12B)
    assert (shape.head_dim, shape.token_limit, shape.vocabulary) == (256, 131072, 262208)
    assert of(GEMMA_3_27B).head_dim == 128, "what the file says counts"


def test_embeddings_are_tied_where_the_class_ties_them() -> None:
    assert of(BLOOM_7B1).tied
    assert not of(BLOOM_7B1 | {"tie_word_embeddings": False}).tied
    assert not of(MISTRAL_7B_V01).tied
    assert of(BLOOM_7B1).embedding_gib == 250880 * 4096 * 2 / (1 << 30)


def test_every_row_of_the_facts_gives_the_bytes_that_kaito_counts() -> None:
    for name in FACTS.shapes.rows:
        preset = KAITO.presets[name]
        shape = FACTS.shapes.of_preset(name)
        assert shape.kaito_bytes_per_token == preset.bytes_per_token, name
        assert shape.token_limit == preset.context_limit, name


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({}, "it names no `architectures`"),
        ({"architectures": ["NovelForCausalLM"]}, "`NovelForCausalLM` is no architecture whose cache we can count"),
        (
            {"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 2},
            "it lacks `num_attention_heads`, `hidden_size`, `max_position_embeddings`",
        ),
        (
            LLAMA_31_8B | {"num_hidden_layers": "32"},
            '`num_hidden_layers` must be a whole number of at most 1,000,000,000, but is `"32"`',
        ),
        (
            LLAMA_31_8B | {"num_attention_heads": True},
            "`num_attention_heads` must be a whole number of at most 1,000,000,000, but is `true`",
        ),
        (
            GPT_OSS_20B | {"layer_types": ["retention"] * 24},
            "its layers of kind `retention` are none that we can count",
        ),
        (GPT_OSS_20B | {"layer_types": ["full_attention"]}, "`layer_types` must list 24 layers"),
        (GPT_OSS_20B | {"sliding_window": None}, "it lacks `sliding_window`"),
        (LLAMA_31_8B | {"num_key_value_heads": 0}, "`num_key_value_heads` must be at least 1, but is 0"),
        (LLAMA_31_8B | {"head_dim": 0}, "`head_dim` must be at least 1, but is 0"),
        (LLAMA_31_8B | {"hidden_size": 16}, "`head_dim` must be at least 1, but is 0"),
        (NEMOTRON_3_NANO | {"hybrid_override_pattern": "MX"}, "it lacks a `hybrid_override_pattern` of"),
    ],
)
def test_what_we_do_not_know_is_said_and_never_guessed(config: dict[str, Any], why: str) -> None:
    with pytest.raises(UnknownShapeError) as refused:
        of(config)
    assert str(refused.value).startswith(why)


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 10**12), st.floats(), st.text(max_size=5), st.lists(st.text())
)
EVERY_FAMILY = (LLAMA_31_8B, MISTRAL_7B_V01, DEEPSEEK_V3, GPT_OSS_20B, NEMOTRON_3_NANO, BLOOMZ_560M)


@given(st.sampled_from(EVERY_FAMILY), st.data())
def test_whatever_a_config_holds_there_is_a_shape_or_a_reason(config: dict[str, Any], data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(config)), max_size=3, unique=True))
    broken = config | {name: data.draw(JUNK) for name in names}
    try:
        shape = of(broken)
    except UnknownShapeError:
        return
    load = Load(context=2048, batched_tokens=2048, max_sequences=16)
    assert cache_bytes(shape, load, Layout(), 16) >= 0
    assert count(shape, load, Layout(), FACTS.figures.engine).total > 0
