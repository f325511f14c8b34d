"""Is whatever keeps a cluster from being asked said in one line, with its cause and the way out?

Nothing here needs a cluster: what answers is nothing, a server that is none, or a plugin that fails.
"""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from generator.finding import CannotRunError
from generator.kube import connect

Config = dict[str, Any]


class Page(BaseHTTPRequestHandler):
    """Answers each request with the next status and text; after the last one with that again."""

    answers: ClassVar[list[tuple[int, str]]] = []
    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization", "")))
        status, text = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Nothing: pytest shows what a test prints."""


@pytest.fixture
def page() -> Iterator[ThreadingHTTPServer]:
    Page.answers, Page.asked = [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def config_of(server: str, **user: Any) -> Config:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": user or {"token": "secret-token"}}],
        "contexts": [{"name": name, "context": {"cluster": "local", "user": "me"}} for name in ("models-dev", "other")],
    }


def write(folder: Path, config: Config | str) -> Path:
    file = folder / "kubeconfig"
    file.write_text(config if isinstance(config, str) else json.dumps(config))
    return file


def refusal(context: str, kubeconfig: Path | None) -> str:
    with pytest.raises(CannotRunError) as caught:
        connect(context, kubeconfig)
    assert "\n" not in str(caught.value)
    return f"{caught.value} | {caught.value.hint}"


def test_no_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal("dev", tmp_path / "missing").startswith(f"no kubeconfig at `{tmp_path}/missing` | name one with")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/one:{tmp_path}/two")
    assert refusal("dev", None).startswith(f"no kubeconfig at `{tmp_path}/one:{tmp_path}/two` | ")
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert refusal("dev", None).startswith("no kubeconfig at `~/.kube/config` | ")


def test_no_such_context(tmp_path: Path) -> None:
    file = write(tmp_path, config_of("https://127.0.0.1:1"))
    assert refusal("models-dve", file) == f"no context `models-dve` in `{file}` | did you mean `models-dev`?"
    assert refusal("zzz", file).endswith(" | there are: `models-dev`, `other`")


@pytest.mark.parametrize(
    "text", ["", "[]", "a: [", "text", "\x00", "contexts: 1", "contexts: [{name: dev}]", "contexts: [{}]"]
)
def test_a_file_that_is_no_kubeconfig(tmp_path: Path, text: str) -> None:
    file = write(tmp_path, text)
    assert refusal("dev", file).startswith(f"cannot read the kubeconfig `{file}`: ")


def test_a_kubeconfig_that_names_what_is_not_there(tmp_path: Path) -> None:
    config = config_of("https://127.0.0.1:1")
    config["contexts"][0]["context"]["cluster"] = "gone"
    assert "name gone" in refusal("models-dev", write(tmp_path, config))
    config = config_of("https://127.0.0.1:1")
    config["clusters"][0]["cluster"]["certificate-authority"] = "/nowhere/ca.crt"
    assert "/nowhere/ca.crt" in refusal("models-dev", write(tmp_path, config))


def test_a_sign_in_plugin_that_fails_is_quoted(tmp_path: Path) -> None:
    script = ["-c", "echo 'token expired: run az login' >&2; exit 1"]
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sh",
        "args": script,
        "interactiveMode": "Never",
    }
    said = refusal("models-dev", write(tmp_path, config_of("https://127.0.0.1:1", exec=plugin)))
    assert said.startswith("cannot sign in to the cluster of context `models-dev`: ")
    assert "token expired: run az login" in said
    plugin["command"] = "no-such-plugin"
    assert "no-such-plugin" in refusal("models-dev", write(tmp_path, config_of("https://127.0.0.1:1", exec=plugin)))


def test_nothing_listens(tmp_path: Path) -> None:
    with socket.socket() as held:  # bound and never listening: nobody else can take the port meanwhile
        held.bind(("127.0.0.1", 0))
        server = f"https://127.0.0.1:{held.getsockname()[1]}"
        said = refusal("models-dev", write(tmp_path, config_of(server)))
    assert said.startswith(f"the cluster of context `models-dev` at {server} does not answer: ")
    assert "Connection refused" in said
    assert "object at 0x" not in said


@pytest.mark.parametrize(
    ("status", "text", "message"),
    [
        (200, "<html>log in</html>", "it is no Kubernetes API server, or says: <html>log in</html>"),
        (404, "not here", "it is no Kubernetes API server, or says: not here"),
        (503, json.dumps({"message": "etcd is away"}), "etcd is away"),
        (401, json.dumps({"message": "Unauthorized"}), "does not accept its credentials: they are wrong or expired"),
    ],
)
def test_what_answers_is_no_use(
    tmp_path: Path, page: ThreadingHTTPServer, status: int, text: str, message: str
) -> None:
    Page.answers = [(status, text)]
    said = refusal("models-dev", write(tmp_path, config_of(f"http://127.0.0.1:{page.server_port}")))
    assert message in said
    assert "secret-token" not in said


def test_a_busy_server_is_asked_again(tmp_path: Path, page: ThreadingHTTPServer) -> None:
    version = json.dumps({"major": "1", "minor": "34+"})
    Page.answers = [(429, "busy"), (429, "busy"), (200, version)]
    kube = connect("models-dev", write(tmp_path, config_of(f"http://127.0.0.1:{page.server_port}")))
    assert (kube.context, kube.minor) == ("models-dev", "1.34")
    assert Page.asked == [("/version", "Bearer secret-token")] * 3


def test_a_server_that_stays_busy_is_given_up(tmp_path: Path, page: ThreadingHTTPServer) -> None:
    Page.answers = [(429, "busy")]
    assert "does not answer: busy" in refusal(
        "models-dev", write(tmp_path, config_of(f"http://127.0.0.1:{page.server_port}"))
    )
