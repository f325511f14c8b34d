"""The memory of a LoRA or QLoRA run: the frozen weights, the adapter with its training state, and what a step keeps.

KAITO starts one process a GPU (`accelerate launch --num_processes=<GPUs>`), each with the whole model: what counts is
one GPU, however many a node has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generator.fit.engine import Engine
from generator.fit.kaito import GIB, HALF
from generator.fit.memory import BITS, NF4_DOUBLE_BITS, Layout, Parts, lora_weights
from generator.fit.reach import largest
from generator.fit.shape import LARGEST_VOCABULARY, Shape
from generator.fit.verdict import Fit
from generator.skus import Sku

STATE_BYTES = 16
"""Bytes of each adapter weight in training: itself and its gradient in 32 bits (PEFT casts adapters so), and the two
moments of AdamW in 32 bits (Kingma & Ba 2015)."""
LAYER_BYTES = 34
"""Bytes that a layer keeps for the backward pass, for each token and hidden number (Korthikanti et al. 2022, Reducing
Activation Recomputation, equation 1, without the scores, which fused attention computes anew)."""
LOGIT_BYTES = 2 + 4 + 4
"""Of each logit: 16 bits as computed, 32 for the loss, 32 for the gradient."""
DEFAULT_RANK = 8
DEFAULT_BATCH = 8
KAITO_BATCH = 1
DEFAULT_LENGTH = 1024
"""PEFT's rank, transformers' batch on a GPU, the batch in KAITO's own configuration, and TRL's longest sequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a run asks of one GPU."""

    bits: float = 8 * HALF
    """Bits of a frozen weight of a linear layer."""
    rank: int = DEFAULT_RANK
    batch: int = KAITO_BATCH
    length: int = DEFAULT_LENGTH
    recomputed: bool = False
    """Gradient checkpointing: a layer keeps its input alone."""


def training_of(method: str, config: Mapping[Any, Mapping[str, Any]] | None) -> Training:
    """The run that a Tuning's configuration describes; without one, KAITO's own for the method."""
    sections = config or {}
    arguments, model = sections.get("TrainingArguments", {}), sections.get("ModelConfig", {})
    wide = str(model.get("torch_dtype", "")).endswith("float32")
    return Training(
        bits=_bits(method, sections.get("QuantizationConfig", {})) or (32 if wide else 8 * HALF),
        rank=_whole(sections.get("LoraConfig", {}), DEFAULT_RANK, "r"),
        batch=_whole(arguments, DEFAULT_BATCH if config else KAITO_BATCH, "per_device_train_batch_size"),
        length=_whole(arguments, DEFAULT_LENGTH, "max_length", "max_seq_length"),
        recomputed=arguments.get("gradient_checkpointing") is True,
    )


def _bits(method: str, section: Mapping[str, Any]) -> float | None:
    if method == "lora":
        return None
    if section.get("load_in_8bit"):
        return BITS["8bit"]
    double = section.get("bnb_4bit_use_double_quant", not section)
    return NF4_DOUBLE_BITS if double else BITS["4bit"]


def _whole(section: Mapping[str, Any], default: int, *names: str) -> int:
    for name in names:
        value = section.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return default


def judge_tuning(shape: Shape, sku: Sku, training: Training, engine: Engine, region: str = "") -> Fit:
    """The verdict on one node, as each of its GPUs runs a copy; `max_context` is the longest training sequence."""
    available = sku.gpu_memory_gib

    def total(length: int, batch: int) -> float:
        return count_training(shape, training, length, batch, engine).total

    parts = count_training(shape, training, training.length, training.batch, engine)
    lack = parts.total - available
    reason = (
        f"a GPU lacks {lack:.1f} GiB for the run: weights {parts.weights:.1f}, adapter {parts.training:.1f}, "
        f"activations of {training.batch} x {training.length:,} tokens {parts.activations:.1f}, "
        f"engine {parts.overhead:.1f}, of {available:.1f} GiB"
    )
    return Fit(
        sku=sku.name,
        fits=lack <= 0,
        reasons=(reason,) if lack > 0 else (),
        nodes=1 if lack <= 0 else None,
        kaito_nodes=1,
        planned=1,
        gpus=sku.gpus,
        headroom_gib=-lack,
        max_context=largest(shape.token_limit, lambda length: total(length, training.batch) <= available),
        max_sequences=largest(1024, lambda batch: total(training.length, batch) <= available),
        usd_per_hour=sku.usd_per_hour.get(region),
        parts=parts,
        available_gib=available,
        layout=Layout(copies=sku.gpus),
    )


def count_training(shape: Shape, training: Training, length: int, batch: int, engine: Engine) -> Parts:
    """GiB on one GPU: frozen weights, the adapter of all linear layers, and one step of `batch` sequences."""
    tokens = length * batch
    kept = 2 * shape.layers + LAYER_BYTES if training.recomputed else LAYER_BYTES * shape.layers
    logits = tokens * (shape.vocabulary or LARGEST_VOCABULARY) * LOGIT_BYTES
    return Parts(
        weights=_frozen_gib(shape, training.bits),
        cache=0.0,
        activations=(tokens * shape.hidden_size * kept + logits) / GIB,
        overhead=engine.overhead_gib,
        training=lora_weights(shape, training.rank) * STATE_BYTES / GIB,
    )


def _frozen_gib(shape: Shape, bits: float) -> float:
    """Weights in the type of the run; embedding and output keep 16 bits where the rest is quantized."""
    in_half = shape.weights_gib * HALF / shape.weight_bytes
    if bits >= 8 * HALF:
        return in_half * bits / (8 * HALF)
    kept = min(shape.embedding_gib, in_half)
    return kept + (in_half - kept) * bits / (8 * HALF)
