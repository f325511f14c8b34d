"""Checks that request bodies of every form share."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from inference.errors import RequestError, unsupported

LARGEST = 2**31 - 1

Count = Annotated[int, Field(ge=1, le=LARGEST)]
NonNegative = Annotated[int, Field(ge=0, le=LARGEST)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]


class Body(BaseModel):
    """A request body: types are taken at their word, unknown fields are kept so that they can be refused by name."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())


def refuse_unknown(body: Body, where: str = "") -> None:
    """Refuse fields by name that would be ignored, however deep; what says nothing, clients may send."""
    for name, value in (body.model_extra or {}).items():
        if value not in (None, "", [], {}):
            raise unsupported(f"{where}{name}", "is no field that this server knows")
    for name in type(body).model_fields:
        value = getattr(body, name)
        if isinstance(value, Body):
            refuse_unknown(value, f"{where}{name}.")
        for place, item in enumerate(value if isinstance(value, list) else ()):
            if isinstance(item, Body):
                refuse_unknown(item, f"{where}{name}[{place}].")


def check_text(texts: Iterable[str], param: str) -> None:
    """Refuse text that has no UTF-8 form: a tokenizer would fail over a lone surrogate."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RequestError(f"`{param}` holds a lone surrogate, which is no character", param) from error


def check_tokens(tokens: Iterable[int], vocabulary: int, param: str) -> None:
    for token in tokens:
        if not 0 <= token < vocabulary:
            raise RequestError(f"`{param}` holds the token {token}, but the vocabulary has {vocabulary}", param)


def check_length(prompt: int, wanted: int, context: int, param: str) -> None:
    """Refuse before anything waits what can never fit."""
    if prompt == 0:
        raise RequestError("the prompt is empty", "prompt")
    if prompt + wanted > context:
        raise RequestError(
            f"the prompt has {prompt} tokens and {wanted} are asked for, but the context has {context}",
            param if prompt < context else "prompt",
            code="context_length_exceeded",
        )


def default(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value
