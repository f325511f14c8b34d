"""What do we ask of AKS, and how may it fail?

`reconciler.azure.arm` asks the real one, `reconciler.simulate` is one in memory; the rest of the program knows neither.
No request waits for its operation to end: what comes of it is in the next LIST.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Protocol

from reconciler.desired import Desired
from reconciler.errors import Trouble
from reconciler.nodepool import Cluster, Pool


class AzureError(Exception):
    """Azure answered, and said no."""

    def __init__(
        self, trouble: Trouble, status: int, *, retry_after: float | None = None, correlation: str = ""
    ) -> None:
        super().__init__(f"{status} {trouble.code}: {trouble.message}")
        self.trouble = trouble
        self.status = status
        self.retry_after = retry_after
        self.correlation = correlation
        """Azure's own id of the request: what its support asks for."""

    @property
    def throttled(self) -> bool:
        return self.status == HTTPStatus.TOO_MANY_REQUESTS

    @property
    def changed(self) -> bool:
        """The condition of the request was not met: look again, it is neither success nor failure."""
        return self.status == HTTPStatus.PRECONDITION_FAILED or self.trouble.code in (
            "PreconditionFailed",
            "OriginalEtagNotExpect",
        )


class LostError(Exception):
    """No answer came, so the request may have taken effect, or may yet."""


class AgentPools(Protocol):
    """The agent pools of one cluster; each request raises `AzureError` or `LostError` when it fails."""

    async def list(self) -> list[Pool]:
        """Every pool, never a part of them."""

    async def create(self, pool: Desired) -> None:
        """Begin to create it if there is none of its name; otherwise the error says `changed`."""

    async def delete(self, name: str, etag: str) -> None:
        """Begin to delete it if it is still the one with this etag; one that is gone is no error."""

    async def tag(self, name: str, etag: str, tags: Mapping[str, str]) -> None:
        """Add tags to it if it is still the one with this etag, and change nothing else."""

    async def cluster(self) -> Cluster: ...
