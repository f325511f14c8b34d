"""How does the reconciler sign in to Azure? By the one way that it was told, without trying others."""

from azure.core.credentials_async import AsyncTokenCredential
from azure.identity.aio import AzureCliCredential, ManagedIdentityCredential, WorkloadIdentityCredential

from reconciler.settings import Settings, SettingsError


def credential(settings: Settings) -> AsyncTokenCredential:
    """The credential that the settings name.

    Raises:
        SettingsError: workload identity is not set up for this pod.
    """
    client = settings.client_id or None
    if settings.credential == "cli":
        return AzureCliCredential()
    if settings.credential == "managed-identity":
        return ManagedIdentityCredential(client_id=client)
    try:
        return WorkloadIdentityCredential(client_id=client)
    except ValueError as error:
        cause = " ".join(str(error).split())
        raise SettingsError([f"{_HOW} ({cause})"]) from error


_HOW = (
    "`--credential workload-identity` needs `AZURE_CLIENT_ID`, `AZURE_TENANT_ID` and `AZURE_FEDERATED_TOKEN_FILE`:"
    " label"
    " the pod `azure.workload.identity/use: true`, or choose another credential"
)
