"""The lane for what only `generate` can do: beams, bad words, any other of its arguments.

One such request runs at a time, beside the batch. While beams compete nothing is certain, so nothing is sent.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from inference.engine.protocol import Chunk, Finish, Sampling, Token, Work
from inference.engine.transformers.forward import adapter_arguments
from inference.errors import RequestError

Emit = Callable[[Chunk], None]
MOST_BEAMS = 16
HONOURED = frozenset(
    [
        "bad_words_ids",
        "begin_suppress_tokens",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "encoder_repetition_penalty",
        "epsilon_cutoff",
        "eta_cutoff",
        "exponential_decay_length_penalty",
        "forced_eos_token_id",
        "guidance_scale",
        "length_penalty",
        "no_repeat_ngram_size",
        "num_beams",
        "remove_invalid_values",
        "renormalize_logits",
        "sequence_bias",
        "suppress_tokens",
        "top_h",
        "use_cache",
        "watermarking_config",
    ]
)
"""What `generate` does with the answer of a decoder-only model.

All others of its arguments change the shape of what it returns, how it uses memory and compilers, or how it calculates
the same; belong to encoders and to assistants; or have moved into code that it would fetch from the Hub.
"""


class Cancelled(StoppingCriteria):
    """Ends `generate` after the next token once the client has gone."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        del scores, kwargs
        return torch.full((input_ids.shape[0],), self._cancelled.is_set(), device=input_ids.device)


class Outlet:
    """What `generate` calls with every token that it is sure of."""

    def __init__(self, emit: Emit, work: Work) -> None:
        self._emit = emit
        self._prompt_seen = False
        self._made = 0
        self._finish: Finish | None = None
        self._work = work

    def put(self, value: torch.Tensor) -> None:
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        for token in value.flatten().tolist():
            self._made += 1
            self._finish = _finish(token, self._made, self._work.sampling)
            self._emit(Chunk((Token(token),), self._finish))

    def end(self) -> None:
        """Say that it is over where no token has said so: other arguments may end an answer as well."""
        if self._finish is None:
            self._emit(Chunk((), "stop"))


def _finish(token: int, made: int, sampling: Sampling) -> Finish | None:
    if token in sampling.stop_tokens and made > sampling.min_tokens:
        return "stop"
    return "length" if made >= sampling.max_tokens else None


def unadorn(model: Any) -> None:
    """Take the makers' recommendations off the model.

    `generate` would fill in whatever a request leaves open, while the batch knows only what the front has decided.
    """
    model.generation_config = GenerationConfig(pad_token_id=model.generation_config.pad_token_id)


def run(model: Any, work: Work, adapter: str | None, cancelled: threading.Event, emit: Emit) -> None:
    """Generate one answer; whatever goes wrong over a client's own arguments is the client's mistake, and only that."""
    try:
        _run(model, work, adapter, cancelled, emit)
    except (RequestError, torch.AcceleratorError):
        raise  # of a lost device every later request would suffer
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RequestError(f"`generate` refuses these arguments: {reason}", "generate_kwargs") from error


def _run(model: Any, work: Work, adapter: str | None, cancelled: threading.Event, emit: Emit) -> None:
    config = generation_config(work.sampling, model.generation_config.pad_token_id)
    beams = (config.num_beams or 1) > 1
    ids = torch.tensor([list(work.prompt)], device=model.device)
    # The batch draws from generators of its own, so that this one is only ours.
    if work.sampling.seed is None:
        torch.seed()
    else:
        torch.manual_seed(work.sampling.seed % 2**63)
    with torch.inference_mode():
        answer = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([Cancelled(cancelled)]),
            streamer=None if beams else Outlet(emit, work),
            **adapter_arguments([adapter] * (config.num_beams or 1)),
        )
    if beams:
        _emit_whole(answer[0, ids.shape[1] :].tolist(), work.sampling, emit)


def _emit_whole(tokens: list[int], sampling: Sampling, emit: Emit) -> None:
    """The best beam at once, without what pads it behind its end."""
    ends = [place for place, token in enumerate(tokens) if token in sampling.stop_tokens]
    tokens = tokens[: ends[0] + 1] if ends else tokens
    emit(Chunk(tuple(Token(token) for token in tokens), "stop" if ends else "length"))


def generation_config(sampling: Sampling, padding: int | None) -> GenerationConfig:
    """Our settings in `generate`'s words, and the client's further ones over them."""
    ends = sorted(sampling.stop_tokens)
    settings: dict[str, Any] = {
        "max_new_tokens": sampling.max_tokens,
        "min_new_tokens": sampling.min_tokens or None,
        "do_sample": not sampling.greedy,
        "repetition_penalty": sampling.repetition_penalty,
        "eos_token_id": ends or None,
        "pad_token_id": padding if padding is not None else (ends[0] if ends else 0),
    }
    if not sampling.greedy:
        settings |= {
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p or None,
            "typical_p": sampling.typical_p,
        }
    return GenerationConfig(**settings, **_known(sampling.other))


def _known(arguments: Mapping[str, object]) -> dict[str, object]:
    """Refuse by name what is no argument of `generate`, or what would do nothing for this one answer."""
    for name, value in arguments.items():
        if name not in HONOURED:
            raise RequestError(f"`{name}` is no argument of `generate` that is taken here", f"generate_kwargs.{name}")
        if name == "num_beams" and not (isinstance(value, int) and 1 <= value <= MOST_BEAMS):
            raise RequestError(f"`{name}` is a whole number from 1 to {MOST_BEAMS}", f"generate_kwargs.{name}")
    return dict(arguments)
