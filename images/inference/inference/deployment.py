"""The one model that this process serves, and how far it is: loading, ready, draining or failed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from inference.engine.protocol import Engine
from inference.errors import RequestError, StartError
from inference.text.tokenizer import Tokenizer

RETRY_SECONDS = 5


class Phase(StrEnum):
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Served:
    """A loaded model with all that its requests need."""

    engine: Engine
    tokenizer: Tokenizer
    names: tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    root: str = ""
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        both = sorted(set(self.names) & set(self.engine.capabilities.adapters))
        if both:
            raise StartError(
                f"`{both[0]}` is the name of the model and of an adapter, so that no request could ask for both",
                "give the model another `--served_model_name`, or the adapter's folder another name",
            )

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def every_name(self) -> tuple[str, ...]:
        """What clients may ask for: the model's names and its adapters'."""
        return (*self.names, *self.engine.capabilities.adapters)

    def adapter(self, asked: str | None) -> str | None:
        """The adapter that a request's `model` names; None for the model itself."""
        if not asked or asked in self.names:
            return None
        if asked in self.engine.capabilities.adapters:
            return asked
        known = ", ".join(f"`{name}`" for name in self.every_name)
        raise RequestError(
            f"the model `{asked}` is not served here, only {known}", "model", status=404, code="model_not_found"
        )


class Deployment:
    """What probes look at, and every request first."""

    def __init__(self) -> None:
        self.phase = Phase.LOADING
        self.reason = ""
        self.exit_code = 0
        self._served: Served | None = None

    def ready(self, served: Served) -> None:
        self._served = served
        self.phase = Phase.READY

    def drain(self) -> None:
        if self.phase is not Phase.FAILED:
            self.phase = Phase.DRAINING

    def fail(self, reason: str, exit_code: int) -> None:
        """Nothing comes back from here: the process ends with this code, the reason in its last line."""
        self.phase, self.reason, self.exit_code = Phase.FAILED, reason, exit_code

    @property
    def loaded(self) -> Served | None:
        return self._served

    def require(self) -> Served:
        """The model, or a 503 that says why there is none to ask."""
        if self._served is None or self.phase is not Phase.READY:
            raise RequestError(
                f"the server is {self.phase}", status=503, code=f"server_{self.phase}", retry_after=RETRY_SECONDS
            )
        return self._served
