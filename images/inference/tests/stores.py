"""The services that hold models, as far as a download asks them: the Hub, Blob, Azure ML, and Entra for the tokens."""

import base64
import hashlib
import json
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from tests.internet import Reply, Request, part, said

COMMIT = "a2845d7e13dd12efae154a9f1c63fcc2e0cc4b05"
Files = dict[str, bytes]


def weights(size: int) -> bytes:
    """A safetensors file of one tensor with bytes that differ everywhere."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    data = b"".join(hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(size // 32 + 1))
    return struct.pack("<Q", len(header)) + header + data[:size]


def a_model() -> Files:
    return {"config.json": b'{"model_type": "llama"}', "tokenizer.json": b"{}", "model.safetensors": weights(250_000)}


@dataclass
class Hub:
    """huggingface.co: large files come from another host, by a redirect with a signature in it."""

    files: Files
    page_size: int = 1000

    def __call__(self, request: Request) -> Reply:
        if "/tree/" in request.path:
            return self._tree(request)
        name = request.path.partition(f"/resolve/{COMMIT}/")[2]
        if name not in self.files:
            return Reply(404, headers={"X-Error-Code": "RepoNotFound"})
        if name.endswith(".safetensors"):
            return Reply(302, headers={"Location": f"https://cdn.example.com/{name}?signature=s"})
        return part(request, self.files[name])

    def cdn(self, request: Request) -> Reply:
        return part(request, self.files[request.path.strip("/")])

    def _tree(self, request: Request) -> Reply:
        names, start = list(self.files), int(request.query.get("cursor", 0))
        entries = [{"type": "directory", "path": "sub", "oid": "0"}, *map(self._entry, names[start:][: self.page_size])]
        behind = start + self.page_size
        url = f"https://huggingface.co{request.path}?cursor={behind}"
        return said(entries, headers={"Link": f'<{url}>; rel="next"'} if behind < len(names) else {})

    def _entry(self, path: str) -> Mapping[str, object]:
        content = self.files[path]
        git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        large = {"lfs": {"oid": hashlib.sha256(content).hexdigest()}} if path.endswith(".safetensors") else {}
        return {"type": "file", "path": path, "size": len(content), "oid": git} | large


@dataclass
class Blob:
    """A storage account: lists in pages, and holds a reader to the version that it asked for."""

    files: Files
    prefix: str = "my-model/"
    page_size: int = 2
    tag: str = "0x1"

    def __call__(self, request: Request) -> Reply:
        if request.query.get("comp") == "list":
            return self._list(request)
        name = request.path.removeprefix(f"/models/{self.prefix}")
        if request.headers.get("if-match") != f'"{self.tag}"':
            return Reply(412, headers={"x-ms-error-code": "ConditionNotMet"})
        return part(request, self.files[name]) if name in self.files else Reply(404)

    def _list(self, request: Request) -> Reply:
        names = [name for name in self.files if f"{self.prefix}{name}".startswith(request.query["prefix"])]
        start = int(request.query.get("marker") or 0)
        listed = "".join(map(self._entry, names[start:][: self.page_size]))
        behind = start + self.page_size
        marker = str(behind) if behind < len(names) else ""
        page = f"<EnumerationResults><Blobs>{listed}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
        return Reply(200, page.encode())

    def _entry(self, name: str) -> str:
        content = self.files[name]
        sum_ = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        about = f"<Content-Length>{len(content)}</Content-Length><Content-MD5>{sum_}</Content-MD5>"
        about += f"<Etag>{self.tag}</Etag>"
        return f"<Blob><Name>{escape(self.prefix + name)}</Name><Properties>{about}</Properties></Blob>"


@dataclass
class Entra:
    """Trades a ServiceAccount's token for one of the audience that is asked for."""

    asked: list[Mapping[str, str]] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        self.asked.append(form)
        token = {"token_type": "Bearer", "expires_in": 3600, "access_token": _jwt(form["scope"])}
        return said(token, headers={"Content-Type": "application/json"})


def audience(request: Request) -> str:
    """For which service the request's token is good."""
    _, _, token = request.headers.get("authorization", "").partition(" ")
    words = token.split(".")
    return str(json.loads(base64.urlsafe_b64decode(words[1] + "=="))["aud"]) if len(words) > 1 else token


def _jwt(scope: str) -> str:
    now = int(time.time())
    claims = {"aud": scope.removesuffix("/.default"), "iss": "https://sts.windows.net/a-tenant/", "nbf": now - 60,
              "iat": now - 60, "exp": now + 3600}  # fmt: skip
    words = [base64.urlsafe_b64encode(json.dumps(word).encode()).decode().rstrip("=")
             for word in ({"alg": "RS256", "typ": "JWT"}, claims)]  # fmt: skip
    return ".".join([*words, "signature"])


REGISTRY = {
    "primaryRegionResourceProviderUri": "https://westeurope.api.azureml.ms/",
    "subscriptionId": "a-subscription",
    "resourceGroup": "a-group",
}
DATASTORE = {"datastoreType": "AzureBlob", "accountName": "mlstore", "containerName": "models",
             "endpoint": "core.windows.net", "protocol": "https"}  # fmt: skip


@dataclass
class AzureML:
    """The discovery of registries, a region's own interface, and the management of workspaces."""

    registry: dict[str, str] = field(default_factory=lambda: dict(REGISTRY))
    datastore: dict[str, str] = field(default_factory=lambda: dict(DATASTORE))
    uri: str = "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/store/paths/my-model"
    signed: str = "https://mlregistry.blob.core.windows.net/models?sig=a%2Bsignature&sp=rl"

    def __call__(self, request: Request) -> Reply:
        if request.path.endswith("/discovery"):
            return said(self.registry)
        if "/datarefs/" in request.path:
            credential = {"credentialType": "SAS", "sasUri": self.signed}
            return said({"blobReferenceForConsumption": {"credential": credential}})
        if "/datastores/" in request.path:
            return said({"properties": self.datastore})
        place = (
            "https://mlregistry.blob.core.windows.net/models/my-model" if "/registries/" in request.path else self.uri
        )
        return (
            said({"properties": {"modelUri": place}}) if "/models/my-model/versions/3" in request.path else Reply(404)
        )
