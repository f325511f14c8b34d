"""Is the verdict right where it can be worked out by hand, and does it move the right way where it cannot?"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.fit.memory import Layout, cache_bytes, count
from generator.fit.shape import Cache, Shape
from generator.fit.verdict import Demand, Fit, Server, _Placed, judge
from generator.skus import Sku

from .known import A10, A100, EIGHT_A100_40, EIGHT_H100, FACTS, FOUR_A100, H200, SKUS, TWO_A100, load, shape

GIB = 1 << 30
GPU_SIZES = [sku for sku in SKUS.sizes.values() if sku.gpus]


def verdict(model: Shape, sku: Sku, demand: Demand | None = None, region: str = "eastus") -> Fit:
    return judge(model, sku, demand or Demand(context=2048), FACTS.figures, region)


def test_the_parts_by_hand() -> None:
    parts = count(shape(), load(context=32768), Layout(), FACTS.figures.engine)
    assert parts.weights == pytest.approx(16 * 1.02)
    assert parts.cache == 4.0, "128 KiB x 32,768"
    # 2,048 tokens x 2 bytes x (3 x 4,096 hidden + (32 + 2 x 8) x 128 heads + 3 x 14,336 gate, up and product)
    assert parts.activations * GIB == 2048 * 2 * (12288 + 6144 + 43008)
    assert parts.overhead == 2.3


def test_headroom_is_what_the_engine_may_take_less_the_parts() -> None:
    fit = verdict(shape(), A100, Demand(context=32768))
    assert fit.available_gib == pytest.approx(0.84 * 80)
    assert fit.headroom_gib == pytest.approx(67.2 - 16.32 - 4 - 2048 * 2 * 61440 / GIB - 2.3)
    assert fit.fits
    assert fit.nodes == fit.kaito_nodes == 1
    assert fit.reasons == ()


def test_an_a10_gives_the_engine_a_smaller_share() -> None:
    assert verdict(shape(7.0), A10).available_gib == pytest.approx(0.82 * 24)


def test_what_does_not_fit_says_what_it_needs() -> None:
    fit = verdict(shape(60.0), A100, Demand(server="vllm", context=131072))
    assert not fit.fits
    assert fit.headroom_gib == pytest.approx(72 - 61.2 - 16 - 0.234375 - 2.3)
    (reason,) = fit.reasons
    parts = "weights 61.2, cache of 131,072 tokens 16.0, activations 0.2, engine 2.3, of 72.0 GiB"
    assert reason == f"on one node a GPU lacks 7.7 GiB: {parts}"


def test_more_tokens_than_the_model_knows() -> None:
    fit = verdict(shape(), A100, Demand(context=200_000))
    assert fit.reasons == ("200,000 tokens are more than the model's limit of 131,072",)
    assert fit.max_context == 131072


def test_kaito_refuses_where_the_cache_by_its_count_fills_a_gpu() -> None:
    """Ten layers of sixty keep everything: KAITO counts all sixty, and 131,072 tokens are 120 GiB to it."""
    gemma = FACTS.shapes.of_preset("google/gemma-4-31B-it")
    fit = verdict(gemma, H200, Demand(context=262144))
    assert fit.kaito_nodes == 1
    fit = verdict(gemma, A100, Demand(context=131072))
    assert fit.kaito_nodes is None
    assert fit.reasons[-1] == "KAITO refuses: by its count a GPU is too small for 131,072 tokens of context"


@pytest.mark.parametrize(
    ("preset", "sku", "obstacle"),
    [
        ("microsoft/phi-4", EIGHT_A100_40, "10 KV heads cannot be divided over 8 GPUs"),
        ("Qwen/Qwen3.6-27B", EIGHT_A100_40, None),  # 24 heads by 8, 4 KV heads held twice each
        ("deepseek-ai/DeepSeek-V3-0324", EIGHT_H100, None),
    ],
)
def test_heads_must_divide(preset: str, sku: Sku, obstacle: str | None) -> None:
    fit = verdict(FACTS.shapes.of_preset(preset), sku)
    assert [reason for reason in fit.reasons if "divided" in reason] == ([obstacle] if obstacle else [])


def test_attention_heads_that_do_not_divide() -> None:
    odd = replace(shape(60.0), attention_heads=30)
    assert "30 attention heads cannot be divided over 4 GPUs" in verdict(odd, FOUR_A100).reasons


def test_kaito_runs_copies_of_a_small_model() -> None:
    small, large = verdict(shape(16.0), TWO_A100), verdict(shape(60.0), TWO_A100)
    assert small.layout == Layout(copies=2)
    assert small.max_sequences == 2 * verdict(shape(16.0), A100).max_sequences
    assert large.layout == Layout(tensor=2)


def test_a_price_that_is_not_known_is_none_and_never_nothing() -> None:
    assert verdict(shape(), A100).usd_per_hour == 3.673
    assert verdict(shape(61.0), A100).usd_per_hour == 2 * 3.673
    assert verdict(shape(), A100, region="westeurope").usd_per_hour is None


def test_our_own_server_never_spans_nodes() -> None:
    fit = verdict(shape(100.0), A100, Demand(server="vllm", context=2048))
    assert (fit.nodes, fit.kaito_nodes, fit.planned) == (None, 1, 1)
    assert not fit.fits


def test_transformers_uses_one_gpu_and_all_of_it() -> None:
    fit = verdict(shape(), FOUR_A100, Demand(server="transformers", context=2048))
    assert fit.layout == Layout()
    assert fit.available_gib == 80


def test_in_flight_quantization_spares_the_embedding() -> None:
    plain = verdict(shape(), A100)
    four = verdict(shape(), A100, Demand(context=2048, quantization="4bit"))
    embedding = 2 * 128256 * 4096 * 2 / GIB
    assert four.parts.weights == pytest.approx(1.02 * (embedding + (16 - embedding) * 4.5 / 16))
    tied = verdict(shape(tied=True), A100, Demand(context=2048, quantization="4bit"))
    assert tied.parts.weights < four.parts.weights < plain.parts.weights


def test_weights_that_are_quantized_already_weigh_what_they_weigh() -> None:
    awq = replace(shape(5.68), quantization="awq")
    assert verdict(awq, A100, Demand(context=2048, quantization="4bit")).parts.weights == pytest.approx(5.68 * 1.02)


def test_weights_in_32_bits_halve_when_they_are_loaded_in_16() -> None:
    wide = replace(shape(32.0), weight_bytes=4)
    assert verdict(wide, A100).parts.weights == pytest.approx(16 * 1.02)


def test_adapters_and_offloading_count() -> None:
    plain = verdict(shape(), A100).parts.weights
    # 16 x 32 layers x (q and o: 4 x 4,096; k and v: 2 x (4,096 + 1,024); three of 4,096 + 14,336) x 2 bytes
    slot = 16 * 32 * (4 * 4096 + 2 * 5120 + 3 * 18432) * 2 / GIB
    assert verdict(shape(), A100, Demand(context=2048, adapters=2)).parts.weights == pytest.approx(plain + 2 * slot)
    assert verdict(shape(), A100, Demand(context=2048, offload_gib=4.0)).parts.weights == pytest.approx(plain - 4)


SHAPES = st.builds(
    shape,
    weights_gib=st.floats(0.5, 400),
    cache=st.lists(
        st.one_of(
            st.builds(Cache, kind=st.just("full"), layers=st.integers(1, 64), width=st.integers(64, 8192)),
            st.builds(
                Cache,
                kind=st.just("sliding"),
                layers=st.integers(1, 64),
                width=st.integers(64, 8192),
                window=st.integers(1, 8192),
            ),
            st.builds(Cache, kind=st.just("state"), layers=st.integers(1, 64), state_bytes=st.integers(1, 1 << 23)),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
)
SERVERS: st.SearchStrategy[Server] = st.sampled_from(("preset", "vllm", "transformers"))


@given(SHAPES, st.integers(1, 262144), st.integers(0, 65536), st.integers(1, 64), st.integers(0, 64))
def test_more_context_and_more_sequences_never_need_less(
    model: Shape, context: int, longer: int, sequences: int, more: int
) -> None:
    less = cache_bytes(model, load(context, sequences), Layout(), 16)
    assert less <= cache_bytes(model, load(context + longer, sequences), Layout(), 16)
    assert less <= cache_bytes(model, load(context, sequences + more), Layout(), 16)


@settings(deadline=None)
@given(SHAPES, st.integers(128, 131072))
def test_more_gpus_of_one_kind_never_leave_less(model: Shape, context: int) -> None:
    demand = Demand(server="vllm", context=context)
    rooms = [verdict(model, sku, demand).headroom_gib for sku in (A100, TWO_A100, FOUR_A100)]
    assert rooms == sorted(rooms)


@settings(deadline=None)
@given(SHAPES, st.sampled_from(GPU_SIZES), SERVERS, st.integers(128, 131072))
def test_the_longest_context_fits_and_one_more_token_does_not(
    model: Shape, sku: Sku, server: Server, context: int
) -> None:
    demand = Demand(server=server, context=context)
    fit = verdict(model, sku, demand)
    assert (fit.headroom_gib >= 0) == (fit.max_context >= context)
    if not 0 < fit.max_context < model.token_limit:
        return
    # The same number of nodes, so that only the context differs: KAITO may plan others for another context.
    at = [_room(model, sku, replace(demand, context=tokens), fit) for tokens in (fit.max_context, fit.max_context + 1)]
    assert at[0] >= 0 > at[1]


def _room(model: Shape, sku: Sku, demand: Demand, fit: Fit) -> float:
    return _Placed(model, sku, demand, FACTS.figures.engine, fit.planned).headroom()


@settings(deadline=None)
@given(SHAPES, st.sampled_from(GPU_SIZES), st.integers(128, 131072))
def test_a_verdict_is_consistent_in_itself(model: Shape, sku: Sku, context: int) -> None:
    fit = verdict(model, sku, Demand(context=context))
    assert fit.fits == (not fit.reasons)
    assert not fit.fits or (fit.headroom_gib >= 0 and fit.kaito_nodes and fit.max_sequences >= 1)
    assert fit.usd_per_hour is None or fit.usd_per_hour > 0
    assert fit.gpus == fit.planned * sku.gpus
