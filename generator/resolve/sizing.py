"""How many nodes and GPUs one model takes, by KAITO's own estimate, and what we know of its size."""

from dataclasses import dataclass

from generator.fit.kaito import cache_per_token, estimate_nodes
from generator.model import Model
from generator.resolve.context import Context
from generator.skus import Sku


@dataclass(frozen=True, slots=True)
class Size:
    """What KAITO's estimate needs: weights in GiB, bytes of KV cache per token."""

    weights_gib: float
    bytes_per_token: int
    token_limit: int


def model_size(context: Context[Model]) -> Size | None:
    """The size of the entry's model as KAITO counts it: a preset that it knows by its own figures, else as written."""
    spec = context.entry.value.spec
    written = spec.architecture
    known = context.facts.kaito.preset(spec.source.preset.name) if spec.source.preset else None
    if known:
        limit = written.token_limit if written else known.context_limit
        return Size(known.weights_gib, known.bytes_per_token, limit)
    if written is None:
        return None
    per_token = cache_per_token(written.layers, written.kv_heads, written.head_dim, written.latent_width)
    return Size(written.weights_gib, per_token, written.token_limit)


def node_count(context: Context[Model], sku: Sku | None, tokens: int | None) -> int:
    """Nodes of one replica: KAITO's estimate for presets on vLLM, one node for everything else."""
    spec = context.entry.value.spec
    size = model_size(context)
    _check_context(context, size, tokens)
    if not spec.source.preset or spec.serving.runtime != "vllm" or sku is None or not sku.gpus:
        return 1
    if size is None:
        message = f"the size of `{spec.source.preset.name}` is not known, so its nodes are counted as one"
        hint = "describe it in `architecture`"
        context.say("catalog/unknown-size", message, "source", "preset", "name", hint=hint, warning=True)
        return 1
    return _estimate(context, sku, size, tokens)


def _estimate(context: Context[Model], sku: Sku, size: Size, tokens: int | None) -> int:
    estimator = context.facts.kaito.estimator
    wanted = tokens or estimator.default_context
    total = sku.gpus * sku.gpu_memory_gib
    nodes = estimate_nodes(size.weights_gib, size.bytes_per_token, wanted, sku.gpus, total, estimator=estimator)
    if nodes is None:
        message = (
            f"a GPU of `{sku.name}` is too small for {wanted:,} tokens of context: KAITO refuses to place the model"
        )
        where = ("clusters", context.cluster.name, "sku")
        context.say("catalog/does-not-fit", message, *where, hint="ask for less `context`, or take a larger size")
    return nodes or 1


def _check_context(context: Context[Model], size: Size | None, tokens: int | None) -> None:
    if size is None or tokens is None or tokens <= size.token_limit:
        return
    override = context.entry.value.spec.clusters[context.cluster.name]
    where = ("clusters", context.cluster.name, "context") if override.context else ("serving", "context")
    message = f"a context of {tokens:,} tokens is more than the model's limit of {size.token_limit:,}"
    context.say("catalog/context", message, *where, hint=f"at most {size.token_limit}")
