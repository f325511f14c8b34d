"""A repository of the Hugging Face Hub at one commit."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from inference.errors import CANNOT_HEAL, StartError
from inference.fetch.files import Checksum, RemoteFile
from inference.fetch.web import Web

COMMIT = re.compile(r"[0-9a-f]{40}")
REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
TOKEN = re.compile(r"[!-~]*")


@dataclass(frozen=True, slots=True)
class HubRepository:
    """The files of a commit with the checksums that Git and LFS keep."""

    web: Web
    endpoint: str
    repository: str
    commit: str

    def __post_init__(self) -> None:
        if not REPOSITORY.fullmatch(self.repository) or ".." in self.repository:
            raise StartError(f"`{self.repository}` is no repository", "write it as `ORGANIZATION/NAME`")
        if not COMMIT.fullmatch(self.commit):
            raise StartError(f"the revision `{self.commit}` can change", "pin a commit of 40 hexadecimal digits")
        if not TOKEN.fullmatch(_token()):
            raise StartError("`HF_TOKEN` holds more than a token", "check the Secret for line breaks and blanks")

    @property
    def title(self) -> str:
        return f"the repository `{self.repository}` at `{self.commit}`"

    def authorization(self) -> Mapping[str, str]:
        token = _token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def files(self) -> Sequence[RemoteFile]:
        url: str | None = f"{self.endpoint}/api/models/{self.repository}/tree/{self.commit}?recursive=true"
        found: list[RemoteFile] = []
        while url:
            entries, url = self._page(url)
            found += [self._file(entry) for entry in entries if entry.get("type") == "file"]
        return found

    def _page(self, url: str) -> tuple[list[Mapping[str, Any]], str | None]:
        if urlsplit(url)[:2] != urlsplit(self.endpoint)[:2]:
            raise StartError(f"the list of {self.title} goes on at another host, `{urlsplit(url).netloc}`", "",
                             CANNOT_HEAL)  # fmt: skip
        what = f"the list of {self.title}"
        response = self.web.text(what, url, self.authorization)
        try:
            entries = response.json()
        except ValueError as error:
            raise StartError(f"{what} is no JSON", "check `HF_ENDPOINT`", CANNOT_HEAL) from error
        following = response.links.get("next", {}).get("url")
        return entries if isinstance(entries, list) else [], following

    def _file(self, entry: Mapping[str, Any]) -> RemoteFile:
        try:
            path, size, stored = str(entry["path"]), int(entry["size"]), entry.get("lfs")
            sum_ = Checksum("sha256", str(stored["oid"])) if stored else Checksum("git", str(entry["oid"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StartError(f"the list of {self.title} has an entry that is no file", "check `HF_ENDPOINT`",
                             CANNOT_HEAL) from error  # fmt: skip
        url = f"{self.endpoint}/{self.repository}/resolve/{self.commit}/{quote(path)}"
        return RemoteFile(path, size, url, sum_)


def _token() -> str:
    return os.environ.get("HF_TOKEN", "").strip()
