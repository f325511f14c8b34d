"""vLLM's engine behind the engine protocol: it batches and samples, the front does everything around it."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from vllm import SamplingParams
from vllm.exceptions import VLLMClientError
from vllm.inputs.engine import tokens_input
from vllm.lora.request import LoRARequest
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.v1.engine.exceptions import EngineDeadError as VllmDeadError
from vllm.v1.metrics.prometheus import get_prometheus_registry

from inference.engine.protocol import Capabilities, Chunk, EngineDeadError, Sampling, Stats, Token, Work
from inference.errors import CANNOT_HEAL, RequestError, StartError

UNSUPPORTED = frozenset({"typical_p", "other"})
BESIDE_ADAPTERS = frozenset({"prompt_logprobs"})
"""With adapters vLLM calculates a prompt's log probabilities by the rows of its last tokens: that ends the engine."""
OURS = ("vllm:admission_rejections",)
"""Families that the front counts itself, since it is the front that refuses."""
CLOSE_SECONDS = 5.0


class VllmEngine:
    """An `AsyncLLM` that has loaded its model."""

    def __init__(self, llm: Any, adapters: Mapping[str, LoRARequest]) -> None:
        self._llm = llm
        self._adapters = adapters
        self._loaded: set[str] = set()
        self._closed = False
        refused = UNSUPPORTED | (BESIDE_ADAPTERS if adapters else frozenset())
        self.capabilities = Capabilities("vllm", "continuous", llm.model_config.max_model_len, refused, tuple(adapters))

    @property
    def failure(self) -> str | None:
        if self._closed:
            return "the engine was closed"
        return "vLLM's engine process has ended" if self._llm.engine_core.resources.engine_dead else None

    async def generate(self, work: Work) -> AsyncGenerator[Chunk, None]:
        adapter = await self._adapter(work.adapter) if work.adapter else None
        try:
            wanted, prompt = parameters(work.sampling), tokens_input(list(work.prompt))
            outputs = self._llm.generate(prompt, wanted, uuid.uuid4().hex, lora_request=adapter)
            async with aclosing(outputs) as stream:
                async for output in stream:
                    if chunk := chunk_of(output, work):
                        yield chunk
        except VllmDeadError as error:
            raise EngineDeadError(self.failure or str(error)) from error
        except (ValueError, VLLMClientError) as error:
            raise RequestError(f"vLLM refuses this request: {_first_line(error)}", _field(error)) from error

    async def _adapter(self, name: str) -> LoRARequest:
        """Before its first use an adapter is loaded by itself: one that fails in the batch would end the engine."""
        adapter = self._adapters[name]
        if name not in self._loaded:
            try:
                await self._llm.add_lora(adapter)
            except VllmDeadError as error:
                raise EngineDeadError(self.failure or str(error)) from error
            except Exception as error:
                reason = f"the adapter `{name}` does not fit the model: {_first_line(error)}"
                raise StartError(reason, exit_code=CANNOT_HEAL) from error
            self._loaded.add(name)
        return adapter

    def stats(self) -> Stats:
        return Stats(running=self._llm.get_num_unfinished_requests())

    def prometheus(self) -> bytes | None:
        return generate_latest(_Theirs())

    async def close(self) -> None:
        self._closed = True
        await asyncio.to_thread(self._llm.shutdown, CLOSE_SECONDS)


class _Theirs(Collector):
    """vLLM's families, without the interpreter's and those that are ours."""

    def collect(self) -> Iterator[Metric]:
        for family in get_prometheus_registry().collect():
            if family.name.startswith("vllm:") and family.name not in OURS:
                yield family


def parameters(wanted: Sampling) -> SamplingParams:
    """Our settings in vLLM's words; the tokens that end a text are always named, so that both engines end alike."""
    return SamplingParams(
        max_tokens=wanted.max_tokens,
        min_tokens=wanted.min_tokens,
        temperature=wanted.temperature,
        top_k=wanted.top_k,
        top_p=max(wanted.top_p, 1e-9),
        min_p=wanted.min_p,
        repetition_penalty=wanted.repetition_penalty,
        presence_penalty=wanted.presence_penalty,
        frequency_penalty=wanted.frequency_penalty,
        logit_bias=dict(wanted.logit_bias) or None,
        # Its -1 means that there is none.
        seed=None if wanted.seed is None else wanted.seed % 2**63,
        stop_token_ids=sorted(wanted.stop_tokens),
        ignore_eos=True,
        logprobs=wanted.logprobs,
        prompt_logprobs=wanted.prompt_logprobs,
        structured_outputs=StructuredOutputsParams(json=wanted.schema) if wanted.schema else None,
        output_kind=RequestOutputKind.DELTA,
        detokenize=False,
        skip_clone=True,
    )


def chunk_of(output: RequestOutput, work: Work) -> Chunk | None:
    """What one output adds; None where it adds nothing."""
    made = output.outputs[0]
    reported = made.logprobs or [None] * len(made.token_ids)
    tokens = tuple(
        _token(token, entry, work.sampling.logprobs) for token, entry in zip(made.token_ids, reported, strict=True)
    )
    prompt: tuple[Token, ...] = ()
    if output.prompt_logprobs and work.sampling.prompt_logprobs is not None:
        pairs = zip(work.prompt, output.prompt_logprobs, strict=True)
        prompt = tuple(_token(token, entry, work.sampling.prompt_logprobs) for token, entry in pairs)
    if made.finish_reason not in (None, "stop", "length"):
        raise EngineDeadError(f"vLLM ended a sequence by `{made.finish_reason}`")
    return Chunk(tokens, made.finish_reason, prompt) if tokens or prompt or made.finish_reason else None


def _token(token: int, entry: Mapping[int, Any] | None, count: int | None) -> Token:
    """A token with its log probability; vLLM adds the chosen one to the likeliest, which are ranked from 1."""
    if entry is None or count is None:
        return Token(token)
    ranked = sorted((found.rank, other, found.logprob) for other, found in entry.items() if found.rank <= count)
    return Token(token, entry[token].logprob, tuple((other, value) for _, other, value in ranked))


def _field(error: Exception) -> str | None:
    """The field at fault, where vLLM names it; forms are asked for by another name here."""
    name = getattr(error, "parameter", None)
    return "response_format" if name == "structured_outputs" else name


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
