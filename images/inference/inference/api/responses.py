"""POST /v1/responses: OpenAI's newer words for a conversation. It is translated to a chat, and the answer back.

Nothing is kept: whoever goes on with a conversation sends it whole, as with chats.
"""

import itertools
import time
import uuid
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, Request, Response

from inference.api import tools
from inference.api.answers import Events, Whole, event
from inference.api.chat import Chat, orders
from inference.api.fields import refuse_unknown
from inference.api.responses_wire import ResponsesRequest, as_chat
from inference.api.usage import usage
from inference.api.work import Desk
from inference.deployment import Served
from inference.errors import RequestError
from inference.generation import Order

RENAMED = {
    "messages": "input",
    "max_completion_tokens": "max_output_tokens",
    "response_format.json_schema": "text.format",
    "response_format": "text.format",
}
"""Fields of chats that a complaint may name, and what they are called here."""


def router(desk: Desk) -> APIRouter:
    routes = APIRouter(tags=["OpenAI"])

    @routes.post("/v1/responses", response_model=None, summary="Answer a conversation, in OpenAI's newer words")
    async def respond(request: Request, body: ResponsesRequest) -> Response:
        served = desk.deployment.require()
        with _in_the_words_of_this_path():
            asked = as_chat(body)
            refuse_unknown(body)
            offered = tools.offered(served, asked)
            made = await desk.read(request, lambda: orders(served, asked, offered, desk))
        answer = Answer(served, body, Chat(served, asked, offered))
        if body.stream:
            return Events(desk, len(made), answer.events(desk, made))
        return Whole(desk, len(made), lambda: answer.whole(desk, made))

    return routes


@contextmanager
def _in_the_words_of_this_path() -> Iterator[None]:
    try:
        yield
    except RequestError as error:
        for theirs, ours in RENAMED.items():
            error.message = error.message.replace(f"`{theirs}", f"`{ours}")
        error.param = RENAMED.get(error.param or "", error.param)
        raise


class Answer:
    """The response, whole or in pieces."""

    def __init__(self, served: Served, body: ResponsesRequest, chat: Chat) -> None:
        self._served = served
        self._body = body
        self._chat = chat
        self._id = f"resp_{uuid.uuid4().hex}"
        self._created = int(time.time())

    async def whole(self, desk: Desk, made: Sequence[Order]) -> dict[str, Any]:
        (answer,) = await desk.answers(self._served, made)
        choice = self._chat.choice(made[0], answer)
        said = choice["message"]
        calls = said.get("tool_calls") or []
        output = [_called(_identity("fc"), call) for call in calls]
        if said["content"] or not calls:
            reported = (choice["logprobs"] or {}).get("content", [])
            output.insert(0, _said(_identity("msg"), said["content"], reported))
        return self._response(output, choice["finish_reason"], usage(made, len(answer.tokens)))

    async def events(self, desk: Desk, made: Sequence[Order]) -> AsyncGenerator[bytes, None]:
        writer, begun, count, finish = Writer(), False, 0, "stop"
        async for order, piece in desk.stream(self._served, made):
            # Not before: what the engine refuses is answered by a status of its own.
            if not begun:
                begun = True
                yield writer.event("response.created", response=self._response([], None))
                yield writer.event("response.in_progress", response=self._response([], None))
            count += len(piece.tokens)
            for delta in self._chat.deltas(order, piece):
                finish = delta["finish_reason"] or finish
                for data in writer.write(delta):
                    yield data
        for data in writer.end():
            yield data
        last = self._response(writer.output, finish, usage(made, count))
        yield writer.event(f"response.{last['status']}", response=last)

    def _response(
        self, output: Sequence[Any], finish: str | None, used: dict[str, int] | None = None
    ) -> dict[str, Any]:
        """The object that a client gets at the beginning and at the end."""
        body = self._body.model_dump(by_alias=True, exclude_none=True)
        cut = finish == "length"
        status = "in_progress" if finish is None else "incomplete" if cut else "completed"
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "completed_at": None if finish is None else int(time.time()),
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "instructions": self._body.instructions,
            "max_output_tokens": self._body.max_output_tokens,
            "metadata": self._body.metadata or {},
            "model": self._body.model or self._served.name,
            "output": list(output),
            "parallel_tool_calls": self._body.parallel_tool_calls is not False,
            "previous_response_id": None,
            "store": False,
            "temperature": self._body.temperature,
            "text": body.get("text", {"format": {"type": "text"}}),
            "tool_choice": body.get("tool_choice", "auto"),
            "tools": body.get("tools", []),
            "top_p": self._body.top_p,
            "truncation": "disabled",
            "usage": _usage(used) if used else None,
        }


