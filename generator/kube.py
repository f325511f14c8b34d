"""How is a live cluster asked? Through a context of a kubeconfig, by path, and without a way to change anything.

The official client reads the kubeconfig and signs in as kubectl does (certificates, tokens, plugins such as kubelogin).
What is asked is a path, since custom kinds have no class in that client. It is loaded when a cluster is asked for: it
takes as long as everything else that `validate` loads.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

from generator.document import Body
from generator.finding import CannotRunError
from generator.words import did_you_mean

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

CONNECT_SECONDS = 10
ANSWER_SECONDS = 60
"""An admission webhook may take thirty seconds, and KAITO's does when it asks the hub for a model."""
RETRIES = 3
DEFAULT_KUBECONFIG = "~/.kube/config"
MANAGER = "kaitops"
APPLY = "application/apply-patch+yaml"
UNAUTHORIZED = 401
BUSY_OR_AWAY = frozenset({429, 502, 503, 504})
FETCH = "`az aks get-credentials --resource-group GROUP --name CLUSTER` fetches one"

NETWORK = "is it running, and is this machine let in (VPN, authorized address ranges, private cluster)?"
AUTHORITY = "the kubeconfig names another certificate authority than the cluster's: fetch it again"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    """The object that the server sent, or the text of what is no JSON."""
    warnings: tuple[str, ...] = ()
    """What it says beside its answer: deprecations, and policies that only warn."""

    @property
    def message(self) -> str:
        """A refusal in the server's words, on one line."""
        known = self.body.get("message") if isinstance(self.body, dict) else None
        return " ".join(str(known or self.body or f"status {self.status}").split())

    @property
    def about(self) -> str:
        """The resource that a refusal is about, where it says so."""
        details = self.body.get("details") if isinstance(self.body, dict) else None
        return str((details or {}).get("kind", ""))


class Kube(Protocol):
    """What a check may ask; both questions leave the cluster as it is."""

    @property
    def context(self) -> str: ...

    @property
    def minor(self) -> str:
        """The Kubernetes that it runs, such as `1.35`."""

    def get(self, path: str) -> Answer: ...

    def dry_run(self, path: str, body: Body) -> Answer:
        """Would the server take this object by server-side apply? An unknown field is refused."""


def connect(context: str, kubeconfig: Path | None = None) -> Kube:
    """Sign in to the cluster of a context.

    Raises:
        CannotRunError: no such file or context, nothing in it to sign in with, or no such cluster that answers.
    """
    paths = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG") or DEFAULT_KUBECONFIG
    if not any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep)):
        raise CannotRunError(f"no kubeconfig at `{paths}`", f"name one with `--kubeconfig FILE`; {FETCH}")
    with _said_plainly(paths, context):
        client = _client(paths, context)
    return _Connection(context, client)


def _client(paths: str, context: str) -> "ApiClient":
    from kubernetes import config  # noqa: PLC0415 - a third of a second, for those who ask a cluster
    from kubernetes.client import ApiClient, Configuration  # noqa: PLC0415 - as above
    from kubernetes.config.kube_config import KubeConfigMerger  # noqa: PLC0415 - as above

    names = [str(each["name"]) for each in KubeConfigMerger(paths).config.value.get("contexts") or ()]
    if context not in names:
        hint = did_you_mean(context, names) or "there are: " + ", ".join(f"`{name}`" for name in names)
        raise CannotRunError(f"no context `{context}` in `{paths}`", hint if names else FETCH)
    settings = Configuration()
    config.load_kube_config(paths, context, client_configuration=settings)
    settings.retries = _retries()
    return ApiClient(settings)


def _retries() -> Any:
    """Ask again when the server says that it is busy, whatever was asked: nothing that we ask changes anything."""
    from urllib3 import Retry  # noqa: PLC0415 - comes with the client

    return Retry(RETRIES, connect=0, read=0, allowed_methods=None, raise_on_status=False)


