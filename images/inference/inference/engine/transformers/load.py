"""From settings to a loaded model and tokenizer: every choice about types, devices and sources is taken here."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

from inference.engine.model_folder import check_folder, trust
from inference.engine.transformers import beams, whole
from inference.errors import CANNOT_HEAL, StartError
from inference.settings import ModelSettings
from inference.text.tokenizer import HubTokenizer, read_template

log = logging.getLogger(__name__)
Loaded_ = TypeVar("Loaded_")
DEFAULT_CONTEXT = 2048
UNBOUNDED = 10**9
NOT_FOLLOWED = beams.HONOURED | {"forced_bos_token_id", "min_length", "min_new_tokens", "penalty_alpha"}
"""What a batch has no way to do, or would do to requests that ask for something else."""
NEUTRAL: tuple[Any, ...] = (None, 0, 1, [], {})
ENCODERS = frozenset({"bert-generation"})
"""Encoders that transformers lists among the models that generate, and not among those that fill in masks."""
LENGTH_DEPENDENT = ("longrope", "dynamic")
"""Rotations that change once a text is longer than those of the training."""


@dataclass(slots=True)
class Loaded:
    """A model in memory with everything that belongs to it."""

    model: Any
    tokenizer: HubTokenizer
    context: int
    defaults: dict[str, Any]
    revision: str | None


def load(settings: ModelSettings) -> Loaded:
    """Load tokenizer and model, or say in one sentence why not."""
    if settings.local:
        check_folder(Path(settings.source))
    source = _source_arguments(settings)
    config = _attempt(settings, "configuration", lambda: AutoConfig.from_pretrained(settings.source, **source))
    source["trust_remote_code"] = _code_allowed(settings, config)
    tokenizer = _attempt(settings, "tokenizer", lambda: AutoTokenizer.from_pretrained(settings.source, **source))
    model = _attempt(settings, "weights", lambda: _load_model(settings, config, source))
    model.eval()
    return Loaded(
        model=model,
        tokenizer=HubTokenizer(tokenizer, read_template(settings.chat_template), _ends(model, tokenizer)),
        context=_context(settings, config, tokenizer),
        defaults=_sampling_defaults(model.generation_config),
        revision=getattr(config, "_commit_hash", None) or settings.revision,
    )


def _source_arguments(settings: ModelSettings) -> dict[str, Any]:
    arguments: dict[str, Any] = {"local_files_only": not settings.allow_remote_files, "cache_dir": settings.cache_dir}
    if not settings.local and settings.revision:
        arguments["revision"] = settings.revision
    return arguments


def _attempt(settings: ModelSettings, what: str, action: Callable[[], Loaded_]) -> Loaded_:
    """Run a loader of transformers; whatever it raises is about the model, and its first line says what."""
    try:
        return action()
    except StartError:
        raise
    except Exception as error:
        log.debug("loading the %s failed", what, exc_info=True)
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        hint = (
            "" if settings.local or settings.allow_remote_files else "without `--allow_remote_files` only local files"
        )
        message = f"the {what} of `{settings.source}` cannot be loaded: {reason}"
        raise StartError(message, hint, CANNOT_HEAL) from error


def _code_allowed(settings: ModelSettings, config: Any) -> bool:
    known = config.model_type in CONFIG_MAPPING
    allowed, warning = trust(settings, needs_code=bool(getattr(config, "auto_map", None)), known=known)
    if warning:
        log.warning(warning)
    if known and not _decodes(config):
        raise StartError(
            f"`{settings.source}` is a `{config.model_type}` model, which is no decoder-only language model",
            "use a model that `--pipeline text-generation` can run",
        )
    return allowed


def _decodes(config: Any) -> bool:
    """Whether the model continues texts; encoders that can be loaded as if they did would only answer nonsense."""
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or getattr(config, "is_encoder_decoder", False):
        return False
    encodes = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES or config.model_type in ENCODERS
    return not encodes or bool(getattr(config, "is_decoder", False))


def _load_model(settings: ModelSettings, config: Any, source: dict[str, Any]) -> Any:
    arguments: dict[str, Any] = {"use_safetensors": True, "dtype": pick_dtype(settings.dtype, config)}
    if torch.cuda.is_available():
        arguments["device_map"] = settings.device_map
    if settings.quantization:
        arguments["quantization_config"] = _quantization(settings.quantization, arguments["dtype"])
    # Sizes that do not fit are in the report as well, by name.
    arguments |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
    loader: Any = AutoModelForCausalLM  # whose types know nothing of the report
    model, report = loader.from_pretrained(settings.source, **source, **arguments)
    whole.check(settings.source, report)
    return model


def _quantization(bits: str, dtype: torch.dtype) -> Any:
    """KAITO's way: NF4 with double quantization at 4 bits, LLM.int8 at 8."""
    from transformers import BitsAndBytesConfig

    if bits == "4bit":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    if not torch.cuda.is_available():
        raise StartError(
            "`--load_in_8bit` needs a GPU", "on a CPU use `--load_in_4bit`, or the model as it is", CANNOT_HEAL
        )
    return BitsAndBytesConfig(load_in_8bit=True)


