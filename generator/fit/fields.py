"""Whole numbers of a model's `config.json`: all that is missing is said at once, and nothing is guessed."""

import json
from collections.abc import Mapping
from typing import Any

from generator.fit.shape import UnknownShapeError

Config = Mapping[str, Any]
LARGEST = 10**9
"""No figure of a config is larger."""


class Fields:
    """Whole numbers of a config; remembers those that are missing or wrong, so that all are said at once."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.missing: list[str] = []

    def number(self, *names: str) -> int:
        """The first of the names that is there; 1 in place of one that is missing, until `check` says so."""
        for name in names:
            found = self.optional(name)
            if found == 0:
                raise UnknownShapeError(f"`{name}` must be at least 1, but is 0")
            if found is not None:
                return found
        self.missing.append(f"`{names[0]}`")
        return 1

    def optional(self, name: str) -> int | None:
        value = self.config.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
            shown = json.dumps(value, default=str)[:40]
            raise UnknownShapeError(f"`{name}` must be a whole number of at most {LARGEST:,}, but is `{shown}`")
        return value

    def either(self, name: str, otherwise: int) -> int:
        """The field, or what stands for one that is not there; a model without any of it is none."""
        written = self.optional(name)
        found = otherwise if written is None else written
        if found < 1:
            raise UnknownShapeError(f"`{name}` must be at least 1, but is {found}")
        return found

    def check(self) -> None:
        if self.missing:
            raise UnknownShapeError(f"it lacks {', '.join(dict.fromkeys(self.missing))}")
