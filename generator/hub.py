"""The model hub over HTTP: one repository's commit, licence and small files.

Only reading, only a few kilobytes, with timeouts and bounds: the answers are a stranger's. The token (`HF_TOKEN`) goes
to the hub's own host alone, never along a redirect to another, never over plain HTTP beyond this machine, and into no
message.
"""

import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.parse import quote, urlsplit

from generator.finding import CannotRunError

PUBLIC = "https://huggingface.co"
TIMEOUT = 15.0
"""Seconds of silence after which the hub does not answer."""
DEADLINE = 60.0
"""Seconds for one answer as a whole, however steadily it drips."""
CHUNK = 1 << 16
COMMIT = re.compile(r"[0-9a-f]{40}")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Described:
    """What the hub says of a repository at one commit."""

    commit: str
    license: str
    """Empty where its card names none."""
    gated: bool
    private: bool
    sizes: Mapping[str, int]
    """Bytes of the files at the top."""

    @property
    def weights_bytes(self) -> int:
        """Bytes of the safetensors that an engine loads; copies in another layout (`consolidated`) do not count."""
        files = {name: size for name, size in self.sizes.items() if name.endswith(".safetensors")}
        usual = [size for name, size in files.items() if not name.startswith("consolidated")]
        return sum(usual or files.values())


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub, and the token for it; `from_environment` is how commands get one."""

    endpoint: str
    token: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls) -> "Hub":
        """The hub of `HF_ENDPOINT`, with the token of `HF_TOKEN`.

        Raises:
            CannotRunError: the endpoint is no URL of a hub, or would carry the token over a network in plain.
        """
        endpoint = (os.environ.get("HF_ENDPOINT") or PUBLIC).rstrip("/")
        token = os.environ.get("HF_TOKEN", "").strip()
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise CannotRunError("`HF_ENDPOINT` is no URL of a hub", f"e.g. `HF_ENDPOINT={PUBLIC}`, or unset it")
        if token and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise CannotRunError("`HF_TOKEN` would travel in plain to `HF_ENDPOINT`", "use `https://`, or unset it")
        if not token.isascii() or any(sign.isspace() for sign in token):
            raise CannotRunError("`HF_TOKEN` holds characters that no token has", "set it anew, without its quotes")
        return cls(endpoint, token)

    def describe(self, repository: str, revision: str = "main") -> Described:
        """The repository at a branch, tag or commit.

        Raises:
            CannotRunError: the hub does not answer, or not with a commit.
        """
        path = f"/api/models/{quote(repository)}/revision/{quote(revision, safe='')}?blobs=true"
        data = self._json(path, repository)
        commit = data.get("sha")
        if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
            raise CannotRunError(f"the hub names no commit of `{repository}`", "pin one with `--revision`")
        return Described(
            commit=commit,
            license=_license(data),
            gated=data.get("gated") not in (False, None),
            private=data.get("private") is True,
            sizes=_sizes(data.get("siblings")),
        )

    def file(self, repository: str, commit: str, name: str, most: int) -> bytes:
        """One file at a commit, of at most `most` bytes."""
        return self._get(f"/{quote(repository)}/resolve/{commit}/{quote(name)}", repository, most)

    def _json(self, path: str, repository: str) -> Mapping[str, Any]:
        try:
            data = json.loads(self._get(path, repository, 32 << 20))
        except (ValueError, RecursionError) as error:
            raise CannotRunError(f"the hub's answer about `{repository}` is no JSON", _OTHER_WAY) from error
        if not isinstance(data, dict):
            raise CannotRunError(f"the hub's answer about `{repository}` is no JSON object", _OTHER_WAY)
        return data

    def _get(self, path: str, repository: str, most: int) -> bytes:
        request = urllib.request.Request(self.endpoint + path, headers={"User-Agent": "kaitops"})  # noqa: S310 - http or https, see from_environment
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.build_opener(_Redirects()).open(request, timeout=TIMEOUT) as answer:
                return _bounded(answer, most, repository)
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error, repository, has_token=bool(self.token)) from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            why = "it does not answer in time" if isinstance(reason, TimeoutError) else str(reason).lower()
            raise CannotRunError(f"cannot ask the hub about `{repository}`: {why}", _OTHER_WAY) from None


_OTHER_WAY = "give its files yourself with `--config` and `--index`"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows the hub to another place, but takes the token to no other host, and leaves https for nothing."""

    def redirect_request(  # noqa: PLR0917 - urllib's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        here, there = urlsplit(req.full_url), urlsplit(newurl)
        if there.scheme not in {"https", here.scheme}:
            raise urllib.error.URLError("it sends us from https to somewhere less safe")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request and (here.scheme, here.netloc) != (there.scheme, there.netloc):
            request.remove_header("Authorization")
        return request


def _bounded(answer: IO[bytes], most: int, repository: str) -> bytes:
    """The whole body, if it is not too large and does not take too long."""
    end = time.monotonic() + DEADLINE
    chunks, size = [], 0
    while chunk := answer.read(CHUNK):
        size += len(chunk)
        chunks.append(chunk)
        if size > most:
            raise CannotRunError(f"the hub's answer about `{repository}` has more than {most:,} bytes", _OTHER_WAY)
        if time.monotonic() > end:
            raise CannotRunError(f"the hub's answer about `{repository}` takes too long", _OTHER_WAY)
    return b"".join(chunks)


def _refusal(error: urllib.error.HTTPError, repository: str, *, has_token: bool) -> CannotRunError:
    if error.code in {401, 403}:
        hint = (
            "accept its terms on its page, with the account of `HF_TOKEN`"
            if has_token
            else "check the name; for a gated or private one, accept its terms and set `HF_TOKEN`"
        )
        return CannotRunError(f"the hub gives no access to `{repository}` ({error.code})", hint)
    if error.code == 404:  # noqa: PLR2004 - HTTP's own number
        return CannotRunError(f"the hub has no `{repository}`, or not that file or revision", "check the name")
    if error.code == 429:  # noqa: PLR2004 - same
        wait = str(error.headers.get("Retry-After", "")).strip()
        after = f" in {wait} s" if wait.isdigit() else " later"
        return CannotRunError("the hub has had too many requests from here", f"try again{after}, or set `HF_TOKEN`")
    if error.code < 400:  # noqa: PLR2004 - same
        return CannotRunError(f"the hub redirects `{repository}` to where kaitops does not follow", _OTHER_WAY)
    return CannotRunError(f"the hub answers {error.code} about `{repository}`", f"try again later, or {_OTHER_WAY}")


def _license(data: Mapping[str, Any]) -> str:
    """As the model card names it; a licence of its own by its name."""
    card = data.get("cardData")
    card = card if isinstance(card, Mapping) else {}
    name = card.get("license")
    if name == "other" and isinstance(card.get("license_name"), str):
        name = card["license_name"]
    tags = data.get("tags")
    if not isinstance(name, str) and isinstance(tags, list):
        found = (tag.removeprefix("license:") for tag in tags if isinstance(tag, str) and tag.startswith("license:"))
        name = next(found, "")
    return name if isinstance(name, str) else ""


def _sizes(siblings: Any) -> dict[str, int]:
    """Files at the top of the repository; those in folders are other layouts of the same weights."""
    sizes = {}
    for one in siblings if isinstance(siblings, list) else []:
        name, size = (one.get("rfilename"), one.get("size")) if isinstance(one, Mapping) else (None, None)
        if isinstance(name, str) and "/" not in name:
            sizes[name] = size if isinstance(size, int) and size > 0 else 0
    return sizes
