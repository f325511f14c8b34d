"""Puts the engine together, and proves the way of batching against `generate` before anybody is served.

A way of batching that an architecture does not support is wrong without a word (Bloom under transformers' continuous
batching is), so none is believed: each candidate must repeat what `generate` computes; the first that does is used.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from inference.engine.adapter_folders import find
from inference.engine.protocol import Capabilities
from inference.engine.transformers import adapters as lora
from inference.engine.transformers import attention
from inference.engine.transformers.decoder import Decoder, looks_right
from inference.engine.transformers.engine import TransformersEngine
from inference.engine.transformers.forward import Dense, MaskKind, Rows, Separate, adapter_arguments
from inference.engine.transformers.grammar import Grammars
from inference.engine.transformers.load import Loaded, load
from inference.engine.transformers.packed import can_pack, pack, unpack
from inference.errors import CANNOT_HEAL, StartError
from inference.settings import ModelSettings
from inference.threads import cache_budget, memory_limit

log = logging.getLogger(__name__)

STEPS = 8
LONG, SHORT = 11, 5
COARSEST = 0.25
HEAD_SHARE = 8
"""Which part of the container's memory a second copy of a tied head may take."""
TOLERANCE = {torch.float32: 1e-2, torch.float16: 5e-2, torch.bfloat16: COARSEST}
"""How far logits may differ, in standard deviations of the logits: rounding is far below, a wrong mask far above."""


def start(
    settings: ModelSettings, running: int, environ: Mapping[str, str] = os.environ
) -> tuple[TransformersEngine, Loaded]:
    """Load, choose the mode, and start the engine's threads."""
    loaded = load(settings)
    found = find(settings.adapters_dir, environ)
    loaded.model, adapters = lora.load(loaded.model, found, settings.combination_type)
    with torch.inference_mode():
        rows, mode = choose(loaded.model, settings, adapters)
    log.info("mode `%s` for `%s`", mode, loaded.model.config.model_type)
    context = fitting(loaded.context, rows.longest, settings.max_model_len)
    capabilities = Capabilities("transformers", mode, context, adapters=adapters.names)
    grammars = Grammars(loaded.tokenizer.inner, loaded.tokenizer.end_tokens)
    return TransformersEngine(
        loaded.model, rows, capabilities, grammars=grammars, adapters=adapters, running=running
    ), loaded


def fitting(context: int, longest: int | None, wanted: int | None) -> int:
    """The context that the budget for keys and values can hold: one long request must not end the process."""
    if longest is None or context <= longest:
        return context
    if wanted:
        raise StartError(
            f"`--max_model_len {wanted}` needs more bytes for keys and values than there are: {longest} tokens fit",
            "give more with `--cache_bytes`, if the container has as much",
            CANNOT_HEAL,
        )
    log.warning(
        "the context is %s tokens instead of the model's %s, as many as keys and values have room for; "
        "`--cache_bytes` gives more",
        longest,
        context,
    )
    return longest


def choose(model: Any, settings: ModelSettings, adapters: lora.Adapters) -> tuple[Rows, str]:
    """A way of serving that agrees with `generate`: a batch, where one does."""
    prompts = _prompts(model)
    reference = _reference(model, prompts, adapters)
    if can_pack(model):
        _pack(model, prompts[0], reference[0][1], adapters)
    batch = None if settings.mode == "serial" else _batch(model, settings, prompts, reference, adapters)
    if batch:
        return batch, "continuous"
    return _serial(model, prompts[0], reference[0], adapters), "serial"


