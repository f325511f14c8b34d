"""A folder of an Azure Blob container, by the service's own REST interface."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode
from xml.etree.ElementTree import Element, ParseError, fromstring

from inference.errors import CANNOT_HEAL, StartError
from inference.fetch.files import Authorize, Checksum, RemoteFile
from inference.fetch.web import Web

VERSION = {"x-ms-version": "2021-12-02"}


@dataclass(frozen=True, slots=True)
class BlobFolder:
    """All blobs below a prefix; `signature` is a query that grants access where no identity does."""

    web: Web
    endpoint: str
    container: str
    prefix: str
    authorize: Authorize
    signature: str = ""
    name: str = ""

    @property
    def title(self) -> str:
        return self.name or f"the blob folder `{self.endpoint}/{self.container}/{self.prefix}`"

    def authorization(self) -> Mapping[str, str]:
        return {**VERSION, **self.authorize()}

    def files(self) -> Sequence[RemoteFile]:
        found: list[RemoteFile] = []
        marker = ""
        while True:
            page = self._page(marker)
            found += [file for blob in page.iter("Blob") if (file := self._file(blob))]
            marker = page.findtext("NextMarker") or ""
            if not marker:
                return found

    @property
    def _folder(self) -> str:
        return self.prefix.strip("/") + "/" if self.prefix.strip("/") else ""

    def _page(self, marker: str) -> Element:
        wanted = {"restype": "container", "comp": "list", "prefix": self._folder}
        query = urlencode(wanted | ({"marker": marker} if marker else {}))
        url = f"{self.endpoint}/{self.container}?{query}" + (f"&{self.signature}" if self.signature else "")
        response = self.web.text(f"the list of {self.title}", url, self.authorization)
        try:
            return fromstring(response.content)  # noqa: S314 -- expat bounds entities by itself and opens no file or address
        except ParseError as error:
            raise StartError(f"the list of {self.title} is no XML", "check the account's name", CANNOT_HEAL) from error

    def _file(self, blob: Element) -> RemoteFile | None:
        """A blob as a file; the empty blobs that stand for folders are none."""
        name = blob.findtext("Name") or ""
        path = name.removeprefix(self._folder)
        about = blob.find("Properties")
        if about is None or not path or path.endswith("/") or about.findtext("ResourceType") == "directory":
            return None
        size, tag = about.findtext("Content-Length") or "", about.findtext("Etag") or ""
        if not size.isdigit():
            raise StartError(f"the list of {self.title} gives no size for `{name}`", "", CANNOT_HEAL)
        url = f"{self.endpoint}/{self.container}/{quote(name)}" + (f"?{self.signature}" if self.signature else "")
        held = {"If-Match": tag if tag.startswith('"') else f'"{tag}"'} if tag else {}
        return RemoteFile(path, int(size), url, _md5(about.findtext("Content-MD5")), held)


def _md5(text: str | None) -> Checksum | None:
    """The checksum that the uploader left; large uploads in blocks may have none."""
    try:
        return Checksum("md5", base64.b64decode(text, validate=True).hex()) if text else None
    except (binascii.Error, ValueError):
        return None
