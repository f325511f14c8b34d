"""A model on a CPU node: does it fit into its pod's memory, and the pod into the node?"""

from generator.fit.engine import Engine
from generator.fit.kaito import GIB
from generator.fit.memory import Layout, Load, Parts, activation_bytes, cache_bytes, loaded_gib
from generator.fit.reach import largest
from generator.fit.shape import Shape
from generator.fit.verdict import Demand, Fit
from generator.skus import Sku


def judge_host(
    shape: Shape, sku: Sku, demand: Demand, engine: Engine, *, pod_gib: float | None, region: str = ""
) -> Fit:
    """The verdict for a node without GPUs; `pod_gib` is the memory limit of the pod, None where it has none.

    Weights in the type that the engine computes in, cache and activations as on a GPU, and the server's own process as
    it was measured (engines.yaml). The transformers engine takes whole prompts.
    """
    available = min(pod_gib or sku.memory_gib, sku.memory_gib)

    def parts(context: int, sequences: int) -> Parts:
        load = Load(
            context=context,
            sequences=sequences,
            batched_tokens=context,
            max_sequences=sequences,
            kv_bytes=demand.kv_bytes,
            dtype_bytes=demand.dtype_bytes,
            chunked=False,
        )
        return Parts(
            weights=loaded_gib(shape, load),
            cache=cache_bytes(shape, load, Layout(), engine.block) / GIB,
            activations=activation_bytes(shape, load, Layout()) / GIB,
            overhead=engine.process_gib,
        )

    here = parts(demand.context, demand.sequences)
    headroom = available - here.total
    price = sku.usd_per_hour.get(region)
    reasons = _reasons(shape, sku, demand, here, pod_gib)
    return Fit(
        sku=sku.name,
        fits=not reasons,
        reasons=tuple(reasons),
        nodes=None if reasons else 1,
        kaito_nodes=1,
        planned=1,
        gpus=0,
        headroom_gib=headroom,
        max_context=largest(shape.token_limit, lambda tokens: parts(tokens, demand.sequences).total <= available),
        max_sequences=largest(
            demand.max_sequences or engine.sequences, lambda number: parts(demand.context, number).total <= available
        ),
        usd_per_hour=price,
        parts=here,
        available_gib=available,
        layout=Layout(),
    )


def _reasons(shape: Shape, sku: Sku, demand: Demand, here: Parts, pod_gib: float | None) -> list[str]:
    found = []
    if demand.context > shape.token_limit:
        found.append(f"{demand.context:,} tokens are more than the model's limit of {shape.token_limit:,}")
    if pod_gib and pod_gib > sku.memory_gib:
        found.append(f"the pod's memory of {pod_gib:.1f} GiB is more than the node's {sku.memory_gib:g} GiB")
    whose, available = ("pod", pod_gib) if pod_gib and pod_gib < sku.memory_gib else ("node", sku.memory_gib)
    if here.total > available:
        found.append(
            f"the {whose} lacks {here.total - available:.1f} GiB of memory: weights {here.weights:.1f}, cache of "
            f"{demand.context:,} tokens {here.cache:.1f}, activations {here.activations:.1f}, server "
            f"{here.overhead:.1f}, of {available:.1f} GiB"
        )
    return found
