"""Who is the pod for Azure? Workload identity: the ServiceAccount's token is traded for one of Entra.

Nothing else is tried. A node's own identity would often answer too, and then a model could be read by pods that were
never given the right.
"""

import os
import threading
from collections.abc import Mapping

from inference.errors import CANNOT_HEAL, StartError
from inference.fetch.files import Authorize
from inference.fetch.web import AGAIN, Again, Web

STORAGE = "https://storage.azure.com/.default"
MANAGEMENT = "https://management.azure.com/.default"
DISCOVERY = "https://ml.azure.com/.default"
VARIABLES = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE")


def bearer(scope: str, web: Web) -> Authorize:
    """A function that gives the header; azure-identity keeps the token until it is about to run out."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError
    from azure.identity import WorkloadIdentityCredential

    _check_environment()
    credential = WorkloadIdentityCredential(retry_total=0)
    lock = threading.Lock()

    def ask() -> str:
        try:
            return credential.get_token(scope).token
        except ClientAuthenticationError as error:
            if error.status_code in AGAIN:
                raise Again(_sentence(error)) from error
            raise StartError(
                f"Entra gives no token: {_sentence(error)}",
                "federate the identity with this pod's ServiceAccount and this cluster's issuer",
                CANNOT_HEAL,
            ) from error
        except AzureError as error:
            raise Again(_sentence(error)) from error

    def header() -> Mapping[str, str]:
        with lock:
            return {"Authorization": f"Bearer {web.persistently('the sign-in', ask)}"}

    return header


def _check_environment() -> None:
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if missing:
        raise StartError(
            f"the pod has no workload identity: {', '.join(f'`{name}`' for name in missing)} is not set",
            'label the pod `azure.workload.identity/use: "true"` and annotate its ServiceAccount', CANNOT_HEAL,
        )  # fmt: skip
    file = os.environ["AZURE_FEDERATED_TOKEN_FILE"]
    if not os.access(file, os.R_OK):
        raise StartError(f"the pod's token `{file}` cannot be read", "check the volume that the webhook mounts",
                         CANNOT_HEAL)  # fmt: skip


def _sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip()
