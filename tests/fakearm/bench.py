"""A scenario on both ends of the wire: the fake ARM, and the reconciler's own adapter that talks to it."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.mgmt.containerservice.aio import ContainerServiceClient

from reconciler.azure.arm import ArmPools, arm_client
from reconciler.azure.credential import SignIn
from tests.fakearm.aks import FakeAks
from tests.fakearm.loop import Wire, run_virtually
from tests.fakearm.server import CLUSTER, GROUP, SUBSCRIPTION, WIRE_HEADER, FakeArm

T = TypeVar("T")
SCOPE = "https://management.azure.com/.default"


@dataclass
class Tokens(AsyncTokenCredential):
    """A credential that hands out what a test says, the last one for ever."""

    given: list[str] = field(default_factory=lambda: ["good"])
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        self.asked.append({"scopes": scopes, **options})
        token = self.given.pop(0) if len(self.given) > 1 else self.given[0]
        return AccessToken(token, int(time.time()) + 3600)

    async def close(self) -> None:
        pass

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        pass


class LoopbackSignIn(SignIn):
    """The reconciler's own, over plain HTTP, which the SDK refuses otherwise; and the loop hears what is on its way."""

    def __init__(self, credential: AsyncTokenCredential, wire: Wire) -> None:
        super().__init__(credential, SCOPE)
        self._wire = wire

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        key = request.http_request.headers[WIRE_HEADER] = str(uuid.uuid4())
        with self._wire.sending(key):
            response = await super().send(request)
            if response.http_response.headers.get("Content-Length", "0") != "0":  # The SDK cannot read nothing twice.
                await response.http_response.read()
            return response

    async def on_request(self, request: PipelineRequest[Any]) -> None:
        request.context.options["enforce_https"] = False
        await super().on_request(request)


@dataclass
class Bench:
    arm: FakeArm
    client: ContainerServiceClient
    pools: ArmPools

    @property
    def aks(self) -> FakeAks:
        return self.arm.aks

    @asynccontextmanager
    async def signed_in(self, credential: AsyncTokenCredential) -> AsyncIterator[ArmPools]:
        """The same cluster, by another credential."""
        pools = ArmPools(loopback_client(self.arm, self.arm.wire, credential), GROUP, CLUSTER)
        try:
            yield pools
        finally:
            await pools.close()

    def another(self, group: str = GROUP, cluster: str = CLUSTER) -> ArmPools:
        """The same client, told another cluster."""
        return ArmPools(self.client, group, cluster)


def run_over_http(
    scenario: Callable[[Bench], Awaitable[T]],
    credential: AsyncTokenCredential | None = None,
    *,
    subscription: str = SUBSCRIPTION,
) -> T:
    """Run it in virtual time, with a fresh cluster."""
    wire = Wire()

    async def main() -> T:
        arm = FakeArm(FakeAks(asyncio.get_running_loop().time), wire)
        async with arm.serving():
            client = loopback_client(arm, wire, credential or Tokens(), subscription)
            bench = Bench(arm, client, ArmPools(client, GROUP, CLUSTER))
            try:
                return await scenario(bench)
            finally:
                await bench.pools.close()

    return run_virtually(main(), wire)


def loopback_client(
    arm: FakeArm, wire: Wire, credential: AsyncTokenCredential, subscription: str = SUBSCRIPTION
) -> ContainerServiceClient:
    return arm_client(
        credential, subscription, authentication_policy=LoopbackSignIn(credential, wire), base_url=arm.url
    )
