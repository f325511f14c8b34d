"""Prometheus metrics under vLLM's names, so that one set of rules and dashboards watches every engine.

An engine that keeps these metrics itself (vLLM does) is asked for its own; the front then adds only what is its own.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from inference.admission import Admission
from inference.deployment import Deployment, Phase

FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160)
BETWEEN = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5)
WHOLE = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480)
disable_created_metrics()


class Clock:
    """The times of one sequence."""

    def __init__(self, metrics: "Metrics") -> None:
        self._metrics = metrics
        self._began = time.perf_counter()
        self._last = 0.0
        self.done = False

    def tokens(self, count: int) -> None:
        if not count:
            return
        now = time.perf_counter()
        if self._last:
            self._metrics.between_tokens.observe((now - self._last) / count)
        else:
            self._metrics.first_token.observe(now - self._began)
        self._last = now
        self._metrics.generated.inc(count)

    def finished(self, reason: str) -> None:
        self.done = True
        self._metrics.whole.observe(time.perf_counter() - self._began)
        self._metrics.finished(reason)


class Metrics:
    """What the front measures; labelled with the model's name once it is known."""

    def __init__(self, deployment: Deployment, admission: Admission) -> None:
        self._deployment = deployment
        self._registry = CollectorRegistry()
        self._own = CollectorRegistry()
        self._own.register(_Gauges(deployment, admission, engine=False))
        self._registry.register(_Gauges(deployment, admission, engine=True))
        self._first = self._histogram("vllm:time_to_first_token_seconds", "Time to the first token", FIRST)
        self._between = self._histogram("vllm:inter_token_latency_seconds", "Time from token to token", BETWEEN)
        self._whole = self._histogram("vllm:e2e_request_latency_seconds", "Time of a whole request", WHOLE)
        self._prompt = self._counter("vllm:prompt_tokens", "Tokens of prompts")
        self._generated = self._counter("vllm:generation_tokens", "Tokens generated")
        self._success = self._counter("vllm:request_success", "Finished requests", "finished_reason")

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, ["model_name"], registry=self._registry, buckets=buckets)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, ["model_name", *labels], registry=self._registry)

    @property
    def _model(self) -> str:
        return self._deployment.loaded.name if self._deployment.loaded else ""

    @property
    def first_token(self) -> Histogram:
        return self._first.labels(self._model)

    @property
    def between_tokens(self) -> Histogram:
        return self._between.labels(self._model)

    @property
    def whole(self) -> Histogram:
        return self._whole.labels(self._model)

    @property
    def generated(self) -> Counter:
        return self._generated.labels(self._model)

    def finished(self, reason: str) -> None:
        self._success.labels(self._model, reason).inc()

    @contextmanager
    def request(self, prompt_tokens: int) -> Iterator[Clock]:
        """Measure a sequence; one that ends without a reason was aborted."""
        clock = Clock(self)
        self._prompt.labels(self._model).inc(prompt_tokens)
        try:
            yield clock
        finally:
            if not clock.done:
                self.finished("abort")

    def exposition(self) -> bytes:
        """The text for Prometheus."""
        served = self._deployment.loaded
        engine = served.engine.prometheus() if served else None
        return generate_latest(self._registry) if engine is None else engine + generate_latest(self._own)


class _Gauges(Collector):
    """Values that are read when somebody asks, never kept."""

    def __init__(self, deployment: Deployment, admission: Admission, *, engine: bool) -> None:
        self._deployment = deployment
        self._admission = admission
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        served = self._deployment.loaded
        name = served.name if served else ""
        rejected = CounterMetricFamily("vllm:admission_rejections", "Requests refused", labels=["model_name"])
        rejected.add_metric([name], self._admission.rejected)
        yield rejected
        ready = GaugeMetricFamily("kaitops_inference_ready", "Whether requests are served", labels=["model_name"])
        ready.add_metric([name], float(self._deployment.phase is Phase.READY))
        yield ready
        if served is None:
            return
        info = served.engine.capabilities
        about = InfoMetricFamily("kaitops_inference_model", "What is served, and how", labels=["model_name"])
        about.add_metric([name], {"engine": info.engine, "mode": info.mode, "root": served.root})
        yield about
        if self._engine:
            yield from self._engine_gauges(name)

    def _engine_gauges(self, name: str) -> Iterator[Metric]:
        served = self._deployment.loaded
        stats = served.engine.stats() if served else None
        if stats is None:
            return
        values = {
            "vllm:num_requests_running": ("Sequences in the batch", stats.running),
            "vllm:num_requests_waiting": ("Sequences that wait for it", stats.waiting),
            "vllm:kv_cache_usage_perc": ("Share of the cache in use, from 0 to 1", stats.cache_usage),
        }
        for metric, (text, value) in values.items():
            gauge = GaugeMetricFamily(metric, text, labels=["model_name"])
            gauge.add_metric([name], value)
            yield gauge
