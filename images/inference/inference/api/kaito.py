"""KAITO's contract before it spoke OpenAI's: POST /chat with `generate_kwargs`, answered by `{"Result": ...}`.

Whatever `generate` takes may be asked for. What the batch can honour runs there; the rest takes `generate` itself.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from inference.api.answers import Whole
from inference.api.fields import Body, check_text, check_tokens
from inference.api.work import Desk
from inference.deployment import Served
from inference.engine.protocol import SMALLEST_PENALTY, Sampling, Work
from inference.errors import RequestError, unsupported
from inference.generation import Ending, Order
from inference.settings import Pipeline

DEFAULTS: dict[str, Any] = {"max_length": 200, "do_sample": True, "top_k": 10}
NEUTRAL: dict[str, Any] = {
    "num_beams": 1,
    "num_beam_groups": 1,
    "num_return_sequences": 1,
    "early_stopping": False,
    "length_penalty": 1.0,
    "diversity_penalty": 0.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "encoder_repetition_penalty": 1.0,
    "guidance_scale": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "typical_p": 1.0,
    "remove_invalid_values": False,
    "renormalize_logits": False,
    "use_cache": True,
    "low_memory": False,
    "return_dict_in_generate": False,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_logits": False,
    "output_scores": False,
}
"""Arguments of `generate` whose usual value changes nothing. KAITO's documented example sends most of them."""
DIRECT = frozenset(
    [
        "max_length",
        "max_new_tokens",
        "min_length",
        "min_new_tokens",
        "do_sample",
        "temperature",
        "top_k",
        "top_p",
        "typical_p",
        "min_p",
        "repetition_penalty",
        "eos_token_id",
        "pad_token_id",
        "seed",
        "stop_strings",
    ]
)
_UNSET = object()


class ChatMessage(Body):
    role: str
    content: str


class ChatBody(Body):
    """POST /chat and /generate."""

    prompt: str | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None
    return_full_text: bool | None = None
    clean_up_tokenization_spaces: bool | None = None
    prefix: str | None = None
    handle_long_generation: str | None = None
    generate_kwargs: dict[str, Any] | None = None


def router(desk: Desk, pipeline: Pipeline) -> APIRouter:
    routes = APIRouter(tags=["KAITO"])

    @routes.get("/", summary="Says that the server runs")
    async def home() -> dict[str, str]:
        return {"message": "Server is running"}

    @routes.post("/generate", response_model=None, summary="Continue a prompt")
    @routes.post("/chat", response_model=None, summary="Continue a prompt, or answer messages")
    async def chat(request: Request, body: ChatBody) -> Response:
        served = desk.deployment.require()
        made = await desk.read(request, lambda: order(served, body, pipeline))
        shown = _shown_prompt(body, pipeline)

        async def work() -> dict[str, str]:
            answer = (await desk.answers(served, [made]))[0]
            return {"Result": shown + (_cleaned(answer.text) if body.clean_up_tokenization_spaces else answer.text)}

        return Whole(desk, 1, work)

    return routes


def order(served: Served, body: ChatBody, pipeline: Pipeline) -> Order:
    """The sequence that the body asks for."""
    for name in body.model_extra or {}:
        raise unsupported(name, "is no field of this endpoint; arguments of `generate` go into `generate_kwargs`")
    arguments = {key: value for key, value in (body.generate_kwargs or {}).items() if value is not None}
    prompt = _prompt(served, body, pipeline)
    check_text(arguments, "generate_kwargs")
    settings = DEFAULTS | arguments
    context = served.engine.capabilities.context
    wanted = _max_tokens(settings, len(prompt), context)
    if body.handle_long_generation == "hole" and len(prompt) + wanted > context:
        prompt = prompt[-max(1, context - wanted) :]
    elif body.handle_long_generation not in (None, "hole"):
        raise unsupported("handle_long_generation", "can only be `hole`")
    if not prompt:
        raise RequestError("the prompt is empty", "prompt")
    if len(prompt) + wanted > context:
        raise RequestError(
            f"the prompt has {len(prompt)} tokens and {wanted} more are asked for, but the context has {context}; "
            "ask for less with `max_length`, or cut the prompt with `handle_long_generation`",
            "generate_kwargs.max_length",
        )
    stops = settings.get("stop_strings", [])
    stops = [stops] if isinstance(stops, str) else stops
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise RequestError("`stop_strings` is a text or a list of texts", "generate_kwargs.stop_strings")
    return Order(
        Work(prompt, _sampling(served, settings, wanted, len(prompt))), Ending(tuple(stops), include_stop=True)
    )


def _prompt(served: Served, body: ChatBody, pipeline: Pipeline) -> list[int]:
    if pipeline == "conversational":
        if not body.messages:
            raise RequestError("Conversational parameter messages required", "messages")
        check_text([message.content for message in body.messages], "messages")
        return served.tokenizer.chat([message.model_dump() for message in body.messages])
    if not body.prompt:
        raise RequestError("Text generation parameter prompt required", "prompt")
    check_text([body.prompt, body.prefix or ""], "prompt")
    return served.tokenizer.encode((body.prefix or "") + body.prompt)