@contextmanager
def _said_plainly(paths: str, context: str) -> Iterator[None]:
    """Whatever a kubeconfig lacks is said in one line, and so is a plugin's failure, which the client only logs."""
    heard = _Listener()
    logging.getLogger().addHandler(heard)
    try:
        yield
    except CannotRunError:
        raise
    except Exception as error:
        # The client meets a malformed file with whatever Python raises where it first matters.
        raise CannotRunError(f"cannot read the kubeconfig `{paths}`: {_one_line(error)}", FETCH) from error
    finally:
        logging.getLogger().removeHandler(heard)
    if heard.messages:
        said = "; ".join(heard.messages)
        raise CannotRunError(f"cannot sign in to the cluster of context `{context}`: {said}", "sign in again")


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(" ".join(record.getMessage().split()))


class _Connection:
    """The `Kube` of a real cluster; may be used from several threads."""

    def __init__(self, context: str, client: "ApiClient") -> None:
        self.context = context
        self._client = client
        version = self._ask("GET", "/version")
        if not isinstance(version.body, dict) or "major" not in version.body:
            raise self._unreachable(f"it is no Kubernetes API server, or says: {version.message[:200]}")
        # Some vendors write `35+`.
        self.minor = f"{version.body['major']}.{version.body['minor']}".rstrip("+")

    def get(self, path: str) -> Answer:
        return self._ask("GET", path)

    def dry_run(self, path: str, body: Body) -> Answer:
        query = {"dryRun": "All", "fieldManager": MANAGER, "fieldValidation": "Strict", "force": "true"}
        return self._ask("PATCH", f"{path}?{urlencode(query)}", json.dumps(body))

    def _ask(self, method: str, path: str, body: str | None = None) -> Answer:
        from kubernetes.client import ApiException  # noqa: PLC0415 - loaded already, by `connect`
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - as above

        headers = {"Accept": "application/json"} | ({"Content-Type": APPLY} if body else {})
        request = self._client.param_serialize(method, path, header_params=headers, auth_settings=["BearerToken"])
        try:
            response = self._client.call_api(
                method, request[1], request[2], body, _request_timeout=(CONNECT_SECONDS, ANSWER_SECONDS)
            )
            answer = Answer(response.status, _parsed(response.read()), _warnings(response.headers.getlist("Warning")))
        except (HTTPError, ApiException, OSError) as error:
            raise self._unreachable(_reason(error)) from error
        return self._usable(answer)

    def _usable(self, answer: Answer) -> Answer:
        if answer.status == UNAUTHORIZED:
            raise CannotRunError(
                f"the cluster of context `{self.context}` does not accept its credentials: they are wrong or expired",
                "sign in again: `az login`, then `kubelogin` or `az aks get-credentials`",
            )
        if answer.status in BUSY_OR_AWAY:
            raise self._unreachable(answer.message)
        return answer

    def _unreachable(self, why: str) -> CannotRunError:
        host = self._client.configuration.host
        return CannotRunError(
            f"the cluster of context `{self.context}` at {host} does not answer: {why}",
            AUTHORITY if "CERTIFICATE" in why else NETWORK,
        )


def _parsed(data: bytes) -> Any:
    text = data.decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _warnings(headers: list[str]) -> tuple[str, ...]:
    """The text in each header `299 - "text"`."""
    quoted = [header.partition('"')[2].rpartition('"')[0] for header in headers]
    return tuple(text.replace('\\"', '"').replace("\\\\", "\\") for text in quoted)


def _reason(error: Exception) -> str:
    """The cause below the layers of a connection pool, without the address of an object in memory."""
    cause: object = error
    while isinstance(below := getattr(cause, "reason", None) or getattr(cause, "__cause__", None), Exception):
        cause = below
    text = _one_line(cause)
    return text.rpartition(">: ")[2] if "object at 0x" in text else text


def _one_line(thing: object) -> str:
    return " ".join(str(thing).split()) or type(thing).__name__
