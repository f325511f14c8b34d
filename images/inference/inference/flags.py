"""KAITO's flags of `tfs/inference_api.py`, and ours beside them.

KAITO drops what it does not know without a word, so a typing error in a manifest is never found. Here an unknown flag
is warned about, and refused under `--strict`. Both spellings, `--torch_dtype` and `--torch-dtype`, mean the same.
"""

import argparse
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, get_args

from inference.errors import StartError
from inference.settings import Front, Limits, ModelSettings, Pipeline

log = logging.getLogger(__name__)

WEIGHTS = "/workspace/tfs/weights"
ADAPTERS = Path("/mnt/adapter")
DTYPES = ("auto", "float32", "float16", "bfloat16")
WITHOUT_EFFECT = ("state_dict", "force_download", "resume_download", "proxies", "output_loading_info", "mirror")
COMBINATIONS = ("svd", "linear", "cat", "ties", "ties_svd", "dare_linear", "dare_ties", "dare_linear_svd",
                "dare_ties_svd", "magnitude_prune", "magnitude_prune_svd")  # fmt: skip
NOT_SERVED = {
    "text2text-generation": "an encoder-decoder model such as T5 has no batch that this server could keep: "
    "use a decoder-only model with `--pipeline text-generation`",
    "fill-mask": "a masked language model such as BERT generates no text: "
    "use a decoder-only model with `--pipeline text-generation`",
}
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Help(argparse.HelpFormatter):
    """Each flag on a line with its text, and with its default where it has one; switches without their values."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=120)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help or ""
        unsaid = action.default in (None, False, [], argparse.SUPPRESS) or "%(default)s" in text
        return text if unsaid or text == argparse.SUPPRESS else f"{text} (%(default)s)"

    def _format_action_invocation(self, action: argparse.Action) -> str:
        return action.option_strings[0] if action.const is True else super()._format_action_invocation(action)


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is a `StartError` like every other."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**({"formatter_class": Help} | settings))

    def error(self, message: str) -> NoReturn:
        raise StartError(message.replace("argument ", "flag ", 1), "see `--help` for the flags and their values")


@dataclass(frozen=True, slots=True)
class TransformersCommand:
    """The command line of `tfs/inference_api.py`, understood."""

    front: Front
    model: ModelSettings


def parse(arguments: Sequence[str], environ_rank: str = "0") -> TransformersCommand:
    """Read the command line; `LOCAL_RANK` moves the port, as KAITO's server does."""
    known, unknown = transformers_parser().parse_known_args(underscored(arguments))
    report_unknown(unknown, strict=known.strict)
    for name in WITHOUT_EFFECT:
        if getattr(known, name) not in (None, False):
            log.warning("the flag `--%s` has no effect here", name)
    if known.from_tf:
        raise StartError("`--from_tf` asks for TensorFlow weights", "convert the model to safetensors")
    return TransformersCommand(front=front_settings(known, environ_rank), model=_model_settings(known))


def underscored(arguments: Sequence[str]) -> list[str]:
    """Spell every flag with underscores, values untouched."""
    spelled = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        spelled.append(name.replace("-", "_").replace("__", "--", 1) + equals + value if _is_flag(name) else argument)
    return spelled


def _is_flag(text: str) -> bool:
    return re.fullmatch(r"--[A-Za-z][\w-]*", text) is not None


def report_unknown(unknown: Sequence[str], *, strict: bool) -> None:
    flags = [argument.partition("=")[0] for argument in unknown if argument.startswith("-")] or list(unknown)
    if not flags:
        return
    listed = ", ".join(f"`{flag}`" for flag in flags)
    if strict:
        raise StartError(f"unknown flags {listed}", "correct them, or leave out `--strict`")
    log.warning("unknown flags %s are ignored; `--strict` refuses them", listed)


def boolean(text: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"`{text}` is neither true nor false")
    return words[text.lower()]


def count(lowest: int) -> Any:
    def whole(text: str) -> int:
        if not re.fullmatch(r"\d{1,15}", text) or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"`{text}` is no whole number from {lowest} up")
        return int(text)

    return whole


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"`{text}` is no number of seconds")
    return float(text)


