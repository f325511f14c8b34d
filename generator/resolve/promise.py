"""What a model's entry promises becomes series: which metrics measure each objective on this cluster, if any do."""

from collections.abc import Iterator

from generator.model import Model
from generator.model.model import Latency
from generator.monitoring.promises import Measured, Promise, availability_at_engine, availability_at_gateway, latency
from generator.resolve.context import Context
from generator.skus import Sku

HISTOGRAMS = {
    "ttft": ("vllm:time_to_first_token_seconds",),
    "itl": ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
}
"""The histogram of each objective, the newest name first."""
RESPONSES = "http_requests_total"


def build_promise(context: Context[Model], namespace: str, sku: Sku | None, nodes: int) -> Promise:
    spec = context.entry.value.spec
    return Promise(
        namespace=namespace,
        model=context.entry.name,
        owner=spec.owner,
        sku=sku.name if sku else "",
        scraped=bool(exporter(context)),
        usd_per_hour=_price(context, sku, nodes),
        slos=tuple(_measured(context, namespace)),
    )


def exporter(context: Context[Model]) -> str:
    """Whose metrics the model's pods serve; empty for KAITO's transformers runtime, whose /metrics is JSON."""
    spec = context.entry.value.spec
    if spec.source.preset is None:
        return "server"
    return "vllm" if spec.serving.runtime == "vllm" else ""


def _price(context: Context[Model], sku: Sku | None, nodes: int) -> float | None:
    price = sku.usd_per_hour.get(context.spec_of_cluster.azure.region) if sku else None
    return None if price is None else round(price * nodes, 4)


def _measured(context: Context[Model], namespace: str) -> Iterator[Measured]:
    slo = context.entry.value.spec.slo
    for name, wanted in (("ttft", slo.ttft), ("itl", slo.itl)):
        if wanted:
            yield from _latency(context, namespace, name, wanted)
    if slo.availability is not None:
        yield from _availability(context, namespace, slo.availability)


def _latency(context: Context[Model], namespace: str, name: str, wanted: Latency) -> Iterator[Measured]:
    metric = next((one for one in HISTOGRAMS[name] if _serves(context, f"{one}_bucket")), "")
    if metric:
        place = {"namespace": namespace, "model": context.entry.name}
        yield latency(name, wanted.objective, wanted.threshold_seconds, metric, **place)
    else:
        _say_unmeasured(context, name)


def _availability(context: Context[Model], namespace: str, objective: float) -> Iterator[Measured]:
    place = {"namespace": namespace, "model": context.entry.name}
    if context.entry.value.spec.route.exposure == "gateway":
        yield availability_at_gateway(objective, **place)
    elif _serves(context, RESPONSES):
        yield availability_at_engine(objective, **place)
    else:
        _say_unmeasured(context, "availability")


def _serves(context: Context[Model], metric: str) -> bool:
    name = exporter(context)
    return bool(name) and context.facts.metrics.serves(name, metric, context.spec_of_cluster.kaito.version)


def _say_unmeasured(context: Context[Model], name: str) -> None:
    """A promise that nobody measures is kept by chance."""
    release, cluster = context.spec_of_cluster.kaito.version, context.cluster.name
    message = f"`slo.{name}` cannot be measured on cluster `{cluster}`: no known metric of the model says it"
    hint = "leave it out"
    if exporter(context) == "vllm":
        hint = f"add the names of KAITO {release} to `catalog/facts/metrics.yaml`, or leave it out"
    context.say("catalog/slo-unmeasured", message, "slo", name, hint=hint)
