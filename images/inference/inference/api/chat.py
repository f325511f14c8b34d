"""POST /v1/chat/completions: messages in, a message out, streamed or whole."""

import dataclasses
import json
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from inference.api import tools
from inference.api.answers import Events, Whole, event
from inference.api.fields import check_length, check_text, refuse_unknown
from inference.api.logprobs import ChatReport
from inference.api.openai_wire import ChatRequest, Message, Tool
from inference.api.sampling import ending, sampling, schema_of
from inference.api.usage import Tally, counted, usage
from inference.api.work import Desk
from inference.deployment import Served
from inference.engine.protocol import Work
from inference.errors import RequestError, unsupported
from inference.generation import Order, Piece


def router(desk: Desk) -> APIRouter:
    routes = APIRouter(tags=["OpenAI"])

    @routes.post("/v1/chat/completions", response_model=None, summary="Answer a conversation")
    async def chat(request: Request, body: ChatRequest) -> Response:
        served = desk.deployment.require()
        offered = tools.offered(served, body)
        made = await desk.read(request, lambda: orders(served, body, offered, desk))
        answer = Chat(served, body, offered)
        if body.stream:
            return Events(desk, len(made), answer.events(desk, made))
        return Whole(desk, len(made), lambda: answer.whole(desk, made))

    return routes


def orders(served: Served, body: ChatRequest, offered: Sequence[Tool], desk: Desk) -> list[Order]:
    """A sequence for each choice."""
    _refuse(body)
    count = body.n or 1
    if count > desk.limits.choices:
        raise RequestError(f"{count} choices are asked for, at most {desk.limits.choices} are made", "n")
    prompt = served.tokenizer.chat(
        [message(item) for item in body.messages],
        tools=[tool.model_dump(exclude_none=True) for tool in offered],
        continue_last=bool(body.continue_final_message),
        variables=body.chat_template_kwargs or {},
    )
    context = served.engine.capabilities.context
    limit = body.max_completion_tokens or body.max_tokens
    check_length(
        len(prompt), limit or 1, context, "max_completion_tokens" if body.max_completion_tokens else "max_tokens"
    )
    schema = tools.forced_schema(offered, body.tool_choice) or schema_of(served, body.response_format)
    reported = (body.top_logprobs or 0) if body.logprobs else None
    settings = sampling(served, body, limit or context - len(prompt), schema, reported)
    seeds = [None if body.seed is None else body.seed + choice for choice in range(count)]
    adapter, over = served.adapter(body.model), ending(body)
    works = [Work(prompt, dataclasses.replace(settings, seed=seed), adapter) for seed in seeds]
    return [Order(work, over, index) for index, work in enumerate(works)]


def _refuse(body: ChatRequest) -> None:
    for item in body.messages:
        _text(item)
    refuse_unknown(body)
    if body.top_logprobs and not body.logprobs:
        raise RequestError("`top_logprobs` needs `logprobs`", "top_logprobs")
    if body.stream_options and not body.stream:
        raise RequestError("`stream_options` needs `stream`", "stream_options")
    if body.max_tokens and body.max_completion_tokens and body.max_tokens != body.max_completion_tokens:
        raise RequestError("`max_tokens` and `max_completion_tokens` differ; the first is deprecated", "max_tokens")
    if body.add_generation_prompt is False and not body.continue_final_message:
        raise unsupported("add_generation_prompt", "can only be false together with `continue_final_message`")


def message(item: Message) -> dict[str, Any]:
    """A message as chat templates expect it: text in one piece, arguments of calls as objects."""
    plain: dict[str, Any] = {"role": "system" if item.role == "developer" else item.role, "content": _text(item)}
    check_text([plain["content"] or ""], "messages")
    if item.name is not None:
        plain["name"] = item.name
    if item.tool_call_id is not None:
        plain["tool_call_id"] = item.tool_call_id
    if item.tool_calls:
        plain["tool_calls"] = [
            {"type": "function", "id": call.id, "function": {"name": call.function.name, "arguments": _arguments(call)}}
            for call in item.tool_calls
        ]
    return plain


