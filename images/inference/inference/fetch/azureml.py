"""Where does Azure Machine Learning keep a model: in a workspace's datastore, or in a registry's own container?

Both end in a folder of a blob container. A workspace says which datastore, and the pod's identity reads it; a registry
hands out a signature for the container that it owns. Addresses that the service names are taken only where they belong
to Azure, since a token or the model's files go through them.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from inference.errors import CANNOT_HEAL, StartError
from inference.fetch.blob import BlobFolder
from inference.fetch.files import Authorize
from inference.fetch.web import Web

MANAGEMENT = "https://management.azure.com"
DISCOVERY = "https://eastus.api.azureml.ms"
"""Every region's endpoint knows every registry."""
REGIONS = ".api.azureml.ms"
STORAGE = "core.windows.net"
API = "2023-04-01"
REGISTRY_API = "2021-10-01-dataplanepreview"
PROVIDER = "providers/Microsoft.MachineLearningServices"
CONTAINER_FIELDS = {"AzureBlob": "containerName", "AzureDataLakeGen2": "filesystem"}
_DATASTORE = re.compile(r".*/datastores/(?P<store>[^/]+)/paths/(?P<path>.+)")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")


@dataclass(frozen=True, slots=True)
class Workspace:
    subscription: str
    group: str
    name: str


@dataclass(frozen=True, slots=True)
class AzureML:
    """The two interfaces of the service, and who asks them."""

    web: Web
    discovery: Authorize
    management: Authorize

    def in_workspace(self, workspace: Workspace, model: str, version: str, storage: Authorize) -> BlobFolder:
        """The model's folder in its workspace's datastore."""
        title = f"the model `{model}` version `{version}` of the workspace `{workspace.name}`"
        home = f"{MANAGEMENT}/subscriptions/{quote(workspace.subscription, '')}/resourceGroups/"
        home += f"{quote(workspace.group, '')}/{PROVIDER}/workspaces/{quote(workspace.name, '')}"
        uri = self._model_uri(f"{home}/models/{_asset(model, version)}?api-version={API}", title)
        found = _DATASTORE.fullmatch(uri)
        if not found:
            raise StartError(f"{title} lies at `{uri}`, which is no path of a datastore",
                             "register it from a datastore", CANNOT_HEAL)  # fmt: skip
        store = self._ask(f"{home}/datastores/{quote(found['store'], '')}?api-version={API}", "the datastore")
        endpoint, container = _container(found["store"], _mapping(store.get("properties")))
        return BlobFolder(self.web, endpoint, container, found["path"], storage, name=title)

    def in_registry(self, registry: str, model: str, version: str) -> BlobFolder:
        """The model's folder in the container of its registry."""
        title = f"the model `{model}` version `{version}` of the registry `{registry}`"
        home = self._registry_home(registry)
        uri = self._model_uri(f"{home}/models/{_asset(model, version)}?api-version={REGISTRY_API}", title)
        wanted = {"assetId": f"azureml://registries/{registry}/models/{model}/versions/{version}", "blobUri": uri}
        granted = self._ask(f"{home}/datarefs/{_asset(model, version)}?api-version={REGISTRY_API}", title, wanted)
        reference = _mapping(granted.get("blobReferenceForConsumption"))
        signed = urlsplit(str(_mapping(reference.get("credential")).get("sasUri") or reference.get("blobUri") or ""))
        container, _, inner = signed.path.strip("/").partition("/")
        if not container or not _of_azure(signed.hostname or "", STORAGE):
            raise StartError(f"the registry `{registry}` gives no access to the files of `{model}`",
                             "give the pod's identity the role `AzureML Registry User`", CANNOT_HEAL)  # fmt: skip
        folder = inner or urlsplit(uri).path.strip("/").partition("/")[2]
        endpoint = f"{signed.scheme}://{signed.netloc}"
        return BlobFolder(self.web, endpoint, container, unquote(folder), dict, signed.query, title)

    def _registry_home(self, registry: str) -> str:
        url = f"{DISCOVERY}/registrymanagement/v1.0/registries/{quote(registry, '')}/discovery"
        about = self.web.json(f"the registry `{registry}`", url, self.discovery)
        region, subscription, group = (
            str(_mapping(about).get(field) or "")
            for field in ("primaryRegionResourceProviderUri", "subscriptionId", "resourceGroup")
        )
        host = urlsplit(region).hostname or ""
        if not (host.endswith(REGIONS) and subscription and group):
            raise StartError(f"Azure ML does not say where the registry `{registry}` lives", "check its name",
                             CANNOT_HEAL)  # fmt: skip
        home = f"https://{host}/mferp/managementfrontend/subscriptions/{quote(subscription, '')}"
        return f"{home}/resourceGroups/{quote(group, '')}/{PROVIDER}/registries/{quote(registry, '')}"

    def _model_uri(self, url: str, title: str) -> str:
        properties = _mapping(self._ask(url, title).get("properties"))
        uri = properties.get("modelUri") or properties.get("path")
        if not isinstance(uri, str):
            raise StartError(f"Azure ML does not say where {title} lies", "register the model's folder", CANNOT_HEAL)
        return uri

    def _ask(self, url: str, what: str, body: object = None) -> dict[str, Any]:
        return _mapping(self.web.json(what, url, self.management, body))


def _container(store: str, about: dict[str, Any]) -> tuple[str, str]:
    """Endpoint and container of a datastore, by its account's public name."""
    field = CONTAINER_FIELDS.get(str(about.get("datastoreType")))
    account, endpoint = str(about.get("accountName") or ""), str(about.get("endpoint") or STORAGE)
    if field is None or not about.get(field):
        raise StartError(f"the datastore `{store}` is no blob container", "use a blob datastore", CANNOT_HEAL)
    if endpoint != STORAGE or not _ACCOUNT.fullmatch(account):
        raise StartError(f"the datastore `{store}` lies at `{account}.blob.{endpoint}`, which is not Azure's",
                         "use an account of Azure's public cloud", CANNOT_HEAL)  # fmt: skip
    return f"https://{account}.blob.{endpoint}", str(about[field])


def _of_azure(host: str, domain: str) -> bool:
    return host.endswith("." + domain)


def _asset(model: str, version: str) -> str:
    return f"{quote(model, '')}/versions/{quote(version, '')}"


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