def add_switch(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    """A flag that works bare, and with `True` or `False` after it as HfArgumentParser's do."""
    parser.add_argument(f"--{name}", nargs="?", const=True, default=False, type=boolean, help=text)


def add(parser: argparse.ArgumentParser, name: str, value: str | None, text: str, **more: Any) -> None:
    """A flag with a value, which is called so in the help."""
    parser.add_argument(f"--{name}", metavar=value, help=text, **more)


def front_parser() -> Parser:
    """The flags of the HTTP side, which every entry point has."""
    parser = Parser(add_help=False, allow_abbrev=False)
    limits = Limits()
    add_switch(parser, "strict", "refuse flags that are not known")
    add(parser, "api_key_file", "PATH", "bearer keys, one a line; without it everybody may ask", type=Path)
    add(parser, "log_level", None, "how much is logged", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    add(parser, "max_running", "N", "sequences decoded at once", type=count(1), default=limits.running)
    add(parser, "max_queued", "N", "sequences that may wait for them", type=count(0), default=limits.queued)
    add(parser, "max_body_bytes", "N", "longest request body", type=count(1), default=limits.body_bytes)
    add(parser, "request_timeout", "S", "seconds for an answer, 0 for ever", type=_seconds,
        default=limits.request_seconds)  # fmt: skip
    add(parser, "shutdown_timeout", "S", "seconds to finish in after SIGTERM", type=_seconds,
        default=limits.drain_seconds)  # fmt: skip
    return parser


def transformers_parser() -> Parser:
    parser = Parser(prog="inference_api.py", parents=[front_parser()], allow_abbrev=False)
    pipelines = (*get_args(Pipeline), *NOT_SERVED)
    add(parser, "pipeline", "NAME", "which bodies `/chat` takes: text-generation or conversational",
        default="text-generation", choices=pipelines)  # fmt: skip
    add(parser, "port", "N", f"port to listen on ({Front().port})", type=count(1))
    add(parser, "pretrained_model_name_or_path", "SOURCE", "a folder, or a repository of the Hub", default=WEIGHTS)
    add(parser, "served_model_name", "NAME", "what clients send as `model`; several are possible", nargs="+",
        default=[])  # fmt: skip
    add(parser, "revision", "REV", "commit, branch or tag of the repository")
    add_switch(parser, "trust_remote_code", "run code that comes with the model; needs a commit or a folder")
    add_switch(parser, "allow_remote_files", "download from the Hub; without it only local files are read")
    add(parser, "cache_dir", "PATH", "where downloads are kept", type=Path)
    add(parser, "torch_dtype", None, "type of numbers; auto is the model's own, where the processor calculates in it",
        default="auto", choices=DTYPES)  # fmt: skip
    add(parser, "device_map", "MAP", "where layers go on GPUs, in accelerate's words", default="auto")
    add_switch(parser, "load_in_4bit", "quantize to 4 bits with bitsandbytes")
    add_switch(parser, "load_in_8bit", "quantize to 8 bits with bitsandbytes; needs a GPU")
    add(parser, "chat_template", "TEMPLATE", "a Jinja file, or the template itself")
    add(parser, "adapters_dir", "PATH", "folder of LoRA adapters, one in each folder", type=Path, default=ADAPTERS)
    add(parser, "combination_type", "TYPE", f"how PEFT merges several: {', '.join(COMBINATIONS)}", default="svd",
        choices=COMBINATIONS)  # fmt: skip
    add(parser, "mode", None, "whether requests share the steps; auto: where that changes no answer", default="auto",
        choices=("auto", "continuous", "serial"))  # fmt: skip
    add(parser, "cache_bytes", "N", "bytes for keys and values of running requests", type=count(1))
    add(parser, "max_model_len", "N", "longest prompt and answer together, in tokens", type=count(2))
    add_switch(parser, "from_tf", argparse.SUPPRESS)
    for name in WITHOUT_EFFECT:
        parser.add_argument(f"--{name}", nargs="?", const=True, help=argparse.SUPPRESS)
    return parser


def front_settings(known: argparse.Namespace, rank: str) -> Front:
    pipeline = getattr(known, "pipeline", "text-generation")
    if pipeline in NOT_SERVED:
        raise StartError(f"`--pipeline {pipeline}` is not served: {NOT_SERVED[pipeline]}")
    limits = Limits(
        running=known.max_running,
        queued=known.max_queued,
        body_bytes=known.max_body_bytes,
        request_seconds=known.request_timeout,
        drain_seconds=known.shutdown_timeout,
    )
    port = (known.port or Front().port) + (int(rank) if rank.isdigit() else 0)
    served: Pipeline = "conversational" if pipeline == "conversational" else "text-generation"
    return Front(port=port, pipeline=served, api_key_file=known.api_key_file, log_level=known.log_level, limits=limits)


def _model_settings(known: argparse.Namespace) -> ModelSettings:
    if known.load_in_4bit and known.load_in_8bit:
        raise StartError("`--load_in_4bit` and `--load_in_8bit` exclude each other", "choose one")
    settings = ModelSettings(
        source=known.pretrained_model_name_or_path,
        names=tuple(known.served_model_name),
        revision=known.revision,
        trust_remote_code=known.trust_remote_code,
        allow_remote_files=known.allow_remote_files,
        dtype=known.torch_dtype,
        device_map=known.device_map,
        quantization="4bit" if known.load_in_4bit else "8bit" if known.load_in_8bit else None,
        chat_template=known.chat_template,
        cache_dir=known.cache_dir,
        adapters_dir=known.adapters_dir,
        combination_type=known.combination_type,
        mode=known.mode,
        cache_bytes=known.cache_bytes,
        max_model_len=known.max_model_len,
    )
    if settings.source.startswith(("/", ".")) and not Path(settings.source).is_dir():
        raise StartError(
            f"the model folder `{settings.source}` does not exist", "mount it, or name a repository of the Hub"
        )
    return settings


def pinned(settings: ModelSettings) -> bool:
    """True where the code that comes with the model cannot change under our feet."""
    return settings.local or pinned_commit(settings.revision)


def pinned_commit(revision: str | None) -> bool:
    return _COMMIT.fullmatch(revision or "") is not None


def default_name(source: str) -> str:
    """What clients call a model that nobody named: as its repository is called, or as its folder."""
    folder = Path(source).is_absolute() or Path(source).is_dir()
    return source.rstrip("/").rsplit("/", 1)[-1] if folder else source