def _text(item: Message) -> str:
    if not isinstance(item.content, list):
        return item.content or ""
    for part in item.content:
        if part.type not in ("text", "refusal") or (part.type == "text" and part.text is None):
            raise unsupported("messages", f"holds a part of type `{part.type}`, but only text is understood")
    return "".join(part.text or "" for part in item.content)


def _arguments(call: Any) -> Any:
    try:
        return json.loads(call.function.arguments or "{}")
    except (ValueError, RecursionError) as error:
        raise RequestError("the `arguments` of a tool call are no JSON", "messages") from error


class Chat:
    """The answer to one request, whole or in pieces."""

    def __init__(self, served: Served, body: ChatRequest, offered: Sequence[Tool]) -> None:
        self._served = served
        self._body = body
        self._tools = offered
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._report = ChatReport(served)
        self._held: dict[int, list[Piece]] = {}
        self._words: set[int] = set()

    def _frame(self, kind: str) -> dict[str, Any]:
        model = self._body.model or self._served.name
        return {"id": self._id, "object": kind, "created": self._created, "model": model}

    async def whole(self, desk: Desk, made: Sequence[Order]) -> dict[str, Any]:
        answers = await desk.answers(self._served, made)
        choices = [self.choice(order, answer) for order, answer in zip(made, answers, strict=True)]
        return self._frame("chat.completion") | {"choices": choices, "usage": usage(made, counted(answers))}

    def choice(self, order: Order, answer: Piece) -> dict[str, Any]:
        """A whole answer: the message, with the tool calls that are in it."""
        said: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
        finish: str | None = answer.finish
        calls = self._calls(answer.text)
        if calls[1]:
            said |= {"content": calls[0], "tool_calls": calls[1]}
            finish = "tool_calls"
        return {
            "index": order.index,
            "message": said,
            "logprobs": self._logprobs(order, answer),
            "finish_reason": finish,
            "stop_reason": answer.stop,
        }

    def _calls(self, text: str) -> tuple[str | None, list[dict[str, Any]]]:
        if not self._tools:
            return text, []
        rest, calls = tools.parse(text, self._tools)
        return rest, calls[:1] if self._body.parallel_tool_calls is False else calls

    async def events(self, desk: Desk, made: Sequence[Order]) -> AsyncGenerator[bytes, None]:
        tally = Tally(self._body.stream_options, made)
        frame = self._frame("chat.completion.chunk")
        begun: set[int] = set()
        async for order, piece in desk.stream(self._served, made):
            if order.index not in begun:
                begun.add(order.index)
                role = _delta(order, {"role": "assistant", "content": ""})
                yield event(frame | {"choices": [role]} | tally.beside())
            tally.count(piece)
            for choice in self.deltas(order, piece):
                yield event(frame | {"choices": [choice]} | tally.beside())
        for last in tally.last():
            yield event(frame | last)
        yield event("[DONE]")

    def deltas(self, order: Order, piece: Piece) -> list[dict[str, Any]]:
        """What to send for a piece: nothing while it may be the beginning of a tool call."""
        if not self._tools or order.index in self._words:
            return self._plain(order, piece)
        held = self._held.setdefault(order.index, [])
        held.append(piece)
        text = "".join(part.text for part in held)
        if not piece.finish:
            if tools.may_be_call(text):
                return []
            self._words.add(order.index)
            return [choice for part in held for choice in self._plain(order, part)]
        rest, calls = self._calls(text)
        if not calls:
            return [choice for part in held for choice in self._plain(order, part)]
        numbered = [{"index": number} | call for number, call in enumerate(calls)]
        words = {"content": rest} if rest else {}
        return [_delta(order, words | {"tool_calls": numbered}), _delta(order, {}, "tool_calls")]

    def _plain(self, order: Order, piece: Piece) -> list[dict[str, Any]]:
        choices = []
        if piece.text or (self._body.logprobs and piece.tokens):
            choices.append(_delta(order, {"content": piece.text}) | {"logprobs": self._logprobs(order, piece)})
        if piece.finish:
            choices.append(_delta(order, {}, piece.finish) | {"stop_reason": piece.stop})
        return choices

    def _logprobs(self, order: Order, piece: Piece) -> dict[str, Any] | None:
        return self._report.of(order, piece) if self._body.logprobs else None


def _delta(order: Order, content: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": order.index, "delta": content, "logprobs": None, "finish_reason": finish}
