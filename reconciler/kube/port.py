"""What do we ask of the API server, and how may it fail?

Each write names the version that it was decided upon, so a write after a change of somebody else's fails instead of
undoing it. `reconciler.kube.api` speaks to a real server; the tests also have one in memory.
"""

from typing import Any, Protocol

from reconciler.runtime.elector import Leases
from reconciler.runtime.reflector import Source

Object = dict[str, Any]


class KubeError(Exception):
    """No answer, or a refusal that is neither of those below."""

    def __init__(self, message: str, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class ConflictError(KubeError):
    """Somebody else wrote the object since: read it again."""


class GoneError(KubeError):
    """There is no such object, or none with that UID."""


class BlockedError(KubeError):
    """A PodDisruptionBudget does not allow this eviction now."""


class Kube(Protocol):
    """The API server as the reconciler uses it; an object comes back from each write as it is then."""

    def claims(self) -> Source: ...

    def nodes(self) -> Source: ...

    def leases(self) -> Leases: ...

    async def cluster_id(self) -> str:
        """What tells this Kubernetes cluster from all others: the UID of its namespace `kube-system`."""

    async def list_claims(self) -> list[Object]:
        """All of them as they are now, past every cache."""

    async def read_claim(self, name: str) -> Object:
        """As it is now, past every cache."""

    async def patch_claim(self, name: str, version: str, patch: Object) -> Object:
        """A merge patch of metadata."""

    async def patch_claim_status(self, name: str, version: str, patch: Object) -> Object: ...

    async def delete_claim(self, name: str, uid: str) -> None: ...

    async def patch_node(self, name: str, version: str, patch: Object) -> Object: ...

    async def delete_node(self, name: str, uid: str) -> None: ...

    async def pods_on(self, node: str) -> list[Object]: ...

    async def evict(self, pod: Object) -> None:
        """Ask for an eviction; `BlockedError` when a budget forbids it now."""

    async def delete_pod(self, pod: Object, grace_seconds: int) -> None: ...

    async def attachments_on(self, node: str) -> list[Object]:
        """The VolumeAttachments of a Node."""

    async def volume(self, name: str) -> Object:
        """A PersistentVolume."""

    async def record(self, event: Object) -> None:
        """Create a Kubernetes event."""
