"""The committed facts, and what tests of several modules build from them."""

from pathlib import Path

from generator.facts import load_kaito_facts
from generator.figures import FitFacts, load_fit_facts
from generator.fit.memory import Load
from generator.fit.shape import Cache, Shape
from generator.skus import Skus, load_skus

FOLDER = Path(__file__).parents[3] / "catalog" / "facts"
KAITO = load_kaito_facts(FOLDER / "kaito.yaml")
SKUS: Skus = load_skus(FOLDER / "skus.yaml")
FACTS: FitFacts = load_fit_facts(FOLDER, KAITO)
A10 = SKUS.sizes["Standard_NV36ads_A10_v5"]
A100 = SKUS.sizes["Standard_NC24ads_A100_v4"]
TWO_A100 = SKUS.sizes["Standard_NC48ads_A100_v4"]
FOUR_A100 = SKUS.sizes["Standard_NC96ads_A100_v4"]
EIGHT_A100_40 = SKUS.sizes["Standard_ND96asr_A100_v4"]
EIGHT_H100 = SKUS.sizes["Standard_ND96isr_H100_v5"]
H200 = SKUS.sizes["Standard_ND96isr_H200_v5"]
CPU = SKUS.sizes["Standard_D16s_v5"]


def shape(
    weights_gib: float = 16.0, cache: tuple[Cache, ...] | None = None, *, kv_heads: int = 8, tied: bool = False
) -> Shape:
    """A model of round figures: 32 layers, 32 heads of 128, 16 GiB of weights, 128 KiB of cache a token."""
    width = 2 * kv_heads * 128
    return Shape(
        weights_gib=weights_gib,
        layers=32,
        attention_heads=32,
        kv_heads=kv_heads,
        head_dim=128,
        token_limit=131072,
        cache=cache or (Cache(kind="full", layers=32, width=width, shards=kv_heads),),
        hidden_size=4096,
        intermediate_size=14336,
        vocabulary=128256,
        tied=tied,
    )


def load(context: int = 2048, sequences: int = 1, batched_tokens: int = 2048) -> Load:
    return Load(context=context, sequences=sequences, batched_tokens=batched_tokens, max_sequences=256)
