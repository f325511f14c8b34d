"""The agent pools of a real cluster, through Azure's own SDK.

No poller of the SDK is used: each would ask for its own operation every few seconds, and AKS allows two such reads a
second to a whole subscription. A request is over when Azure accepted it; the LIST tells the rest. The SDK retries
nothing either: back-off is the queue's, and a silent second PUT after a lost answer would look like somebody else's
pool.
"""

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from azure.core import MatchConditions
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import (
    AzureError as SdkError,
)
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.mgmt.containerservice.aio import ContainerServiceClient
from azure.mgmt.containerservice.models import AgentPool

from reconciler.azure.port import AzureError, LostError
from reconciler.desired import Desired
from reconciler.errors import Trouble
from reconciler.nodepool import Cluster, Pool

T = TypeVar("T")
REQUEST_SECONDS = 60


def arm_client(credential: AsyncTokenCredential, subscription: str, **options: Any) -> ContainerServiceClient:
    """A client that retries nothing; `options` point tests at a server of theirs."""
    return ContainerServiceClient(
        credential,
        subscription,
        retry_total=0,
        connection_timeout=10,
        read_timeout=REQUEST_SECONDS,
        logging_enable=False,
        **options,
    )


class ArmPools:
    """The port `AgentPools` over one cluster."""

    def __init__(self, client: ContainerServiceClient, group: str, cluster: str) -> None:
        self._client = client
        self._place: dict[str, Any] = {"resource_group_name": group, "resource_name": cluster}

    async def close(self) -> None:
        await self._client.close()

    async def list(self) -> list[Pool]:
        async def every() -> list[Pool]:
            pages = self._client.agent_pools.list(**self._place, **_request())
            return [read_pool(pool.as_dict()) async for pool in pages]

        return await _ask(every)

    async def create(self, pool: Desired) -> None:
        async def begin() -> None:
            await self._client.agent_pools.begin_create_or_update(
                **self._place,
                agent_pool_name=pool.name,
                parameters=body(pool),
                match_condition=MatchConditions.IfMissing,
                polling=False,
                **_request(),
            )

        await _ask(begin)

    async def delete(self, name: str, etag: str) -> None:
        match: dict[str, Any] = {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}

        async def begin() -> None:
            await self._client.agent_pools.begin_delete(
                **self._place, agent_pool_name=name, polling=False, **match, **_request()
            )

        try:
            await _ask(begin)
        except AzureError as error:
            if error.status != HTTPStatus.NOT_FOUND and "Agent Pool not found" not in error.trouble.message:
                raise

    async def tag(self, name: str, etag: str, tags: Mapping[str, str]) -> None:
        """The pool as it is, with more tags: AKS changes tags in place."""

        async def begin() -> None:
            found = await self._client.agent_pools.get(**self._place, agent_pool_name=name, **_request())
            found.tags = {**(found.tags or {}), **tags}
            await self._client.agent_pools.begin_create_or_update(
                **self._place,
                agent_pool_name=name,
                parameters=found,
                etag=etag or found.e_tag or "",
                match_condition=MatchConditions.IfNotModified,
                polling=False,
                **_request(),
            )

        await _ask(begin)

    async def cluster(self) -> Cluster:
        async def get() -> Cluster:
            found = await self._client.managed_clusters.get(**self._place, **_request())
            inner = found.as_dict().get("properties") or {}
            power = (inner.get("powerState") or {}).get("code") or "Running"
            return Cluster(power, inner.get("provisioningState") or "Succeeded")

        return await _ask(get)


def _request() -> dict[str, Any]:
    """Our own id of a request, which Azure's logs keep beside theirs."""
    return {"headers": {"x-ms-client-request-id": str(uuid.uuid4())}}


async def _ask(request: Callable[[], Awaitable[T]]) -> T:
    """Send, and tell in our own words what went wrong."""
    try:
        return await request()
    except ClientAuthenticationError as error:
        if error.response is not None:
            raise _refusal(error) from error
        raise AzureError(Trouble("AuthenticationFailed", _line(error)), 401) from error
    except HttpResponseError as error:
        raise _refusal(error) from error
    except (ServiceRequestError, ServiceResponseError) as error:
        raise LostError(f"no answer from Azure: {_line(error)}") from error
    except SdkError as error:
        raise AzureError(Trouble("CredentialUnavailable", _line(error)), 401) from error


def _refusal(error: HttpResponseError) -> AzureError:
    headers: Mapping[str, str] = getattr(error.response, "headers", {})
    wait = headers.get("Retry-After", "")
    return AzureError(
        _trouble(error),
        error.status_code or 0,
        retry_after=float(wait) if wait.isdecimal() else None,
        correlation=headers.get("x-ms-correlation-request-id", ""),
    )


def _trouble(error: HttpResponseError) -> Trouble:
    """AKS puts code and message below `error`, or at the top; the SDK reads only the first kind."""
    text = error.response.text() if error.response is not None else ""
    found = _json_object(text)
    found = found.get("error", found)
    return read_trouble(found) if "code" in found else Trouble(str(error.status_code or ""), _line(error))


def _json_object(text: str) -> dict[str, Any]:
    """Empty where the text is none: a proxy's page, or nothing."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]


def read_trouble(found: Mapping[str, Any]) -> Trouble:
    details = tuple(read_trouble(each) for each in found.get("details") or () if each)
    return Trouble(str(found.get("code") or ""), str(found.get("message") or ""), details)


def read_pool(found: Mapping[str, Any]) -> Pool:
    """One pool of a LIST, as JSON; what is missing has AKS's own default."""
    inner = found.get("properties") or {}
    wrong = (inner.get("status") or {}).get("provisioningError")
    return Pool(
        name=found["name"],
        state=inner.get("provisioningState") or "",
        etag=inner.get("eTag") or "",
        size=inner.get("vmSize") or "",
        mode=inner.get("mode") or "User",
        power=(inner.get("powerState") or {}).get("code") or "Running",
        spot=inner.get("scaleSetPriority") == "Spot",
        zones=tuple(inner.get("availabilityZones") or ()),
        tags=dict(inner.get("tags") or {}),
        labels=dict(inner.get("nodeLabels") or {}),
        error=read_trouble(wrong) if wrong else None,
    )


def body(pool: Desired) -> AgentPool:
    """What is sent: one node, of a scale set, and only what somebody decided."""
    given, offering = pool.node_class, pool.offering
    fields: dict[str, Any] = {
        "count": 1,
        "type": "VirtualMachineScaleSets",
        "mode": "User",
        "vmSize": offering.size,
        "osType": "Linux",
        "osSKU": pool.os_sku,
        "osDiskSizeGB": pool.os_disk_gib,
        "osDiskType": given.os_disk_type,
        "vnetSubnetID": given.subnet_id,
        "capacityReservationGroupID": given.capacity_reservation_group_id,
        "availabilityZones": list(offering.zones),
        "nodeLabels": dict(pool.labels),
        "nodeTaints": list(pool.taints),
        "tags": dict(pool.tags),
        "gpuProfile": {"driver": given.gpu_driver} if given.gpu_driver else None,
    }
    if offering.spot:
        fields |= {"scaleSetPriority": "Spot", "scaleSetEvictionPolicy": "Delete", "spotMaxPrice": given.spot_max_price}
    return AgentPool({"properties": {key: value for key, value in fields.items() if value not in ("", None, [])}})
