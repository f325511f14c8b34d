"""The servers that are measured, each by the command that starts it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.load import Form

PYTHON = sys.executable
BIN = Path(PYTHON).parent


@dataclass(frozen=True, slots=True)
class Peer:
    """A server: its command from folder, type of numbers and port, and how it is asked."""

    command: Callable[[str, str, int], list[str]]
    form: Callable[[str], Form]
    goes_on: bool = False
    """With work that nobody waits for any more: each load gets a process of its own, or it would wait for the last."""


def _openai(**more: Any) -> Callable[[str], Form]:
    def form(folder: str) -> Form:
        def body(prompt: str, tokens: int) -> dict[str, Any]:
            wanted = {"model": folder, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True}
            return wanted | more

        return Form("/v1/completions", body)

    return form


def _chat(_: str) -> Form:
    def body(prompt: str, tokens: int) -> dict[str, Any]:
        wanted = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
        return {"prompt": prompt, "generate_kwargs": wanted}

    return Form("/chat", body, streams=False)


EXACT = _openai(ignore_eos=True, stream_options={"include_usage": True})
VLLM = ("--max-model-len", "2048", "--max-num-seqs", "32")
BOUNDED = ("--cb-block-size", "128", "--cb-num-blocks", "64", "--cb-max-batch-tokens", "512")
"""Without these its cache takes most of the machine's memory."""
PEERS = {
    "one at a time": Peer(
        lambda folder, dtype, port: [PYTHON, "-m", "tests.bench.serial_server", folder, dtype, str(port)],
        _chat,
        goes_on=True,
    ),
    "transformers serve": Peer(
        lambda folder, dtype, port: [
            *(str(BIN / "transformers"), "serve", folder, "--dtype", dtype, "--device", "cpu"),
            *("--host", "127.0.0.1", "--port", str(port)),
        ],
        _openai(),
        goes_on=True,
    ),
    "transformers serve, continuous": Peer(
        lambda folder, dtype, port: [
            *(str(BIN / "transformers"), "serve", folder, "--dtype", dtype, "--device", "cpu"),
            *("--continuous-batching", *BOUNDED, "--host", "127.0.0.1", "--port", str(port)),
        ],
        _openai(),
        goes_on=True,
    ),
    "vLLM": Peer(
        lambda folder, dtype, port: [
            *(PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", folder, "--dtype", dtype),
            *("--host", "127.0.0.1", "--port", str(port), *VLLM),
        ],
        EXACT,
    ),
    "ours, vLLM": Peer(
        lambda folder, dtype, port: [
            *(PYTHON, "workspace/vllm/inference_api.py", "--model", folder, "--served-model-name", folder),
            *("--dtype", dtype, "--port", str(port), *VLLM),
        ],
        EXACT,
    ),
    "ours, transformers": Peer(
        lambda folder, dtype, port: [
            *(PYTHON, "workspace/tfs/inference_api.py", "--pretrained_model_name_or_path", folder),
            *("--served_model_name", folder, "--torch_dtype", dtype, "--port", str(port)),
        ],
        EXACT,
    ),
}
