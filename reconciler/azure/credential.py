"""How does the reconciler sign in to Azure? By the one way that it was told, without trying others."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError as SdkError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.identity.aio import AzureCliCredential, ManagedIdentityCredential, WorkloadIdentityCredential
from azure.mgmt.core.policies import AsyncARMChallengeAuthenticationPolicy

from reconciler.azure.answer import line
from reconciler.azure.port import AzureError
from reconciler.clock import loop_time
from reconciler.errors import Trouble
from reconciler.settings import Settings, SettingsError

RENEW_SECONDS = 60.0


def credential(settings: Settings, **options: Any) -> AsyncTokenCredential:
    """The credential that the settings name; `options` point tests at their server.

    Raises:
        SettingsError: workload identity is not set up for this pod.
    """
    if settings.client_id:
        options["client_id"] = settings.client_id
    if settings.credential == "cli":
        return AzureCliCredential()
    if settings.credential == "managed-identity":
        return ManagedIdentityCredential(**options)
    try:
        return WorkloadIdentityCredential(**options)
    except ValueError as error:
        raise SettingsError([f"{_HOW} ({line(error)})"]) from error


_HOW = (
    "`--credential workload-identity` needs `AZURE_CLIENT_ID`, `AZURE_TENANT_ID` and `AZURE_FEDERATED_TOKEN_FILE`:"
    " label the pod `azure.workload.identity/use: true`, or choose another credential"
)


class Renewing(AsyncTokenCredential):
    """A credential that can forget its tokens: the SDK's own keep one until it expires, even if Azure refuses it.

    So whoever mends an identity, or makes it anew, need not restart us, nor wait for a day.
    """

    def __init__(self, make: Callable[[], AsyncTokenCredential]) -> None:
        self._make = make
        self._inner = make()
        self._renewed = float("-inf")

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return await self._inner.get_token(*scopes, **options)

    async def renew(self) -> None:
        """Not more often than every `RENEW_SECONDS`: what is refused for long is not refused for its age."""
        if loop_time() - self._renewed < RENEW_SECONDS:
            return
        self._renewed = loop_time()
        old, self._inner = self._inner, self._make()
        await old.close()

    async def close(self) -> None:
        await self._inner.close()

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self.close()


class SignIn(AsyncARMChallengeAuthenticationPolicy):
    """Tells a sign-in that failed from a request that did: nothing was sent, and the words are those of the sign-in.

    Otherwise a missing token file would be an error of the operating system that nobody expects, a token service out of
    reach a lost request, and the no of Microsoft Entra one of ARM.
    """

    async def on_request(self, request: PipelineRequest[Any]) -> None:
        with _signing_in():
            await super().on_request(request)

    async def on_challenge(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> bool:
        """Azure refuses the token, as 401."""
        if isinstance(self._credential, Renewing):
            await self._credential.renew()
        return await super().on_challenge(request, response)

    async def authorize_request(self, request: PipelineRequest[Any], *scopes: str, **options: Any) -> None:
        with _signing_in():
            await super().authorize_request(request, *scopes, **options)


@contextmanager
def _signing_in() -> Iterator[None]:
    try:
        yield
    except (SdkError, OSError, ValueError) as error:
        raise AzureError(Trouble("CredentialUnavailable", line(error)), 401) from error
