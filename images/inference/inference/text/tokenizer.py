"""What the front needs of a tokenizer: text to tokens and back, and the model's own chat template."""

import inspect
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from jinja2 import TemplateSyntaxError

from inference.errors import CANNOT_HEAL, RequestError, StartError, unsupported
from inference.text.spelling import Spelling

log = logging.getLogger(__name__)
Message = Mapping[str, Any]
NONE: Message = MappingProxyType({})
TEMPLATE_LIMIT = 256 * 1024
WORD = "a"
"""A text that every tokenizer can write."""


class Tokenizer(Protocol):
    """A tokenizer and chat template."""

    @property
    def end_tokens(self) -> frozenset[int]: ...

    @property
    def vocabulary(self) -> int: ...

    @property
    def knows_tools(self) -> bool: ...

    def encode(self, text: str, *, special: bool = True) -> list[int]: ...

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str: ...

    def spell(self, token: int, *, special: bool = False, first: bool = False) -> bytes | None:
        """The bytes that the token adds to a text, as its `first` or behind other text; None where nobody knows."""

    def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Message] = (),
        continue_last: bool = False,
        variables: Message = NONE,
    ) -> list[int]:
        """The prompt for a conversation; `variables` are further ones for the template, `enable_thinking` and such."""


class HubTokenizer:
    """A transformers tokenizer. Templates run in transformers' sandbox, and never come from a request."""

    def __init__(self, tokenizer: Any, template: str | None = None, ends: frozenset[int] = frozenset()) -> None:
        self.inner = tokenizer
        self._given = template
        self._template = template or tokenizer.chat_template
        self._check_template()
        own = tokenizer.eos_token_id
        self._ends = ends or (frozenset() if own is None else frozenset({own}))
        self._spelling = Spelling(
            lambda ids, special: self.decode(ids, special=special),
            tokenizer.convert_ids_to_tokens,
            self.encode(WORD, special=False)[-1:],
        )

    def _check_template(self) -> None:
        """A template that no conversation could pass is found before the first one; any other complaint can wait."""
        try:
            if self._template:
                greeting = [{"role": "user", "content": "Hello"}]
                self.inner.apply_chat_template(greeting, chat_template=self._given, tokenize=False)
        except TemplateSyntaxError as error:
            raise StartError(f"the chat template cannot be read: {error}", "correct it", CANNOT_HEAL) from error
        except Exception:
            log.debug("the chat template refuses a greeting", exc_info=True)

    @property
    def end_tokens(self) -> frozenset[int]:
        return self._ends

    @property
    def vocabulary(self) -> int:
        return len(self.inner)

    @property
    def knows_tools(self) -> bool:
        templates = self._template.values() if isinstance(self._template, dict) else [self._template or ""]
        return any("tools" in template for template in templates)

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        ids: list[int] = self.inner.encode(text, add_special_tokens=special)
        return ids

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        text = self.inner.decode(list(ids), skip_special_tokens=not special, clean_up_tokenization_spaces=False)
        return str(text)

    def spell(self, token: int, *, special: bool = False, first: bool = False) -> bytes | None:
        return self._spelling.of(token, special=special, first=first)

    def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Message] = (),
        continue_last: bool = False,
        variables: Message = NONE,
    ) -> list[int]:
        """The prompt for these messages; a model without a template gets the plain words, a role on each line."""
        if not self._template:
            refuse_variables(variables)
            return self.encode(_plain(messages))
        taken = sorted(set(variables) & set(inspect.signature(self.inner.apply_chat_template).parameters))
        if taken:
            raise unsupported(f"chat_template_kwargs.{taken[0]}", "is decided by the server")
        try:
            text = self.inner.apply_chat_template(
                list(messages),
                tools=list(tools) or None,
                chat_template=self._given,  # without one, the model's own for tools, where it has several
                tokenize=False,
                add_generation_prompt=not continue_last,
                continue_final_message=continue_last,
                **variables,
            )
        except Exception as error:
            # The template is the model's own program, so any of its complaints is about the messages.
            message = f"the model's chat template refuses these messages: {error}"
            raise RequestError(message, "messages") from error
        return self.encode(str(text), special=False)


def refuse_variables(variables: Message) -> None:
    """Where no template could read them, variables would be ignored."""
    if variables:
        raise unsupported("chat_template_kwargs", "is not supported: the model has no chat template")


def _plain(messages: Sequence[Message]) -> str:
    lines = [f"{message['role']}: {message.get('content') or ''}" for message in messages]
    return "\n".join([*lines, "assistant:"])


def read_template(wanted: str | None) -> str | None:
    """The chat template that `--chat_template` names or is."""
    if not wanted:
        return None
    path = Path(wanted)
    if "{" not in wanted and not path.is_file():
        raise StartError(f"the chat template `{wanted}` does not exist", "give a Jinja file, or the template itself")
    text = wanted if "{" in wanted else path.read_text(encoding="utf-8")
    if len(text) > TEMPLATE_LIMIT:
        raise StartError(f"the chat template has {len(text)} characters, at most {TEMPLATE_LIMIT} are read")
    return text
