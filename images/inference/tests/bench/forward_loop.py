"""The raw forward loop of transformers beside our rows, without any server: what eager code can reach at all."""

import sys
import time
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache

from inference.engine.transformers import attention
from inference.engine.transformers.decoder import Decoder
from inference.engine.transformers.forward import Dense
from inference.engine.transformers.packed import can_pack, pack
from inference.threads import usable_cpus
from tests.bench.__main__ import folder_of

PROMPT, STEPS = 28, 32
ROWS = (1, 8, 32)


@torch.inference_mode()
def loop(model: Any, rows: int) -> float:
    """Tokens a second of `model(...)` over a dynamic cache."""
    cache = DynamicCache(config=model.config)
    ids = torch.arange(PROMPT).repeat(rows, 1) % 500
    model(input_ids=ids, past_key_values=cache, use_cache=True)
    times = []
    for _ in range(STEPS):
        began = time.perf_counter()
        logits = model(input_ids=ids[:, -1:], past_key_values=cache, use_cache=True).logits
        ids = logits[:, -1:].argmax(-1)
        times.append(time.perf_counter() - began)
    return rows / sorted(times)[STEPS // 2]


@torch.inference_mode()
def ours(batch: Dense, rows: int) -> float:
    batch.reserve([PROMPT + STEPS] * rows)
    batch.read(0, [list(range(PROMPT))] * rows, 0, [None] * rows)
    last, times = [5] * rows, []
    for step in range(STEPS):
        began = time.perf_counter()
        last = batch.advance(last, [PROMPT + step] * rows, [None] * rows).argmax(-1).tolist()
        times.append(time.perf_counter() - began)
    return rows / sorted(times)[STEPS // 2]


def main(dtype: str) -> None:
    torch.set_num_threads(usable_cpus())
    model = AutoModelForCausalLM.from_pretrained(folder_of(dtype), dtype=getattr(torch, dtype)).eval()
    found = {"raw forward loop": {rows: loop(model, rows) for rows in ROWS}}
    attention.register()
    model.set_attn_implementation(attention.NAME)
    found["rows of one cache"] = {rows: ours(Dense(model, "four"), rows) for rows in ROWS}
    if can_pack(model):
        pack(model, model.get_input_embeddings().weight.nbytes)
        found["the same, layers packed"] = {rows: ours(Dense(model, "four"), rows) for rows in ROWS}
    found["the same, our own decoder"] = {rows: ours(Dense(model, "four", Decoder(model)), rows) for rows in ROWS}
    for name, rates in found.items():
        sys.stdout.write(f"{name:32}" + "".join(f"{rate:9.1f}" for rate in rates.values()) + "\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "float32")
