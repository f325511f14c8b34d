"""POST /v1/completions: prompts of text or tokens, answered plainly."""

import itertools
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from inference.api.answers import Events, Whole, event
from inference.api.fields import check_length, check_text, check_tokens, refuse_unknown
from inference.api.logprobs import CompletionReport
from inference.api.openai_wire import CompletionRequest
from inference.api.sampling import ending, sampling, schema_of
from inference.api.usage import Tally, counted, usage
from inference.api.work import Desk
from inference.deployment import Served
from inference.engine.protocol import Work
from inference.errors import RequestError, unsupported
from inference.generation import Order, Piece

DEFAULT_TOKENS = 16


def router(desk: Desk) -> APIRouter:
    routes = APIRouter(tags=["OpenAI"])

    @routes.post("/v1/completions", response_model=None, summary="Continue prompts")
    async def completions(request: Request, body: CompletionRequest) -> Response:
        served = desk.deployment.require()
        made = await desk.read(request, lambda: orders(served, body, desk))
        answer = Completion(served, body)
        if body.stream:
            return Events(desk, len(made), answer.events(desk, made))
        return Whole(desk, len(made), lambda: answer.whole(desk, made))

    return routes


def orders(served: Served, body: CompletionRequest, desk: Desk) -> list[Order]:
    """A sequence for each choice of each prompt; everything that is wrong is found here."""
    refuse_unknown(body)
    _refuse(body)
    if body.echo and body.logprobs is not None and "prompt_logprobs" in served.engine.capabilities.unsupported:
        raise unsupported("echo", f"with `logprobs` is not supported by `{served.engine.capabilities.engine}` here")
    adapter = served.adapter(body.model)
    prompts = _prompts(served, body.prompt, special=body.add_special_tokens is not False)
    count = body.n or 1
    if len(prompts) > desk.limits.prompts:
        raise RequestError(f"{len(prompts)} prompts in one request, at most {desk.limits.prompts} are taken", "prompt")
    if count > desk.limits.choices:
        raise RequestError(f"{count} choices are asked for, at most {desk.limits.choices} are made", "n")
    wanted = DEFAULT_TOKENS if body.max_tokens is None else body.max_tokens
    schema = schema_of(served, body.response_format)
    made = []
    for index, (prompt, _) in enumerate(itertools.product(prompts, range(count))):
        check_length(len(prompt), max(wanted, 1), served.engine.capabilities.context, "max_tokens")
        settings = sampling(served, body, max(wanted, 1), schema, body.logprobs)
        settings = _varied(settings, body, index % count)
        made.append(Order(Work(prompt, settings, adapter), ending(body), index, index // count))
    return made


def _varied(settings: Any, body: CompletionRequest, choice: int) -> Any:
    """Each choice has a seed of its own, and an echo with log probabilities reports the prompt's too."""
    import dataclasses

    seed = None if body.seed is None else body.seed + choice
    reported = body.logprobs if body.echo and body.logprobs is not None else None
    return dataclasses.replace(settings, seed=seed, prompt_logprobs=reported)


def _refuse(body: CompletionRequest) -> None:
    if body.suffix:
        raise unsupported("suffix", "is not supported: these models only continue a text")
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise unsupported("best_of", "is not supported beyond `n`")
    if body.stream_options and not body.stream:
        raise RequestError("`stream_options` needs `stream`", "stream_options")
    if body.stream and body.echo and body.logprobs is not None:
        raise unsupported("echo", "with `logprobs` is not supported in a stream")


def _prompts(
    served: Served, prompt: str | list[str] | list[int] | list[list[int]], *, special: bool
) -> list[list[int]]:
    tokenizer = served.tokenizer
    if isinstance(prompt, str):
        check_text([prompt], "prompt")
        return [tokenizer.encode(prompt, special=special)]
    if not prompt:
        raise RequestError("`prompt` is an empty list", "prompt")
    if isinstance(prompt[0], int):
        prompt = [prompt]
    found = []
    for item in prompt:
        if isinstance(item, str):
            check_text([item], "prompt")
            found.append(tokenizer.encode(item, special=special))
        elif isinstance(item, list):
            check_tokens(item, tokenizer.vocabulary, "prompt")
            found.append(list(item))
    return found


class Completion:
    """The answer to one request, whole or in pieces."""

    def __init__(self, served: Served, body: CompletionRequest) -> None:
        self._served = served
        self._body = body
        self._frame = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": body.model or served.name,
        }
        self._silent = body.max_tokens == 0
        self._reports: dict[int, CompletionReport] = {}

    async def whole(self, desk: Desk, made: Sequence[Order]) -> dict[str, Any]:
        answers = await desk.answers(self._served, made)
        pairs = list(zip(made, answers, strict=True))
        choices = [self._choice(order, answer, first=True) for order, answer in pairs]
        return self._frame | {"choices": choices, "usage": usage(made, 0 if self._silent else counted(answers))}

    async def events(self, desk: Desk, made: Sequence[Order]) -> AsyncGenerator[bytes, None]:
        tally = Tally(self._body.stream_options, made)
        begun: set[int] = set()
        async for order, piece in desk.stream(self._served, made):
            if not self._silent:
                tally.count(piece)
            choice = self._choice(order, piece, first=order.index not in begun)
            begun.add(order.index)
            yield event(self._frame | {"choices": [choice]} | tally.beside())
        for last in tally.last():
            yield event(self._frame | last)
        yield event("[DONE]")

    def _choice(self, order: Order, piece: Piece, *, first: bool) -> dict[str, Any]:
        echoed = self._served.tokenizer.decode(order.work.prompt) if self._body.echo and first else ""
        text = echoed if self._silent else echoed + piece.text
        choice: dict[str, Any] = {
            "index": order.index,
            "text": text,
            "logprobs": self._logprobs(order, piece),
            "finish_reason": "length" if self._silent and piece.finish else piece.finish,
        }
        return choice | ({"stop_reason": piece.stop} if piece.finish else {})

    def _logprobs(self, order: Order, piece: Piece) -> dict[str, Any] | None:
        if self._body.logprobs is None:
            return None
        if order.index not in self._reports:
            self._reports[order.index] = CompletionReport(self._served, order)
        return self._reports[order.index].of(piece, silent=self._silent)
