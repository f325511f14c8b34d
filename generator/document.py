"""One rendered file: its path, its exact text, the object it holds, and the catalog line it comes from."""

from collections.abc import Callable
from typing import Any

from generator.finding import Place

Body = dict[str, Any]
"""A Kubernetes object as plain data, as the API server would read it."""


class Document:
    """One file; its object is drawn when somebody first asks, since writing thousands of files needs none of them."""

    __slots__ = ("_body", "path", "source", "text")

    def __init__(self, path: str, text: str, body: Body | Callable[[], Body], source: Place) -> None:
        self.path = path
        """Relative to the repository, with slashes: `clusters/dev/phi-4-mini/workspace.yaml`."""
        self.text = text
        self.source = source
        self._body = body

    @property
    def body(self) -> Body:
        if callable(self._body):
            self._body = self._body()
        return self._body

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
