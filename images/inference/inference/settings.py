"""What an operator may choose, after the flags of every entry point have been read into one shape."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Pipeline = Literal["text-generation", "conversational"]
Quantization = Literal["4bit", "8bit"]

PORT = 5000
MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """How much work is taken at once; what goes beyond is refused, not queued without end."""

    running: int = 32
    queued: int = 256
    body_bytes: int = MEBIBYTE
    request_seconds: float = 600.0
    drain_seconds: float = 25.0
    choices: int = 16
    prompts: int = 64


@dataclass(frozen=True, slots=True)
class Front:
    """Everything of the HTTP side."""

    host: str = "0.0.0.0"  # noqa: S104 -- Service and probes reach a pod by its address
    port: int = PORT
    pipeline: Pipeline = "text-generation"
    api_key_file: Path | None = None
    log_level: str = "INFO"
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Which model the transformers engine loads, and how."""

    source: str
    names: tuple[str, ...] = ()
    revision: str | None = None
    trust_remote_code: bool = False
    allow_remote_files: bool = False
    dtype: str = "auto"
    device_map: str = "auto"
    quantization: Quantization | None = None
    chat_template: str | None = None
    cache_dir: Path | None = None
    adapters_dir: Path = Path("/mnt/adapter")
    combination_type: str = "svd"
    mode: Literal["auto", "continuous", "serial"] = "auto"
    cache_bytes: int | None = None
    max_model_len: int | None = None

    @property
    def local(self) -> bool:
        return Path(self.source).is_absolute() or Path(self.source).is_dir()