def pick_dtype(wanted: str, config: Any) -> torch.dtype:
    """The type asked for; `auto` is the model's own, except on a CPU that cannot calculate in half precision."""
    if wanted != "auto":
        return _dtype(wanted)
    own = getattr(config.get_text_config(decoder=True), "dtype", None) or torch.float32
    own = _dtype(own) if isinstance(own, str) else own
    if torch.cuda.is_available() or own == torch.float32:
        return own
    return own if own == torch.bfloat16 and calculates_bfloat16() else torch.float32


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name)
    if not isinstance(dtype, torch.dtype):
        raise StartError(f"`{name}` is no type of numbers")
    return dtype


def calculates_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself; without it the conversions cost more than the memory saves."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", 1)[0].split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags or "bf16" in flags


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends an answer: the generation config may name several."""
    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    return frozenset([ends] if isinstance(ends, int) else ends or [])


def _context(settings: ModelSettings, config: Any, tokenizer: Any) -> int:
    """Tokens of prompt and answer together. Bloom has no limit of its own beyond what it was trained with."""
    text = config.get_text_config(decoder=True)
    names = ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len")
    own = next((getattr(text, name) for name in names if getattr(text, name, None)), None)
    if own is None:
        own = tokenizer.model_max_length if tokenizer.model_max_length < UNBOUNDED else DEFAULT_CONTEXT
    if settings.max_model_len and settings.max_model_len > own:
        raise StartError(f"`--max_model_len {settings.max_model_len}` is more than the model's own {own}")
    steady = min(own, _steady(text) or own)
    if settings.max_model_len and settings.max_model_len > steady:
        raise StartError(
            f"`--max_model_len {settings.max_model_len}` is more than {steady}, where this model begins to turn the "
            "places of a text in another way, for every text of a batch at once",
            "use the vLLM runtime for longer texts",
        )
    if steady < own:
        log.warning("the context is %s tokens: beyond them, the answers of a batch would depend on each other", steady)
    return int(settings.max_model_len or steady)


def _steady(text: Any) -> int | None:
    """Up to how many tokens the rotation of places does not depend on the longest text; None where it never does."""
    rotation = getattr(text, "rope_parameters", None) or {}
    kinds = [rotation, *(value for value in rotation.values() if isinstance(value, dict))]
    if not any(kind.get("rope_type") in LENGTH_DEPENDENT for kind in kinds):
        return None
    given = [kind.get("original_max_position_embeddings") for kind in kinds]
    return next((length for length in given if length), getattr(text, "original_max_position_embeddings", None))


def _sampling_defaults(own: GenerationConfig) -> dict[str, Any]:
    """What the model's makers recommend, for requests that leave it open."""
    passed_over = sorted(name for name in NOT_FOLLOWED if getattr(own, name, None) not in NEUTRAL)
    if passed_over:
        listed = ", ".join(f"`{name}`" for name in passed_over)
        log.warning("the model's makers recommend %s, which requests do not get by themselves", listed)
    names: tuple[str, ...] = ("temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty")
    if own.do_sample is False:
        names = ("repetition_penalty",)
    values = {name: getattr(own, name, None) for name in names}
    return {name: value for name, value in values.items() if value is not None}
