"""From OpenAI's fields to our sampling: what the request leaves open, the model's makers recommend."""

import json
from collections.abc import Mapping
from typing import Any

from inference.api.fields import check_text, check_tokens, default
from inference.api.openai_wire import Common, ResponseFormat
from inference.deployment import Served
from inference.engine.protocol import Sampling
from inference.errors import RequestError, unsupported
from inference.generation import Ending


def sampling(served: Served, body: Common, max_tokens: int, schema: str | None, logprobs: int | None) -> Sampling:
    """How the tokens of this request are chosen."""
    own: Mapping[str, Any] = served.defaults
    top_k = default(body.top_k, own.get("top_k", 0))
    ends = frozenset() if body.ignore_eos else served.tokenizer.end_tokens
    check_tokens(body.stop_token_ids or [], served.tokenizer.vocabulary, "stop_token_ids")
    if (body.min_tokens or 0) > max_tokens:
        raise RequestError(f"`min_tokens` is {body.min_tokens}, but at most {max_tokens} are made", "min_tokens")
    return Sampling(
        max_tokens=max_tokens,
        min_tokens=body.min_tokens or 0,
        temperature=default(body.temperature, own.get("temperature", 1.0)),
        top_k=max(top_k, 0),
        top_p=default(body.top_p, own.get("top_p", 1.0)),
        min_p=default(body.min_p, own.get("min_p", 0.0)),
        repetition_penalty=default(body.repetition_penalty, own.get("repetition_penalty", 1.0)),
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        logit_bias=_bias(body.logit_bias or {}, served.tokenizer.vocabulary),
        seed=body.seed,
        stop_tokens=ends | frozenset(body.stop_token_ids or []),
        logprobs=logprobs,
        schema=schema,
    )


def ending(body: Common) -> Ending:
    stops = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    if any(not stop for stop in stops):
        raise RequestError("`stop` holds an empty string, which would end every answer at once", "stop")
    check_text(stops, "stop")
    return Ending(
        stops=stops,
        include_stop=bool(body.include_stop_str_in_output),
        special_tokens=body.skip_special_tokens is False,
        stops_after=body.min_tokens or 0,
    )


def _bias(wanted: Mapping[str, float], vocabulary: int) -> dict[int, float]:
    for token in wanted:
        if not token.isascii() or not token.isdigit() or len(token) > len(str(vocabulary)):
            raise RequestError(f"`logit_bias` holds `{token[:40]}`, which is no token", "logit_bias")
    check_tokens(map(int, wanted), vocabulary, "logit_bias")
    return {int(token): bias for token, bias in wanted.items()}


def schema_of(served: Served, wanted: ResponseFormat | None) -> str | None:
    """The JSON schema that the answer must follow."""
    if wanted is None or wanted.type == "text":
        return None
    if "response_format" in served.engine.capabilities.unsupported:
        raise unsupported("response_format", f"is not supported by the engine `{served.engine.capabilities.engine}`")
    if wanted.type == "json_object":
        return json.dumps({"type": "object"})
    schema = wanted.json_schema.schema_ if wanted.json_schema else None
    if schema is None:
        raise RequestError("`response_format.json_schema.schema` is missing", "response_format")
    return json.dumps(schema)
