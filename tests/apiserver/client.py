"""Ask a test's API server in its own words: a request in, its answer with warnings out, or a refusal with reasons."""

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

Object = dict[str, Any]

APPLY = "application/apply-patch+yaml"
RESTED = 20.0
"""Seconds; a server ends what nobody uses after 90."""
TIMEOUT = 30


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    """The object, or the text of what is no JSON."""
    warnings: tuple[str, ...]
    """What the server says beside its answer: deprecations, and policies that only warn."""


class RefusedError(Exception):
    """An answer of 400 or more."""

    def __init__(self, status: int, body: Any) -> None:
        known = body if isinstance(body, dict) else {}
        super().__init__(known.get("message") or str(body))
        self.status = status
        self.reason: str = known.get("reason", "")
        self.causes: list[Object] = (known.get("details") or {}).get("causes", [])


class Api:
    """One connection as one user; a path is found by the object's kind as the server's discovery names it."""

    def __init__(self, url: str, ca_file: Path, token: str) -> None:
        self._url = url
        self._ca_file = ca_file
        self._token = token
        self._connection: HTTPSConnection | None = None
        self._used = 0.0
        self._paths: dict[tuple[str, str], tuple[str, bool]] = {}

    def close(self) -> None:
        """The next request connects anew, perhaps to a server that was started again."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def _connected(self) -> HTTPSConnection:
        """The open connection, unless it rested for so long that the server may have closed it."""
        if time.monotonic() - self._used > RESTED:
            self.close()
        self._used = time.monotonic()
        if self._connection is None:
            place = urlsplit(self._url)
            trust = ssl.create_default_context(cafile=str(self._ca_file))
            self._connection = HTTPSConnection(place.hostname or "", place.port, timeout=TIMEOUT, context=trust)
        return self._connection

    def request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        acting_as: str = "",
    ) -> Answer:
        """Send one request, perhaps in the name of another user.

        Raises:
            RefusedError: the server answered with 400 or more.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type, "Accept": "application/json"}
        headers |= {"Impersonate-User": acting_as} if acting_as else {}
        try:
            connection = self._connected()
            connection.request(method, target, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, HTTPException):
            self.close()
            raise
        answer = Answer(response.status, _parsed(response, text), _warnings(response))
        if answer.status >= 400:
            raise RefusedError(answer.status, answer.body)
        return answer

    def apply(self, item: Object, *, dry_run: bool = False, manager: str = "tests", acting_as: str = "") -> Answer:
        """Server-side apply; an unknown or a duplicate field is refused, a conflict is won."""
        query = {"fieldManager": manager, "fieldValidation": "Strict", "force": "true"}
        query |= {"dryRun": "All"} if dry_run else {}
        path = self.path(item)
        return self.request("PATCH", path, item, query=query, content_type=APPLY, acting_as=acting_as)

    def create(self, item: Object) -> Answer:
        return self.request(
            "POST", self.path(item, named=False), item, query={"fieldValidation": "Strict", "fieldManager": "tests"}
        )

    def get(self, item: Object) -> Object:
        """The live object of an object's kind and name."""
        found: Object = self.request("GET", self.path(item)).body
        return found

    def delete(self, item: Object) -> Answer:
        return self.request("DELETE", self.path(item))

    def path(self, item: Object, *, named: bool = True) -> str:
        """Where an object lives, or with `named=False` where objects of its kind are created."""
        collection, namespaced = self._resource(item["apiVersion"], item["kind"])
        base = f"/api/{item['apiVersion']}" if "/" not in item["apiVersion"] else f"/apis/{item['apiVersion']}"
        metadata = item["metadata"]
        if namespaced:
            base += f"/namespaces/{metadata.get('namespace', 'default')}"
        return f"{base}/{collection}/{metadata['name']}" if named else f"{base}/{collection}"

    def _resource(self, version: str, kind: str) -> tuple[str, bool]:
        """The path segment of a kind, and whether it lives in namespaces."""
        if (version, kind) not in self._paths:
            root = "/apis" if "/" in version else "/api"
            for each in self.request("GET", f"{root}/{version}").body["resources"]:
                if "/" not in each["name"]:
                    self._paths[version, each["kind"]] = (each["name"], each["namespaced"])
        return self._paths[version, kind]


def _parsed(response: HTTPResponse, text: str) -> Any:
    return json.loads(text) if response.headers.get_content_type() == "application/json" else text


def _warnings(response: HTTPResponse) -> tuple[str, ...]:
    """The text of each header `Warning: 299 - "text"`."""
    quoted = [value.split('"', 1)[1].rsplit('"', 1)[0] for value in response.headers.get_all("Warning") or ()]
    return tuple(value.replace('\\"', '"').replace("\\\\", "\\") for value in quoted)
