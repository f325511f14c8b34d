"""One rendered file: its path, its exact text, the object it holds, and the catalog line it comes from."""

from dataclasses import dataclass
from typing import Any

from generator.finding import Place

Body = dict[str, Any]
"""A Kubernetes object as plain data, as the API server would read it."""


@dataclass(frozen=True, slots=True)
class Document:
    path: str
    """Relative to the repository, with slashes: `clusters/dev/phi-4-mini/workspace.yaml`."""
    text: str
    body: Body
    source: Place

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """API version, kind, namespace and name: what tells two objects of one cluster apart."""
        metadata = self.body.get("metadata", {})
        return (
            self.body.get("apiVersion", ""),
            self.body.get("kind", ""),
            metadata.get("namespace", ""),
            metadata.get("name", ""),
        )
