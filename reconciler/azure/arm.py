"""The agent pools of a real cluster, through Azure's own SDK.

No poller of the SDK is used: each would ask for its own operation every few seconds, and AKS allows two such reads a
second to a whole subscription. A request is over when Azure accepted it; the LIST tells the rest.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import aiohttp
from azure.core import MatchConditions
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import (
    AsyncHTTPPolicy,
    ContentDecodePolicy,
    CustomHookPolicy,
    HeadersPolicy,
    RequestIdPolicy,
    SansIOHTTPPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.settings import settings as sdk
from azure.mgmt.containerservice.aio import ContainerServiceClient
from azure.mgmt.containerservice.models import AgentPool
from azure.mgmt.core.tools import get_arm_endpoints

from reconciler.azure.answer import ask, precondition_failed, read_trouble
from reconciler.azure.credential import SignIn
from reconciler.azure.port import AzureError, LostError
from reconciler.desired import Desired
from reconciler.nodepool import Cluster, Pool

CONNECT_SECONDS = 10
Authentication = AsyncHTTPPolicy[Any, Any] | SansIOHTTPPolicy[Any, Any]


def arm_client(
    credential: AsyncTokenCredential,
    subscription: str,
    *,
    authentication_policy: Authentication | None = None,
    **options: Any,
) -> ContainerServiceClient:
    """A client that sends each request once, made within the event loop; the last two point tests at their server.

    It has fewer policies than the SDK would give it. Left out are the one that sends again what failed: back-off is the
    queue's, and a second PUT after a lost answer looks like somebody else's pool; the one that follows redirects; and
    the one that registers AKS with the subscription where it is not, and waits for that.
    """
    scopes = get_arm_endpoints(sdk.azure_cloud())["credential_scopes"]
    return ContainerServiceClient(
        credential,
        subscription,
        policies=[
            RequestIdPolicy(),
            HeadersPolicy(),
            UserAgentPolicy(user_agent="kaitops-reconciler"),
            ContentDecodePolicy(),
            authentication_policy or SignIn(credential, *scopes),
            CustomHookPolicy(),
        ],
        transport=AioHttpTransport(session=_session(), connection_timeout=CONNECT_SECONDS),
        **options,
    )


def _session() -> aiohttp.ClientSession:
    """As the SDK makes it, but for one thing: aiohttp sends a PUT or DELETE again when the connection breaks."""
    return aiohttp.ClientSession(
        middlewares=(_once,), auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar(), trust_env=True
    )


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(f"the connection broke: {error}") from error


class ArmPools:
    """The port `AgentPools` over one cluster."""

    def __init__(self, client: ContainerServiceClient, group: str, cluster: str) -> None:
        self._client = client
        self._place: dict[str, Any] = {"resource_group_name": group, "resource_name": cluster}

    async def close(self) -> None:
        await self._client.close()

    async def list(self) -> list[Pool]:
        async def every() -> list[Pool]:
            pages = self._client.agent_pools.list(**self._place, raw_response_hook=_whole)
            return [read_pool(pool.as_dict()) async for pool in pages]

        return await ask(every)

    async def create(self, pool: Desired) -> None:
        async def begin() -> None:
            begun = await self._client.agent_pools.begin_create_or_update(
                **self._place,
                agent_pool_name=pool.name,
                parameters=body(pool),
                match_condition=MatchConditions.IfMissing,
                polling=False,
            )
            await begun.result()  # Waits for nothing: it reads the answer, which may be no pool but a gateway's page.

        await ask(begin)

    async def delete(self, name: str, etag: str) -> None:
        match: dict[str, Any] = {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}

        async def begin() -> None:
            await self._client.agent_pools.begin_delete(**self._place, agent_pool_name=name, polling=False, **match)

        try:
            await ask(begin)
        except AzureError as error:
            if not _pool_is_gone(error):
                raise

    async def tag(self, name: str, etag: str, tags: Mapping[str, str]) -> None:
        """The pool as it is, with more tags: AKS changes tags in place."""

        async def begin() -> None:
            found = await self._client.agent_pools.get(**self._place, agent_pool_name=name)
            found.tags = {**(found.tags or {}), **tags}
            condition = etag or found.e_tag
            if not condition:  # The SDK would send no condition at all, and make the pool again if it is gone.
                raise precondition_failed(f"node pool `{name}` has no etag")
            await self._client.agent_pools.begin_create_or_update(
                **self._place,
                agent_pool_name=name,
                parameters=found,
                etag=condition,
                match_condition=MatchConditions.IfNotModified,
                polling=False,
            )

        await ask(begin)

    async def cluster(self) -> Cluster:
        async def get() -> Cluster:
            found = await self._client.managed_clusters.get(**self._place)
            return read_cluster(found.as_dict())

        return await ask(get)


def _whole(response: PipelineResponse[Any, Any]) -> None:
    """The SDK reads a page without `value` as an empty one, and pools missing from a LIST count as gone."""
    answer = response.http_response
    if answer.status_code != HTTPStatus.OK:
        return
    found = answer.json()
    pools = found.get("value") if isinstance(found, dict) else None
    if not isinstance(pools, list) or not all(map(_is_pool, pools)):
        raise LostError("Azure sent a page of the LIST that holds no node pools as it should")


def _is_pool(found: Any) -> bool:
    return isinstance(found, dict) and bool(found.get("name")) and isinstance(found.get("properties"), dict)


def _pool_is_gone(error: AzureError) -> bool:
    """And not the cluster, the resource group or the subscription, which have codes of their own."""
    trouble = error.trouble
    if "Agent Pool not found" in trouble.message:
        return True
    return error.status == HTTPStatus.NOT_FOUND and (trouble.code == "NotFound" or "/agentPools/" in trouble.message)


def read_cluster(found: Mapping[str, Any]) -> Cluster:
    inner = found.get("properties") or {}
    power = (inner.get("powerState") or {}).get("code")
    return Cluster(power or "Running", inner.get("provisioningState") or "Succeeded")


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
