"""An engine that repeats its prompt: for tests of everything that is not a model, and for trying a deployment out."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from inference.engine.protocol import Capabilities, Chunk, EngineDeadError, Finish, Stats, Token, Work
from inference.text.tokenizer import NONE, Message, refuse_variables

BYTES = 256
END = BYTES
UNSUPPORTED = frozenset({"tools", "response_format", "other"})


class EchoTokenizer:
    """A byte is a token, and one more token ends the text."""

    end_tokens = frozenset({END})
    vocabulary = BYTES + 1
    knows_tools = False

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        del special
        return list(text.encode())

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        del special
        return bytes(token for token in ids if token < BYTES).decode(errors="replace")

    def spell(self, token: int, *, special: bool = False, first: bool = False) -> bytes | None:
        del special, first
        return bytes([token]) if token < BYTES else b""

    def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Message] = (),
        continue_last: bool = False,
        variables: Message = NONE,
    ) -> list[int]:
        del tools, continue_last
        refuse_variables(variables)
        return self.encode("\n".join(str(message.get("content") or "") for message in messages))


class EchoEngine:
    """Repeats the prompt, a token a step, then ends; `seconds` is how long a step takes."""

    def __init__(self, context: int = 4096, seconds: float = 0.0, running: int = 32) -> None:
        self.capabilities = Capabilities("echo", "echo", context, UNSUPPORTED)
        self.failure: str | None = None
        self.seconds = seconds
        self._places = asyncio.Semaphore(running)
        self._running = 0
        self._waiting = 0

    async def generate(self, work: Work) -> AsyncGenerator[Chunk, None]:
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        self._running += 1
        try:
            async for chunk in self._repeat(work):
                yield chunk
        finally:
            self._running -= 1
            self._places.release()

    async def _repeat(self, work: Work) -> AsyncGenerator[Chunk, None]:
        wanted = work.sampling
        answer = [*work.prompt, END]
        prompt = tuple(_token(token, wanted.prompt_logprobs) for token in work.prompt)
        if wanted.prompt_logprobs is None:
            prompt = ()
        for step in range(wanted.max_tokens):
            await asyncio.sleep(self.seconds)
            if self.failure:
                raise EngineDeadError(self.failure)
            token = answer[step % len(answer)]
            finish: Finish | None = "length" if step + 1 == wanted.max_tokens else None
            if token in wanted.stop_tokens and step >= wanted.min_tokens:
                finish = "stop"
            yield Chunk((_token(token, wanted.logprobs),), finish, prompt)
            prompt = ()
            if finish:
                return

    def stats(self) -> Stats:
        return Stats(self._running, self._waiting, 0.0)

    def prometheus(self) -> bytes | None:
        return None

    async def close(self) -> None:
        self.failure = self.failure or "closed"


def _token(token: int, logprobs: int | None) -> Token:
    """The echo is sure of itself: every token has probability one."""
    if logprobs is None:
        return Token(token)
    return Token(token, 0.0, ((token, 0.0),) if logprobs else ())
