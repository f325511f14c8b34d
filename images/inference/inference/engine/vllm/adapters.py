"""LoRA adapters for vLLM: each by its own name, from KAITO's folder or from `--lora-modules`. vLLM merges none."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vllm.config.lora import LoRAConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.lora.peft_helper import PEFTHelper
from vllm.lora.request import LoRARequest
from vllm.lora.utils import is_base_embedding_weights, parse_fine_tuned_lora_name
from vllm.platforms import current_platform

from inference.engine import adapter_fit
from inference.engine.adapter_folders import CONFIG, DEFAULT_STRENGTH, WEIGHTS, Adapter, checked, find
from inference.engine.model_folder import model_shapes, read_json, tensor_shapes
from inference.engine.vllm.flags import VllmCommand
from inference.errors import CANNOT_HEAL, StartError

log = logging.getLogger(__name__)
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The sizes that vLLM prepares room for."""
TOGETHER = 8
"""Adapters that one batch may mix, unless `--max-loras` says otherwise."""


def with_adapters(
    arguments: AsyncEngineArgs, modules: Sequence[Any] | None, command: VllmCommand, environ: Mapping[str, str]
) -> dict[str, LoRARequest]:
    """Every adapter by its name; as at KAITO, its folder is only looked at where `--lora-modules` names none."""
    adapters = find(command.adapters_dir, environ) if modules is None else list(_named(modules, arguments))
    _check(adapters, arguments)
    if arguments.enable_lora and not adapters:
        log.warning("`--enable-lora` has no effect without an adapter: none can be added later")
    arguments.enable_lora = bool(adapters)
    if adapters:
        arguments.max_lora_rank = arguments.max_lora_rank or _rank(adapters)
        arguments.max_loras = _slots(len(adapters), arguments.max_loras)
        # Those that are not in the batch wait in the host's memory, and are not read again.
        arguments.max_cpu_loras = arguments.max_cpu_loras or max(len(adapters), arguments.max_loras)
        _check_accepted(adapters, arguments.max_lora_rank)
    return {
        adapter.name: LoRARequest(adapter.name, number, str(adapter.folder))
        for number, adapter in enumerate(adapters, 1)
    }


def _slots(adapters: int, wanted: int | None) -> int:
    """Adapters that one batch may mix.

    vLLM's layers for CPUs give a request without an adapter what is in the last slot, as soon as a request with one is
    in the same batch. So on a CPU there is a slot more than adapters: the last one is never taken, and adds nothing.
    """
    if current_platform.is_cpu():
        return max(adapters + 1, wanted or 0)
    return wanted or min(adapters, TOGETHER)


def _named(modules: Iterable[Any], arguments: AsyncEngineArgs) -> Iterable[Adapter]:
    """What `--lora-modules` lists: vLLM has read its form, `name=path` or JSON."""
    bases = {arguments.model, *(arguments.served_model_name or ())}
    for module in modules:
        if module.base_model_name and module.base_model_name not in bases:
            raise StartError(
                f"`--lora-modules` says that `{module.name}` belongs to `{module.base_model_name}`, "
                f"but the model is `{arguments.model}`",
                "name this model, or leave `base_model_name` out",
            )
        folder = Path(module.path)
        if not folder.is_dir():
            raise StartError(f"the adapter folder `{folder}` of `--lora-modules` does not exist", "mount it")
        yield Adapter(module.name, checked(folder), DEFAULT_STRENGTH)


def _check(adapters: Sequence[Adapter], arguments: AsyncEngineArgs) -> None:
    names = [adapter.name for adapter in adapters]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StartError(f"two adapters have the name `{twice[0]}`", "give each its own")
    folder = Path(arguments.model)
    shapes = model_shapes(folder) if adapters and folder.is_dir() else {}
    for adapter in adapters:
        if adapter.strength != DEFAULT_STRENGTH:
            raise StartError(
                f"the adapter `{adapter.name}` has the strength {adapter.strength}, which vLLM cannot apply",
                "use the transformers runtime, or leave the strength out",
            )
        adapter_fit.check(adapter, arguments.model, shapes)


def _rank(adapters: Sequence[Adapter]) -> int:
    largest = max(_rank_of(adapter.folder) for adapter in adapters)
    fitting = [rank for rank in RANKS if rank >= largest]
    if not fitting:
        raise StartError(
            f"an adapter has the rank {largest}, at most {RANKS[-1]} are possible", "merge it instead", CANNOT_HEAL
        )
    return fitting[0]


def _rank_of(folder: Path) -> int:
    """The largest rank of any of its layers."""
    config = read_json(folder / CONFIG)
    others = config.get("rank_pattern")
    ranks = [config.get("r"), *(others.values() if isinstance(others, dict) else ())]
    if not all(isinstance(rank, int) for rank in ranks):
        raise StartError(f"the adapter folder `{folder}` does not say its rank", "mount a LoRA adapter", CANNOT_HEAL)
    return int(max(ranks))


def _check_accepted(adapters: Sequence[Adapter], rank: int) -> None:
    """Ask vLLM's own reader now: it would refuse only after the model is loaded."""
    refused = {adapter.name: reason for adapter in adapters if (reason := _refusal(adapter.folder, rank))}
    if refused:
        reasons = "; ".join(f"`{name}`: {reason}" for name, reason in refused.items())
        raise StartError(
            f"vLLM does not take {'the adapter' if len(refused) == 1 else 'the adapters'} {reasons}",
            "the transformers runtime may, or merge it into its model",
            CANNOT_HEAL,
        )


def _refusal(folder: Path, rank: int) -> str:
    """What vLLM has against an adapter; empty where nothing."""
    try:
        PEFTHelper.from_local_dir(str(folder), None).validate_legal(LoRAConfig(max_lora_rank=rank))
        for tensor in tensor_shapes(folder / WEIGHTS):
            if not is_base_embedding_weights(tensor):
                parse_fine_tuned_lora_name(tensor)
    except (ValueError, TypeError) as error:
        return " ".join(str(error).split()).rstrip(".")
    return ""
