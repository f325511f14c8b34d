"""One request at a time through transformers' pipeline, as KAITO's transformers runtime used to serve."""

import sys
import threading
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from transformers import pipeline


def build(folder: str, dtype: str) -> FastAPI:
    generate: Any = pipeline("text-generation", folder, dtype=getattr(torch, dtype))
    app, one = FastAPI(), threading.Lock()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "Healthy"}

    @app.post("/chat")
    def chat(body: dict[str, Any]) -> dict[str, str]:
        with one:
            found = generate(body["prompt"], **body["generate_kwargs"])
        return {"Result": found[0]["generated_text"]}

    return app


if __name__ == "__main__":
    uvicorn.run(build(sys.argv[1], sys.argv[2]), host="127.0.0.1", port=int(sys.argv[3]), log_level="warning")
