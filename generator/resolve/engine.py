"""How an engine is told what the entry asks: KAITO's inference config, or the arguments of our own server."""

import hashlib
from typing import Any

from generator import yamlout
from generator.model import Model
from generator.model.model import ModelSpec
from generator.placement import ConfigMap
from generator.resolve.context import Context
from generator.skus import Sku

OWNED_FLAGS = {
    "max-model-len": "serving.context",
    "max-num-seqs": "serving.maxConcurrency",
    "served-model-name": "serving.servedName",
    "quantization": "serving.quantization",
    "load-format": "serving.quantization",
    "dtype": "serving.dtype",
    "revision": "source",
    "code-revision": "source",
    "tokenizer-revision": "source",
    "model": "source",
    "trust-remote-code": "serving.trustRemoteCode",
    "no-trust-remote-code": "serving.trustRemoteCode",
    "pipeline": "serving.pipeline",
    "torch-dtype": "serving.dtype",
    "pretrained-model-name-or-path": "source",
    "allow-remote-files": "source",
    "load-in-4bit": "serving.quantization",
    "load-in-8bit": "serving.quantization",
}
"""Engine flags that a field of the catalog sets."""
FORBIDDEN_FLAGS = {
    "api-key": "a key in a ConfigMap is a secret in plain; ask for tokens at the gateway (`gateway.auth`)",
    "hf-token": "name a Secret in `source`'s `token`",
    "port": "the port is 5000; Services and probes rely on it",
    "host": "the server listens on all addresses of its pod",
    "download-dir": "the image's folders are part of its contract",
}
LAUNCH = ("launch", "--num_processes", "1", "--num_machines", "1", "tfs/inference_api.py")
Flags = dict[str, Any]


def served_name(spec: ModelSpec, name: str) -> str:
    return spec.serving.served_name or name


def check_flags(context: Context[Model]) -> None:
    """Refuse engine arguments that another field sets, or that would do harm."""
    seen: dict[str, str] = {}
    for flag in context.entry.value.spec.serving.engine:
        spelled = flag.replace("_", "-")
        where = ("serving", "engine", flag)
        first = seen.setdefault(spelled, flag)
        if first != flag:
            message = f"`{flag}` and `{first}` are two spellings of one flag"
            context.say("catalog/engine", message, *where, hint="delete one of them")
        if spelled in OWNED_FLAGS:
            owner = OWNED_FLAGS[spelled]
            context.say("catalog/engine", f"the flag `{flag}` is set by `{owner}`", *where, hint=f"use `{owner}`")
        elif spelled in FORBIDDEN_FLAGS:
            context.say("catalog/engine", f"the flag `{flag}` is not allowed", *where, hint=FORBIDDEN_FLAGS[spelled])


def check_values(context: Context[Model], sku: Sku | None) -> None:
    """Refuse what the engine would refuse, or die of, once the node is paid for."""
    for flag, value in context.entry.value.spec.serving.engine.items():
        spelled, where = flag.replace("_", "-"), ("serving", "engine", flag)
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        if spelled == "tensor-parallel-size" and sku and number and number > sku.gpus:
            message = f"`{flag}` wants {value} GPUs, but a `{sku.name}` has {sku.gpus}"
            context.say("catalog/engine", message, *where, hint="leave it out: the GPUs of a node are used as they are")
        if spelled == "gpu-memory-utilization" and (number is None or not 0 < number <= 1):
            message = f"`{flag}` is a share of the GPU's memory, above 0 and at most 1, but is {value}"
            context.say("catalog/engine", message, *where, hint="e.g. `0.9`")


def preset_config(context: Context[Model], commit: str | None, tokens: int | None) -> ConfigMap:
    """KAITO's inference config for a preset on vLLM: what the entry asks, pins first."""
    spec = context.entry.value.spec
    serving = spec.serving
    flags: Flags = {"served-model-name": served_name(spec, context.entry.name)}
    if commit:
        flags |= {"revision": commit, "tokenizer-revision": commit}
    if serving.trust_remote_code:
        flags |= {"trust-remote-code": True, **({"code-revision": commit} if commit else {})}
    else:
        flags["no-trust-remote-code"] = True
    flags |= _limits(spec, tokens)
    if serving.quantization == "4bit":
        flags |= {"quantization": "bitsandbytes", "load-format": "bitsandbytes"}
    return config_map(context.entry.name, "config", "inference_config.yaml", {"vllm": flags | dict(serving.engine)})


def _limits(spec: ModelSpec, tokens: int | None) -> Flags:
    wanted = {"max-model-len": tokens, "max-num-seqs": spec.serving.max_concurrency, "dtype": spec.serving.dtype}
    return {flag: value for flag, value in wanted.items() if value is not None}


def config_map(name: str, part: str, key: str, content: dict[str, Any]) -> ConfigMap:
    """A ConfigMap named after a hash of its content: KAITO never looks at a content that changes under one name."""
    text = yamlout.dump(content)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return ConfigMap(name=f"{name}-{part}-{digest[:8]}", key=key, text=text)


def transformers_args(spec: ModelSpec, model: str, commit: str | None, name: str) -> tuple[str, ...]:
    """The arguments of `accelerate`, in the order that KAITO's own examples use, ours after them."""
    serving = spec.serving
    remote = spec.source.hugging_face is not None
    args = [*LAUNCH, "--pipeline", serving.pipeline]
    args += ["--trust_remote_code"] if serving.trust_remote_code else []
    args += ["--allow_remote_files"] if remote else []
    args += ["--pretrained_model_name_or_path", model, "--torch_dtype", _dtype(spec)]
    args += ["--revision", commit] if commit else []
    args += [f"--load_in_{serving.quantization}"] if serving.quantization else []
    args += ["--served_model_name", served_name(spec, name)] if serving.served_name or not remote else []
    return (*args, *_flags(serving.engine))


def vllm_args(
    spec: ModelSpec, model: str, commit: str | None, *, name: str, gpus: int, tokens: int | None
) -> tuple[str, ...]:
    """The arguments of `python3` for our server's vLLM engine."""
    flags: Flags = {"model": model, "served-model-name": served_name(spec, name), "dtype": _dtype(spec)}
    flags |= {"tensor-parallel-size": gpus} if gpus > 1 else {}
    flags |= {"revision": commit, "tokenizer-revision": commit} if commit else {}
    flags |= {"trust-remote-code": True} if spec.serving.trust_remote_code else {}
    flags |= {"quantization": "bitsandbytes"} if spec.serving.quantization else {}
    flags |= _limits(spec, tokens)
    return ("vllm/inference_api.py", *_flags(flags | dict(spec.serving.engine)))


def _dtype(spec: ModelSpec) -> str:
    """A CPU has no native half precision; a GPU that we allow has bfloat16."""
    return spec.serving.dtype or ("float32" if spec.serving.device == "cpu" else "bfloat16")


def _flags(flags: Flags) -> list[str]:
    """Flags as arguments; true is the bare flag, false its `no-` form."""
    args: list[str] = []
    for flag, value in flags.items():
        if value is True:
            args.append(f"--{flag}")
        elif value is False:
            args.append(f"--no-{flag}")
        else:
            args += [f"--{flag}", str(value)]
    return args