def _reference(model: Any, prompts: list[list[int]], adapters: lora.Adapters) -> list[tuple[list[int], Tensor]]:
    """What `generate` answers to each; a configuration may describe a model that can be loaded and not run."""
    try:
        return [_generated(model, prompt, adapters) for prompt in prompts]
    except Exception as error:
        log.debug("`generate` failed", exc_info=True)
        raise StartError(
            f"a `{model.config.model_type}` model of this configuration cannot generate: {_reason(error)}",
            "correct its `config.json`",
            CANNOT_HEAL,
        ) from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _pack(model: Any, prompt: list[int], wanted: Tensor, adapters: lora.Adapters) -> None:
    """Pack the layers, unless the model then says something else."""
    pack(model, memory_limit() // HEAD_SHARE)
    ids = torch.tensor([prompt])
    try:
        answer = model(input_ids=ids, use_cache=False, **adapter_arguments([adapters.for_request(None)]))
        reason = _difference([(answer.logits[0, -1:].float(), wanted)], model.dtype)
    except Exception as error:  # noqa: BLE001 -- a model's own program may do anything with its layers
        reason = _reason(error)
    if reason:
        log.info("packed layers are not used: %s", reason)
        unpack(model)


def _batch(
    model: Any,
    settings: ModelSettings,
    prompts: list[list[int]],
    reference: list[tuple[list[int], Tensor]],
    adapters: lora.Adapters,
) -> Dense | None:
    """The first way of batching that agrees with `generate`; None where the model has none, and is left as it was."""
    attention.register()
    own = model.config._attn_implementation  # noqa: SLF001 -- the documented attribute
    if own == "sdpa":
        model.set_attn_implementation(attention.NAME)
    for dense, way in _ways(model, adapters):
        reason = (
            _disagreement(dense, prompts, reference, adapters) if dense.suitable else "its layers need another mask"
        )
        if not reason:
            dense.limit(settings.cache_bytes or default_budget(model))
            log.info("batching with %s", way)
            return dense
        log.info("batching with %s is not used: %s", way, reason)
    if own == "sdpa":
        model.set_attn_implementation(own)
    log.warning("requests are served one at a time: no way of batching agrees with `generate` for this model")
    return None


def _serial(model: Any, prompt: list[int], reference: tuple[list[int], Tensor], adapters: lora.Adapters) -> Separate:
    """One sequence after the other, its prompt in parts where that changes nothing: a state may not survive it."""
    reason = ""
    for in_parts in (True, False):
        rows = Separate(model, in_parts=in_parts)
        reason = _misread(rows, prompt, reference, adapters)
        if not reason:
            return rows
    kind = model.config.model_type
    raise StartError(
        f"a `{kind}` model cannot be served: its answers differ from those of `generate` ({reason})",
        "try the vLLM runtime",
        CANNOT_HEAL,
    )


def _misread(rows: Separate, prompt: list[int], reference: tuple[list[int], Tensor], adapters: lora.Adapters) -> str:
    """Why a sequence by itself differs from `generate`; empty where it agrees."""
    names = [adapters.for_request(None)]
    tokens, wanted = reference
    try:
        if rows.in_parts:
            rows.read(0, [prompt[:SHORT]], 0, names)
        start = SHORT if rows.in_parts else 0
        seen = [rows.read(0, [prompt[start:]], start, names)]
        seen += [rows.advance([tokens[step]], [LONG + step], names) for step in range(STEPS - 1)]
    except Exception as error:  # noqa: BLE001 -- any refusal of the model rules this way out
        return _reason(error)
    return _difference([(torch.cat(seen), wanted)], rows.dtype)


def _ways(model: Any, adapters: lora.Adapters) -> Iterator[tuple[Dense, str]]:
    """Ways of batching, the fastest first."""
    if not adapters and looks_right(model):
        yield Dense(model, "four", Decoder(model)), "our own decoder"
    kinds: tuple[MaskKind, ...] = ("four", "two")
    for kind in kinds:
        yield Dense(model, kind), f"a mask of {kind} dimensions"


def default_budget(model: Any) -> int:
    """Bytes for keys and values."""
    if model.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(model.device)
        return int(free * 0.8)
    return cache_budget()


def _prompts(model: Any) -> list[list[int]]:
    """Two prompts of different length, of tokens that every vocabulary has."""
    size = min(model.config.get_text_config(decoder=True).vocab_size, 500)
    return [[(7 * place + 3) % size for place in range(LONG)], [(11 * place + 5) % size for place in range(SHORT)]]


def _generated(model: Any, prompt: list[int], adapters: lora.Adapters) -> tuple[list[int], Tensor]:
    """What `generate` answers, greedily, with the logits of each step."""
    ids = torch.tensor([prompt], device=model.device)
    rest = {"adapter_names": [adapters.for_request(None)]} if adapters else {}
    answer = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=STEPS,
        min_new_tokens=STEPS,
        do_sample=False,
        num_beams=1,
        temperature=None,
        top_p=None,
        top_k=None,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_logits=True,
        **rest,
    )
    return answer.sequences[0, len(prompt) :].tolist(), torch.cat(answer.logits).float()


def _disagreement(
    rows: Dense, prompts: list[list[int]], reference: list[tuple[list[int], Tensor]], adapters: lora.Adapters
) -> str:
    """Why the rows differ from `generate`; empty where they agree.

    Both prompts are read at once, then the first in two parts. The second joins when the first is under way, and the
    first then leaves: what the batch does all day. It joins a row that somebody else has left full: a mask that reaches
    too far shows only where there is something.
    """
    names = [adapters.for_request(None)] * 2
    (first, wanted_first), (second, wanted_second) = reference
    try:
        rows.reserve([2 * LONG + STEPS] * 2)
        together = rows.read(0, prompts, 0, names)
        rows.read(0, [prompts[0][:SHORT]], 0, names[:1])
        seen_first = [rows.read(0, [prompts[0][SHORT:]], SHORT, names[:1])]
        seen_first.append(rows.advance(first[:1], [LONG], names[:1]))
        rows.read(1, [[*reversed(prompts[0]), *prompts[0]]], 0, names[:1])
        seen_second = [rows.read(1, [prompts[1]], 0, names[:1])]
        for step in range(1, STEPS // 2):
            both = rows.advance([first[step], second[step - 1]], [LONG + step, SHORT + step - 1], names)
            seen_first.append(both[:1])
            seen_second.append(both[1:])
        rows.drop(0, 1, SHORT + STEPS // 2 - 1)
        rest = range(STEPS // 2 - 1, STEPS - 1)
        seen_second += [rows.advance([second[step]], [SHORT + step], names[:1]) for step in rest]
    except Exception as error:  # noqa: BLE001 -- any refusal of the model rules this way out
        return _reason(error)
    seen = [(torch.cat(seen_first), wanted_first), (torch.cat(seen_second), wanted_second)]
    return _difference([*seen, (together[:1], wanted_first), (together[1:], wanted_second)], rows.dtype)


def _difference(pairs: list[tuple[Tensor, Tensor]], dtype: torch.dtype) -> str:
    worst = max(float((seen - wanted[: len(seen)]).abs().max() / wanted.std()) for seen, wanted in pairs)
    return "" if worst <= TOLERANCE.get(dtype, COARSEST) else f"logits differ by {worst:.2g} standard deviations"
