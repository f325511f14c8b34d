"""KAITO's flags of `vllm/inference_api.py`; everything that is vLLM's own is left for its own parser.

vLLM's parser knows hundreds of flags and takes long to import, so only what the front itself needs is read here.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from inference.errors import StartError
from inference.flags import ADAPTERS, Parser, add, add_switch, count, front_parser, front_settings, underscored
from inference.settings import Front

log = logging.getLogger(__name__)
CONCURRENCY = 256
"""vLLM's own default of `--max-num-seqs` for a server."""
UNBOUNDED = 1_000_000
KAITOS_KEYS = ("max_probe_steps", "kv_cache_cpu_memory_utilization")
"""What KAITO's config holds beside `vllm`: flags of its own, which the command line overrides."""


@dataclass(frozen=True, slots=True)
class VllmCommand:
    """The command line of `vllm/inference_api.py`, understood; `arguments` are vLLM's."""

    front: Front
    arguments: tuple[str, ...]
    adapters_dir: Path
    chat_template: str | None
    strict: bool


def parse(arguments: Sequence[str], environ_rank: str = "0") -> VllmCommand:
    """Read the command line and KAITO's inference config, which wins over it as it does at KAITO's."""
    spelled = underscored(arguments)
    first = parser().parse_known_args(spelled)[0]
    config = _read(first.kaito_config_file, strict=first.strict) if first.kaito_config_file else {}
    own = [part for key in KAITOS_KEYS if key in config for part in (f"--kaito_{key}", str(config[key]))]
    known, rest = parser().parse_known_args(underscored([*own, *spelled, *_engine_flags(config, first)]))
    _warn(known)
    known.max_running = known.max_num_seqs or CONCURRENCY
    if known.kaito_disable_rate_limit:
        known.max_queued = UNBOUNDED
    rest += ["--max_num_seqs", str(known.max_num_seqs)] if known.max_num_seqs else []
    return VllmCommand(
        front=front_settings(known, environ_rank),
        arguments=tuple(rest),
        adapters_dir=known.kaito_adapters_dir,
        chat_template=known.chat_template,
        strict=known.strict,
    )


def parser() -> Parser:
    made = Parser(
        prog="inference_api.py",
        parents=[front_parser()],
        allow_abbrev=False,
        epilog="Every other flag is vLLM's own, as `vllm serve --help=all` lists them.",
    )
    add(made, "port", "N", f"port to listen on ({Front().port})", type=count(1))
    add(made, "chat_template", "TEMPLATE", "a Jinja file, or the template itself")
    add(made, "max_num_seqs", "N", "vLLM's sequences decoded at once", type=count(1))
    add(made, "kaito_adapters_dir", "PATH", "folder of LoRA adapters, one in each folder", type=Path, default=ADAPTERS)
    add(made, "kaito_config_file", "PATH", "flags of vLLM below the key `vllm`, in YAML", type=Path)
    add(made, "kaito_max_probe_steps", "N", "KAITO's; without effect there too", type=count(0))
    add(made, "kaito_kv_cache_cpu_memory_utilization", "SHARE", "KAITO's; without effect here", type=float)
    add_switch(made, "kaito_disable_rate_limit", "let requests queue without a bound")
    return made


def _warn(known: argparse.Namespace) -> None:
    """Say which of KAITO's flags do nothing, and what does."""
    if known.kaito_kv_cache_cpu_memory_utilization:
        log.warning(
            "the flag `--kaito_kv_cache_cpu_memory_utilization` has no effect: it asks for LMCache, which is not "
            "installed; on a GPU `--kv-offloading-size` keeps as many GiB of keys and values in the host's memory"
        )
    if known.kaito_max_probe_steps:
        log.warning(
            "the flag `--kaito_max_probe_steps` has no effect, as at KAITO: `--max-model-len auto` finds the longest "
            "context that fits"
        )


def _read(path: Path, *, strict: bool) -> dict[str, Any]:
    """KAITO's inference config."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise StartError(f"the inference config `{path}` cannot be read: {reason}", "mount a YAML file") from error
    content = {} if content is None else content
    if not isinstance(content, dict) or not isinstance(content.get("vllm", {}), dict):
        raise StartError(f"the inference config `{path}` has no mapping below `vllm`", "e.g. `vllm: {dtype: bfloat16}`")
    unknown = ", ".join(f"`{key}`" for key in content if key not in (*KAITOS_KEYS, "vllm"))
    if unknown and strict:
        raise StartError(f"the inference config `{path}` has unknown keys {unknown}", "vLLM's flags go below `vllm`")
    if unknown:
        log.warning("the inference config `%s` has unknown keys %s; vLLM's flags go below `vllm`", path, unknown)
    return content


def _engine_flags(config: dict[str, Any], first: argparse.Namespace) -> list[str]:
    """What is below `vllm`, as flags: true is the bare flag, as at KAITO."""
    section = config.get("vllm", {})
    return [part for flag, value in section.items() for part in _flag(str(flag), value, first.kaito_config_file)]


def _flag(flag: str, value: Any, path: Path) -> list[str]:
    if value is True:
        return [f"--{flag}"]
    if value is False:
        return [f"--no-{flag}"]
    if isinstance(value, str | int | float):
        return [f"--{flag}", str(value)]
    raise StartError(f"`vllm.{flag}` in the inference config `{path}` is no plain value", "write JSON as a text")
