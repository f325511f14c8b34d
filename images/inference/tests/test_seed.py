"""The model of the guide in its own shape: its command, its five questions, its minute."""

import time
from pathlib import Path

import httpx
import pytest

from tests import models
from tests.servers import command, free_port

QUESTIONS = (
    "What is Kubernetes?",
    "Translate to English: Je t'aime.",
    "Write a short poem about the sea.",
    "Is this review positive or negative? The film was a waste of time.",
    "Explain what a GPU is to a child.",
)
CURL_SECONDS = 60
OUTPUT_TOKENS = 64


@pytest.mark.slow
def test_the_guides_five_questions_are_answered_within_a_minute_each(tmp_path: Path) -> None:
    """Random weights in bloomz-560m's shape cost what its own do; two threads as the manifest's requests give it."""
    folder = models.save_large(tmp_path / "bloomz-560m", models.BLOOM_560M(eos_token_id=None))
    port = free_port()
    launch = ["accelerate", "launch", "--num_processes", "1", "--num_machines", "1", "tfs/inference_api.py"]
    seed = ["--pipeline", "text-generation", "--trust_remote_code", "--allow_remote_files"]
    more = ["--pretrained_model_name_or_path", str(folder), "--torch_dtype", "float32", "--port", str(port)]
    with command([*launch, *seed, *more], port, OMP_NUM_THREADS="2", HF_HUB_OFFLINE="1") as server:
        for question in QUESTIONS:
            arguments = {"max_length": OUTPUT_TOKENS, "do_sample": False}
            body = {"prompt": question, "return_full_text": False, "generate_kwargs": arguments}
            began = time.monotonic()
            answer = server.client.post("/chat", json=body)
            assert answer.status_code == httpx.codes.OK
            assert set(answer.json()) == {"Result"}
            assert time.monotonic() - began < CURL_SECONDS
        # Most tokens of so large a vocabulary have no text in the tests' tokenizer, so that they are only counted.
        assert server.metric("vllm:generation_tokens_total") > len(QUESTIONS) * OUTPUT_TOKENS / 2
        text = server.client.get("/metrics", headers={"Accept": "text/plain"}).text
        assert 'mode="continuous"' in text