class Writer:
    """Turns a chat's deltas into the events of items that begin, grow and end."""

    def __init__(self) -> None:
        self.output: list[dict[str, Any]] = []
        self._numbers = itertools.count()
        self._text: list[str] = []
        self._reported: list[Any] = []
        self._open: str | None = None

    def event(self, kind: str, **more: Any) -> bytes:
        data = {"type": kind, "sequence_number": next(self._numbers)} | more
        return f"event: {kind}\n".encode() + event(data)

    def write(self, delta: dict[str, Any]) -> Iterator[bytes]:
        said = delta["delta"]
        if said.get("content") or delta["logprobs"]:
            yield from self._speak(said.get("content") or "", (delta["logprobs"] or {}).get("content", []))
        for call in said.get("tool_calls", []):
            yield from self._close()
            yield from self._call(call)

    def end(self) -> Iterator[bytes]:
        """Close what is open; an answer without a word is a message all the same."""
        if not self.output and self._open is None:
            yield from self._begin()
        yield from self._close()

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self._open, "output_index": len(self.output), "content_index": 0}

    def _begin(self) -> Iterator[bytes]:
        self._open = _identity("msg")
        empty = _said(self._open, "", [], "in_progress") | {"content": []}
        yield self.event("response.output_item.added", output_index=len(self.output), item=empty)
        yield self.event("response.content_part.added", **self._place, part=_part("", []))

    def _speak(self, text: str, reported: list[Any]) -> Iterator[bytes]:
        if self._open is None:
            yield from self._begin()
        self._text.append(text)
        self._reported += reported
        yield self.event("response.output_text.delta", **self._place, delta=text, logprobs=reported)

    def _close(self) -> Iterator[bytes]:
        if self._open is None:
            return
        text, reported = "".join(self._text), self._reported
        yield self.event("response.output_text.done", **self._place, text=text, logprobs=reported)
        yield self.event("response.content_part.done", **self._place, part=_part(text, reported))
        item = _said(self._open, text, reported)
        yield self.event("response.output_item.done", output_index=len(self.output), item=item)
        self.output.append(item)
        self._open = None

    def _call(self, call: dict[str, Any]) -> Iterator[bytes]:
        item = _called(_identity("fc"), call)
        place = {"item_id": item["id"], "output_index": len(self.output)}
        begun = item | {"arguments": "", "status": "in_progress"}
        yield self.event("response.output_item.added", output_index=len(self.output), item=begun)
        yield self.event("response.function_call_arguments.delta", **place, delta=item["arguments"])
        yield self.event(
            "response.function_call_arguments.done", **place, name=item["name"], arguments=item["arguments"]
        )
        yield self.event("response.output_item.done", output_index=len(self.output), item=item)
        self.output.append(item)


def _identity(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex}"


def _part(text: str, reported: list[Any]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": reported}


def _said(identity: str, text: str | None, reported: list[Any], status: str = "completed") -> dict[str, Any]:
    content = [_part(text or "", reported)]
    return {"type": "message", "id": identity, "status": status, "role": "assistant", "content": content}


def _called(identity: str, call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {
        "type": "function_call",
        "id": identity,
        "call_id": call["id"],
        "name": function["name"],
        "arguments": function["arguments"],
        "status": "completed",
    }


def _usage(used: dict[str, int]) -> dict[str, Any]:
    return {
        "input_tokens": used["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": used["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": used["total_tokens"],
    }