def _shown_prompt(body: ChatBody, pipeline: Pipeline) -> str:
    return body.prompt or "" if pipeline == "text-generation" and body.return_full_text is not False else ""


def _max_tokens(settings: Mapping[str, Any], prompt: int, context: int) -> int:
    """`max_new_tokens` wins, as in `generate`; `max_length` counts the prompt."""
    if "max_new_tokens" in settings:
        return _number(settings, "max_new_tokens", 1, context)
    length = _number(settings, "max_length", 1, 2**31)
    if length <= prompt:
        raise RequestError(
            f"the prompt has {prompt} tokens, but `max_length` is {length} and counts the prompt; use `max_new_tokens`",
            "generate_kwargs.max_length",
        )
    return length - prompt


def _sampling(served: Served, settings: Mapping[str, Any], wanted: int, prompt: int) -> Sampling:
    """The arguments that the batch knows, and all others for `generate`."""
    sampled = _flag(settings, "do_sample")
    other = {key: value for key, value in settings.items() if key not in DIRECT and NEUTRAL.get(key, _UNSET) != value}
    _refuse_unsupported(served, settings, other)
    _padding(served, settings)
    fewest = max(
        _number(settings, "min_new_tokens", 0, 2**31, 0), _number(settings, "min_length", 0, 2**31, 0) - prompt
    )
    return Sampling(
        max_tokens=wanted,
        min_tokens=min(fewest, wanted),
        temperature=_real(settings, "temperature", 1.0, 0.0, 100.0) if sampled else 0.0,
        top_k=_number(settings, "top_k", 0, 2**31, 0) if sampled else 0,
        top_p=_real(settings, "top_p", 1.0, 0.0, 1.0) if sampled else 1.0,
        typical_p=_real(settings, "typical_p", 1.0, 0.0, 1.0) if sampled else 1.0,
        min_p=_real(settings, "min_p", 0.0, 0.0, 1.0) if sampled else 0.0,
        repetition_penalty=_real(settings, "repetition_penalty", 1.0, SMALLEST_PENALTY, 100.0),
        seed=_number(settings, "seed", -(2**63), 2**63 - 1) if "seed" in settings else None,
        stop_tokens=_ends(served, settings),
        other=other,
    )


def _refuse_unsupported(served: Served, settings: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Name the first argument that this engine has no way to honour."""
    about = served.engine.capabilities
    refused = list(other) if "other" in about.unsupported else []
    refused += [key for key in settings if key in about.unsupported and NEUTRAL.get(key, _UNSET) != settings[key]]
    if refused:
        raise unsupported(f"generate_kwargs.{refused[0]}", f"is not supported by the engine `{about.engine}`")


def _ends(served: Served, settings: Mapping[str, Any]) -> frozenset[int]:
    given = settings.get("eos_token_id")
    if given is None:
        return served.tokenizer.end_tokens
    ends = given if isinstance(given, list) else [given]
    if not all(isinstance(token, int) and not isinstance(token, bool) for token in ends):
        raise RequestError("`eos_token_id` is a token or a list of tokens", "generate_kwargs.eos_token_id")
    check_tokens(ends, served.tokenizer.vocabulary, "generate_kwargs.eos_token_id")
    return frozenset(ends)


def _padding(served: Served, settings: Mapping[str, Any]) -> None:
    """A prompt by itself has nothing to be padded with, but what is no token is a mistake."""
    given = settings.get("pad_token_id", 0)
    if not isinstance(given, int) or isinstance(given, bool):
        raise RequestError("`pad_token_id` is a token", "generate_kwargs.pad_token_id")
    check_tokens([given], served.tokenizer.vocabulary, "generate_kwargs.pad_token_id")


def _flag(settings: Mapping[str, Any], name: str) -> bool:
    value = settings[name]
    if not isinstance(value, bool):
        raise RequestError(f"`{name}` is true or false", f"generate_kwargs.{name}")
    return value


def _number(settings: Mapping[str, Any], name: str, lowest: int, highest: int, otherwise: int | None = None) -> int:
    value = settings.get(name, otherwise)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise RequestError(f"`{name}` is a whole number from {lowest} to {highest}", f"generate_kwargs.{name}")
    return value


def _real(settings: Mapping[str, Any], name: str, otherwise: float, lowest: float, highest: float) -> float:
    value = settings.get(name, otherwise)
    if not isinstance(value, int | float) or isinstance(value, bool) or not lowest <= value <= highest:
        raise RequestError(f"`{name}` is a number from {lowest:g} to {highest:g}", f"generate_kwargs.{name}")
    return float(value)


def _cleaned(text: str) -> str:
    """The spaces before punctuation that old tokenizers leave, taken out."""
    for before in (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"):
        text = text.replace(before, before.strip())
    return text
