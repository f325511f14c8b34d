"""From flags to a running vLLM: its own parser and loader, with our rules about what may be loaded."""

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.exceptions import VLLMClientError
from vllm.tokenizers import cached_tokenizer_from_config
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.v1.engine.async_llm import AsyncLLM

from inference.deployment import Served
from inference.engine.model_folder import check_folder
from inference.engine.vllm.adapters import with_adapters
from inference.engine.vllm.engine import VllmEngine
from inference.engine.vllm.flags import VllmCommand
from inference.engine.vllm.memory import with_memory
from inference.errors import CANNOT_HEAL, StartError
from inference.flags import default_name, pinned_commit, report_unknown
from inference.text.tokenizer import HubTokenizer, read_template

log = logging.getLogger(__name__)
WEIGHTS = "/workspace/vllm/weights"
HONOURED = frozenset({"host", "port", "model_tag", "lora_modules"})
DECIDED = ("gpu_memory_utilization", "max_loras", "max_lora_rank")
"""What is decided here where nobody has said it."""
KEYS_IN_SIGHT = "`--api-key` shows the key to everybody who sees the process"


class _Parser(FlexibleArgumentParser):  # type: ignore[misc]  # mypy does not follow imports into vLLM
    """vLLM's parser, whose complaint is a `StartError` like every other."""

    def error(self, message: str) -> NoReturn:
        raise StartError(message.replace("argument ", "flag ", 1), "see vLLM's documentation for its flags")


def start(command: VllmCommand, environ: Mapping[str, str]) -> Served:
    """Load the model, or say in one sentence why not."""
    arguments, modules = engine_arguments(command)
    adapters = with_adapters(arguments, modules, command, environ)
    with_memory(arguments, environ)
    try:
        config = arguments.create_engine_config(UsageContext.OPENAI_API_SERVER)
        llm = AsyncLLM.from_vllm_config(config, usage_context=UsageContext.OPENAI_API_SERVER)
    except (ValueError, RuntimeError, OSError, NotImplementedError, VLLMClientError) as error:
        log.debug("vLLM could not be started", exc_info=True)
        raise StartError(f"vLLM cannot serve `{arguments.model}`: {_reason(error)}", "", CANNOT_HEAL) from error
    model = llm.model_config
    tokenizer = HubTokenizer(
        cached_tokenizer_from_config(model),
        read_template(command.chat_template),
        _ends(model.try_get_generation_config()),
    )
    root = arguments.model + (f"@{arguments.revision}" if arguments.revision else "")
    return Served(
        VllmEngine(llm, adapters), tokenizer, tuple(arguments.served_model_name), model.get_diff_sampling_param(), root
    )


def engine_arguments(command: VllmCommand) -> tuple[AsyncEngineArgs, Sequence[Any] | None]:
    """Read vLLM's flags, and its adapters'; those of its HTTP server that this front lacks are not passed over."""
    parser = make_arg_parser(_Parser())
    parser.set_defaults(model=WEIGHTS, **dict.fromkeys(DECIDED))
    known = parser.parse_args(list(command.arguments))
    if known.api_key:
        raise StartError(KEYS_IN_SIGHT, "mount a Secret and give `--api_key_file`")
    report_unknown(_of_its_server(parser, known), strict=command.strict)
    if known.model_tag:
        known.model = known.model_tag
    arguments: AsyncEngineArgs = AsyncEngineArgs.from_cli_args(known)
    _check_source(arguments)
    if arguments.structured_outputs_config.backend == "auto":
        # A grammar that allows any white space lets a weak model write nothing else until its tokens are used up.
        arguments.structured_outputs_config.backend = "guidance"
        arguments.structured_outputs_config.disable_any_whitespace = True
    served = arguments.served_model_name or default_name(arguments.model)
    arguments.served_model_name = [served] if isinstance(served, str) else list(served)
    return arguments, known.lora_modules


def _of_its_server(parser: argparse.ArgumentParser, known: argparse.Namespace) -> list[str]:
    """Flags of vLLM's HTTP server that were given, and that this front does not honour."""
    engine = {field.name for field in fields(AsyncEngineArgs)} | HONOURED
    given = [name for name, value in vars(known).items() if name not in engine and value != parser.get_default(name)]
    return [f"--{name}" for name in given]


def _check_source(arguments: AsyncEngineArgs) -> None:
    """Only safetensors are read, and code that comes with a model runs only where it cannot change."""
    folder = Path(arguments.model)
    if folder.is_absolute() or folder.is_dir():
        if not folder.is_dir():
            raise StartError(f"the model folder `{folder}` does not exist", "mount it, or name a repository of the Hub")
        check_folder(folder)
    elif arguments.trust_remote_code and not pinned_commit(arguments.revision):
        raise StartError(
            "`--trust-remote-code` would run code that can change at any time",
            "pin a commit of 40 hexadecimal digits with `--revision`, or use a local folder",
        )
    if arguments.load_format == "auto":
        arguments.load_format = "safetensors"


def _ends(generation: Mapping[str, Any]) -> frozenset[int]:
    """Every token that ends an answer, where the generation config names them."""
    ends = generation.get("eos_token_id")
    return frozenset([ends] if isinstance(ends, int) else ends or [])


def _reason(error: BaseException) -> str:
    """The last line of a nested complaint is the one that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
