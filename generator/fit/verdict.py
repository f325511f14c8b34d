"""Does this model fit on that VM size, at the context asked for? One pure answer, `Fit`, with its reasons.

What counts is the placement that will exist: for a preset on vLLM KAITO decides the number of nodes, so our count of
memory is made for that number; `nodes` says how many we would take. Headroom, longest context and sequences are those
of the GPU that holds most.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from generator.facts import Estimator
from generator.fit.engine import Engine
from generator.fit.kaito import GIB, HALF, estimate_nodes
from generator.fit.memory import Layout, Load, Parts, activation_bytes, cache_bytes, count
from generator.fit.reach import largest
from generator.fit.shape import Shape
from generator.skus import Sku

MOST_NODES = 100
"""AKS has no more node pools, and each node is one."""

Server = Literal["preset", "vllm", "transformers"]
"""KAITO's vLLM, our own server's vLLM, or a transformers engine (KAITO's or ours), which uses one GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What is asked of a placement; None where the engine's own default holds."""

    server: Server = "preset"
    context: int
    sequences: int = 1
    """Sequences of the full context that must fit at once."""
    max_sequences: int | None = None
    utilization: float | None = None
    batched_tokens: int | None = None
    tensor: int | None = None
    kv_bytes: float = HALF
    dtype_bytes: int = HALF
    quantization: str = ""
    adapters: int = 0
    lora_rank: int | None = None
    offload_gib: float = 0.0
    """GiB of weights for each GPU that stay in the node's memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The verdict on one VM size."""

    sku: str
    fits: bool
    reasons: tuple[str, ...]
    """Why it does not fit; empty where it does."""
    nodes: int | None
    """The fewest nodes that it fits on by our count; None where no number helps."""
    kaito_nodes: int | None
    """The nodes that KAITO will plan: one for everything but presets on vLLM; None where it refuses."""
    planned: int
    """The nodes that the figures below and the price are for."""
    gpus: int
    """GPUs of `planned` nodes."""
    headroom_gib: float
    """GiB left on the fullest GPU; negative: GiB that lack."""
    max_context: int
    """Longest context of the asked number of sequences; at most the model's own limit."""
    max_sequences: int
    """Sequences of the asked context that fit at once, over all copies."""
    usd_per_hour: float | None
    """Of `planned` nodes; None where no price of the region is known."""
    parts: Parts
    available_gib: float
    """What the engine may take of one GPU."""
    layout: Layout


@dataclass(frozen=True, slots=True)
class Figures:
    """The facts that a verdict counts with."""

    engine: Engine
    estimator: Estimator


def judge(shape: Shape, sku: Sku, demand: Demand, figures: Figures, region: str = "") -> Fit:
    """The verdict for a GPU size."""
    kaito = kaito_nodes(shape, sku, demand.context, figures.estimator) if demand.server == "preset" else 1
    nodes = _fewest(shape, sku, demand, figures.engine)
    planned = kaito or nodes or 1
    placed = _Placed(shape, sku, demand, figures.engine, planned)
    reasons = [*_obstacles(shape, demand, placed.layout), *placed.shortage(nodes)]
    if kaito is None:
        reasons.append(f"KAITO refuses: by its count a GPU is too small for {demand.context:,} tokens of context")
    price = sku.usd_per_hour.get(region)
    return Fit(
        sku=sku.name,
        fits=not reasons,
        reasons=tuple(reasons),
        nodes=nodes,
        kaito_nodes=kaito,
        planned=planned,
        gpus=planned * sku.gpus,
        headroom_gib=placed.headroom(),
        max_context=placed.longest_context(),
        max_sequences=placed.most_sequences(),
        usd_per_hour=None if price is None else round(price * planned, 4),
        parts=placed.parts,
        available_gib=placed.available,
        layout=placed.layout,
    )


def kaito_nodes(shape: Shape, sku: Sku, context: int, estimator: Estimator) -> int | None:
    """KAITO's own number; None where it refuses."""
    total = sku.gpus * sku.gpu_memory_gib
    per_token = shape.kaito_bytes_per_token
    return estimate_nodes(shape.kaito_weights_gib, per_token, context, sku.gpus, total, estimator=estimator)


def _fewest(shape: Shape, sku: Sku, demand: Demand, engine: Engine) -> int | None:
    """The fewest nodes on which the demand fits; only KAITO's presets span nodes."""
    most = MOST_NODES if demand.server == "preset" else 1
    for nodes in range(1, min(most, shape.layers) + 1):
        placed = _Placed(shape, sku, demand, engine, nodes)
        if placed.headroom() >= 0 and not _obstacles(shape, demand, placed.layout):
            return nodes
    return None


def layout_of(shape: Shape, sku: Sku, demand: Demand, engine: Engine, nodes: int) -> Layout:
    """How the engine spreads the model, by KAITO's rules (pkg/model/interface.go) or our own server's.

    KAITO: copies, one a GPU, where the model takes less than half of one; else tensor parallelism over all GPUs of a
    node, and a pipeline over nodes. Our own vLLM: tensor parallelism over the node's GPUs. Transformers: one GPU.
    """
    if demand.server == "transformers":
        return Layout()
    if demand.tensor:
        return Layout(tensor=demand.tensor, pipeline=nodes)
    if demand.server == "preset" and nodes == 1 and shape.kaito_weights_gib < engine.half_gpu * sku.gpu_memory_gib:
        return Layout(copies=sku.gpus)
    return Layout(tensor=sku.gpus, pipeline=nodes)


def _obstacles(shape: Shape, demand: Demand, layout: Layout) -> list[str]:
    """What no amount of memory mends.

    vLLM refuses a tensor parallelism that does not divide the attention heads (`verify_with_parallel_config`), or that
    neither divides the KV heads nor is a multiple of them (`QKVParallelLinear`).
    """
    found = []
    if demand.context > shape.token_limit:
        found.append(f"{demand.context:,} tokens are more than the model's limit of {shape.token_limit:,}")
    tensor, heads = layout.tensor, shape.kv_heads
    if shape.attention_heads % tensor:
        found.append(f"{shape.attention_heads} attention heads cannot be divided over {tensor} GPUs")
    elif not shape.latent_width and heads % tensor and tensor % heads:
        found.append(f"{heads} KV heads cannot be divided over {tensor} GPUs")
    return found


class _Placed:
    """A model on a number of nodes: what is free, and how far it reaches."""

    def __init__(self, shape: Shape, sku: Sku, demand: Demand, engine: Engine, nodes: int) -> None:
        self.shape, self.engine, self.nodes, self.gpu_gib = shape, engine, nodes, sku.gpu_memory_gib
        self.layout = layout_of(shape, sku, demand, engine, nodes)
        self.available = _share(sku, demand, engine) * sku.gpu_memory_gib
        self.offload = demand.offload_gib
        load = _load(sku, demand, engine)
        self.load = replace(load, sequences=math.ceil(load.sequences / self.layout.copies))
        self.parts = self._count()

    def _count(self) -> Parts:
        parts = count(self.shape, self.load, self.layout, self.engine)
        return replace(parts, weights=max(parts.weights - self.offload, 0.0)) if self.offload else parts

    def headroom(self, load: Load | None = None) -> float:
        """GiB left for another context or number of sequences; weights and the engine's own part stay the same."""
        if load is None:
            return self.available - self.parts.total
        activations = self.parts.activations
        if not load.chunked:
            activations = activation_bytes(self.shape, load, self.layout) / GIB
        cache = cache_bytes(self.shape, load, self.layout, self.engine.block) / GIB
        return self.available - (self.parts.weights + cache + activations + self.parts.overhead)

    def longest_context(self) -> int:
        return largest(self.shape.token_limit, lambda tokens: self.headroom(replace(self.load, context=tokens)) >= 0)

    def most_sequences(self) -> int:
        limit = self.load.max_sequences
        here = largest(limit, lambda number: self.headroom(replace(self.load, sequences=number)) >= 0)
        return here * self.layout.copies

    def shortage(self, nodes: int | None) -> list[str]:
        """Why the memory does not suffice; the nodes that would are named where there are any."""
        lack = -self.headroom()
        if lack <= 0:
            return []
        parts, context = self.parts, self.load.context
        many = f" for {self.load.sequences} sequences" if self.load.sequences > 1 else ""
        on = "one node" if self.nodes == 1 else f"{self.nodes} nodes"
        found = (
            f"on {on} a GPU lacks {lack:.1f} GiB{many}: weights {parts.weights:.1f}, cache of {context:,} tokens "
            f"{parts.cache:.1f}, activations {parts.activations:.1f}, engine {parts.overhead:.1f}, "
            f"of {self.available:.1f} GiB"
        )
        return [found + (f"; {nodes} nodes would do" if nodes and nodes != self.nodes else "")]


def _load(sku: Sku, demand: Demand, engine: Engine) -> Load:
    large = engine.is_large(sku.family, sku.gpu_memory_gib)
    batched = engine.large_batched_tokens if large else engine.batched_tokens
    whole = demand.server == "transformers"
    sequences = engine.large_sequences if large else engine.sequences
    return Load(
        context=demand.context,
        sequences=demand.sequences,
        batched_tokens=demand.batched_tokens or batched,
        max_sequences=demand.max_sequences or (demand.sequences if whole else max(sequences, demand.sequences)),
        kv_bytes=demand.kv_bytes,
        dtype_bytes=demand.dtype_bytes,
        quantization=demand.quantization,
        adapters=demand.adapters,
        lora_rank=demand.lora_rank or engine.lora_rank,
        chunked=not whole,
    )


def _share(sku: Sku, demand: Demand, engine: Engine) -> float:
    """Share of a GPU that the engine may take; transformers engines take what there is."""
    if demand.utilization:
        return demand.utilization
    return {"preset": engine.share(sku.family), "vllm": engine.own_utilization, "transformers": 1.0}[demand.server]
