"""KAITO's entry point for the vLLM runtime. vLLM's own processes import this file as well: their logs are like ours."""

from inference import logs
from inference.process import leave
from inference.vllm_server import main

logs.configure()
if __name__ == "__main__":
    leave(main())
