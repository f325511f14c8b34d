"""KAITO's estimator repeated: node counts computed from its formula, at 2048 tokens, for ten VM sizes."""

from pathlib import Path

import pytest

from generator.facts import Estimator, load_kaito_facts
from generator.fit.kaito import estimate_nodes
from generator.fit.verdict import kaito_nodes

from .known import FACTS as FACT_SHAPES
from .known import SKUS

FACTS = load_kaito_facts(Path(__file__).parents[3] / "catalog" / "facts" / "kaito.yaml")
ESTIMATOR = FACTS.estimator
# GPUs and total GiB: A10 (1, 2), A100 (1, 2, 4), A100 of 40 GiB (8), H100 NVL (1, 2), H100 (8), H200 (8).
SIZES = ((1, 24), (2, 48), (1, 80), (2, 160), (4, 320), (8, 320), (1, 94), (2, 188), (8, 640), (8, 1128))
ONE = (1,) * 10
NODES = {  # weights in GiB, bytes per token → nodes for each size
    (27.31, 204800): (2, *ONE[1:]),
    (7.15, 131072): ONE,
    (7.12, 393216): ONE,
    (26.00, 204800): (2, *ONE[1:]),
    (14.96, 131072): ONE,
    (27.51, 196608): (2, *ONE[1:]),
    (641.30, 70272): (39, 20, 11, 6, 3, 3, 9, 5, 2, 1),
    (642.14, 70272): (39, 20, 11, 6, 3, 3, 9, 5, 2, 1),
    (155.43, 88064): (10, 5, 3, 2, 1, 1, 3, 2, 1, 1),
    (805.34, 124928): (49, 25, 14, 7, 4, 4, 12, 6, 2, 1),
    (14.19, 57344): ONE,
    (61.03, 262144): (4, 2, 2, *ONE[3:]),
    (5.68, 147456): ONE,
    (4.24, 49152): ONE,
    (8.68, 131072): ONE,
    (17.98, 131072): (2, *ONE[1:]),
    (232.99, 98304): (15, 8, 4, 2, 1, 1, 4, 2, 1, 1),
    (73.47, 98304): (5, 3, 2, 1, 1, 1, 2, 1, 1, 1),
    (219.56, 122880): (14, 7, 4, 2, 1, 1, 4, 2, 1, 1),
    (66.97, 81920): (5, 3, 2, *ONE[3:]),
    (34.90, 81920): (3, 2, *ONE[2:]),
    (51.75, 262144): (4, 2, *ONE[2:]),
    (25.63, 49152): (2, *ONE[1:]),
    (121.54, 73728): (8, 4, 3, 2, 1, 1, 2, 1, 1, 1),
    (131.42, 327680): (9, 5, 3, 2, 1, 1, 2, 1, 1, 1),
    (13.50, 131072): ONE,
    (4.35, 106496): ONE,
    (9.70, 139264): ONE,
    (14.65, 163840): ONE,
    (112.63, 23040): (7, 4, 2, 1, 1, 1, 2, 1, 1, 1),
    (65.95, 23040): (4, 2, 2, *ONE[3:]),
    (124.43, 360448): (8, 4, 3, 2, 1, 1, 2, 1, 1, 1),
    (634.70, 70272): (39, 20, 11, 6, 3, 3, 9, 5, 2, 1),
    (8.01, 139264): ONE,
    (51.10, 507904): (4, 2, *ONE[2:]),
    (9.54, 35840): ONE,
    (14.89, 86016): ONE,
    (22.28, 393216): (2, *ONE[1:]),
    (48.07, 245760): (3, 2, *ONE[2:]),
    (58.25, 983040): (4, 2, *ONE[2:]),
    (7.40, 172032): ONE,
    (16.56, 229376): (2, *ONE[1:]),
    (24.55, 253952): (2, *ONE[1:]),
    (58.82, 53248): (4, 2, *ONE[2:]),
    (230.25, 90112): (14, 7, 4, 2, 1, 1, 4, 2, 1, 1),
    (328.13, 110592): (20, 10, 6, 3, 2, 2, 5, 3, 1, 1),
    (554.32, 70272): (34, 17, 10, 5, 3, 3, 8, 4, 2, 1),
    (214.34, 253952): (14, 7, 4, 2, 1, 1, 4, 2, 1, 1),
    (703.75, 89856): (43, 22, 12, 6, 3, 4, 10, 5, 2, 1),
    (16.38, 163840): ONE,
}


@pytest.mark.parametrize(("model", "nodes"), NODES.items())
def test_node_counts(model: tuple[float, int], nodes: tuple[int, ...]) -> None:
    weights, per_token = model
    computed = (estimate_nodes(weights, per_token, 2048, gpus, total, estimator=ESTIMATOR) for gpus, total in SIZES)
    assert tuple(computed) == nodes


def test_every_preset_of_the_facts_is_in_the_table() -> None:
    assert {(preset.weights_gib, preset.bytes_per_token) for preset in FACTS.presets.values()} <= set(NODES)


def test_a_cache_that_fills_the_gpu_fits_on_no_number_of_nodes() -> None:
    # 0.84 of 24 GiB leave 20.16; 2.3 of overhead and 20 of cache are more.
    assert estimate_nodes(1.0, 1 << 20, 20 * 1024, 1, 24, estimator=ESTIMATOR) is None


def test_an_exact_fit_rounds_up() -> None:
    exact = Estimator(
        gpu_memory_utilization=1.0, overhead_gib=0.0, weights_factor=1.0, usable_divisor=1.0, default_context=2048
    )
    assert estimate_nodes(80.0, 0, 2048, 1, 80, estimator=exact) == 2
    assert estimate_nodes(79.0, 0, 2048, 1, 80, estimator=exact) == 1


def test_the_cache_is_divided_by_the_gpus_of_one_node() -> None:
    # 16 GiB of cache on two GPUs are 8 each: 20.16 - 2.3 - 8 = 9.86, by 1.05 = 9.39 GiB for weights on each GPU.
    assert estimate_nodes(18.0, 1 << 20, 16 * 1024, 2, 48, estimator=ESTIMATOR) == 1
    assert estimate_nodes(18.5, 1 << 20, 16 * 1024, 2, 48, estimator=ESTIMATOR) == 2


def test_a_verdict_carries_kaito_s_own_number() -> None:
    """Through the shapes of the facts and the whole verdict, for the VM sizes of the columns."""
    a10 = ("NV36ads_A10_v5", "NV72ads_A10_v5")
    a100 = ("NC24ads_A100_v4", "NC48ads_A100_v4", "NC96ads_A100_v4", "ND96asr_A100_v4")
    newer = ("NC40ads_H100_v5", "NC80adis_H100_v5", "ND96isr_H100_v5", "ND96isr_H200_v5")
    sizes = [SKUS.sizes[f"Standard_{name}"] for name in (*a10, *a100, *newer)]
    for preset in FACT_SHAPES.shapes.rows:
        facts, shape = FACTS.presets[preset], FACT_SHAPES.shapes.of_preset(preset)
        planned = tuple(kaito_nodes(shape, sku, 2048, ESTIMATOR) for sku in sizes)
        assert planned == NODES[facts.weights_gib, facts.bytes_per_token], preset
