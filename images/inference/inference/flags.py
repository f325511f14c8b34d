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


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is a `StartError` like every other."""

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


def front_parser() -> Parser:
    """The flags of the HTTP side, which every entry point has."""
    parser = Parser(add_help=False, allow_abbrev=False)
    limits = Limits()
    add_switch(parser, "strict", "refuse flags that are not known")
    parser.add_argument("--api_key_file", type=Path, help="bearer keys, one a line; without it everybody may ask")
    parser.add_argument("--log_level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    parser.add_argument("--max_running", type=count(1), default=limits.running, help="sequences decoded at once")
    parser.add_argument("--max_queued", type=count(0), default=limits.queued, help="sequences that may wait for them")
    parser.add_argument("--max_body_bytes", type=count(1), default=limits.body_bytes)
    parser.add_argument("--request_timeout", type=_seconds, default=limits.request_seconds, help="seconds; 0 is none")
    parser.add_argument("--shutdown_timeout", type=_seconds, default=limits.drain_seconds, help="seconds to finish in")
    return parser


def transformers_parser() -> Parser:
    parser = Parser(prog="inference_api.py", parents=[front_parser()], allow_abbrev=False)
    parser.add_argument("--pipeline", default="text-generation", choices=(*get_args(Pipeline), *NOT_SERVED))
    parser.add_argument("--port", type=count(1), help="the manifests rely on 5000")
    parser.add_argument("--pretrained_model_name_or_path", default=WEIGHTS, help="a folder, or a repository of the Hub")
    parser.add_argument("--served_model_name", nargs="+", default=[], help="what clients send as `model`")
    parser.add_argument("--revision", help="commit, branch or tag of the repository")
    add_switch(parser, "trust_remote_code", "run code that comes with the model; needs a commit or a folder")
    add_switch(parser, "allow_remote_files", "download from the Hub; without it only local files are read")
    parser.add_argument("--cache_dir", type=Path, help="where downloads are kept")
    parser.add_argument("--torch_dtype", default="auto", choices=DTYPES)
    parser.add_argument("--device_map", default="auto")
    add_switch(parser, "load_in_4bit", "quantize to 4 bits with bitsandbytes")
    add_switch(parser, "load_in_8bit", "quantize to 8 bits with bitsandbytes")
    parser.add_argument("--chat_template", help="a Jinja file, or the template itself")
    parser.add_argument("--adapters_dir", type=Path, default=Path("/mnt/adapter"))
    parser.add_argument("--combination_type", default="svd", choices=COMBINATIONS)
    parser.add_argument("--mode", default="auto", choices=("auto", "continuous", "serial"), help="how requests share")
    parser.add_argument("--cache_bytes", type=count(1), help="bytes for keys and values of running requests")
    parser.add_argument("--max_model_len", type=count(2), help="longest prompt and answer together, in tokens")
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
