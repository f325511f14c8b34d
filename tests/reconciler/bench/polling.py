"""A straightforward provisioner, written by us as the peer: each operation has a poller of Azure's SDK of its own.

It stands for a design, not for a product: PUT and poll until it is done, GET before each DELETE and poll again, two
LISTs every two minutes in search of garbage. What it is given in advance: it polls as seldom as the SDK does when
nobody says otherwise, every 30 seconds, after a 429 no sooner either, and it is never restarted.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.mgmt.containerservice.models import AgentPool

from tests.fakearm.bench import Bench
from tests.fakearm.server import CLUSTER, GROUP

POLL_SECONDS = 30
GARBAGE_SECONDS = 120.0
PLACE: dict[str, Any] = {"resource_group_name": GROUP, "resource_name": CLUSTER}


class Poller:
    def __init__(self, bench: Bench) -> None:
        self._pools = bench.client.agent_pools

    async def create(self, name: str) -> None:
        body = AgentPool({"properties": {"count": 1, "vmSize": "Standard_NC24ads_A100_v4", "mode": "User"}})
        await self._to_the_end(
            lambda: self._pools.begin_create_or_update(
                **PLACE, agent_pool_name=name, parameters=body, polling_interval=POLL_SECONDS
            )
        )

    async def delete(self, name: str) -> None:
        await self._patiently(lambda: self._pools.get(**PLACE, agent_pool_name=name))
        await self._to_the_end(
            lambda: self._pools.begin_delete(**PLACE, agent_pool_name=name, polling_interval=POLL_SECONDS)
        )

    async def collect_garbage(self) -> None:
        while True:
            await asyncio.sleep(GARBAGE_SECONDS)
            for _ in range(2):  # Its own search, and its framework's for machines without a claim.
                await self._patiently(self._list)

    async def _list(self) -> list[AgentPool]:
        return [each async for each in self._pools.list(**PLACE)]

    async def _to_the_end(self, begin: Any) -> None:
        """A poll that is throttled is polled again, as a framework's retries would."""
        poller = await self._patiently(begin)
        token = poller.continuation_token()
        while True:
            try:
                await poller.result()
            except HttpResponseError as error:
                await asyncio.sleep(_wait(error))
                poller = await self._patiently(
                    lambda: self._pools.begin_delete(
                        **PLACE, agent_pool_name="", continuation_token=token, polling_interval=POLL_SECONDS
                    )
                )
            else:
                return

    async def _patiently(self, request: Any) -> Any:
        while True:
            try:
                return await request()
            except HttpResponseError as error:
                await asyncio.sleep(_wait(error))


def _wait(error: HttpResponseError) -> float:
    """Until the next poll; anything but a 429 is a fault of this bench."""
    headers: Mapping[str, str] = getattr(error.response, "headers", {})
    if error.status_code != 429:
        raise error
    return max(POLL_SECONDS, float(headers.get("Retry-After", "1")))
