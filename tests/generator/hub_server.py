"""A hub on loopback: it serves what a test puts into it, and remembers what it was asked with which token."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"


@dataclass
class FakeHub:
    """`pages` by path without its query: a body, or a status with headers and a body."""

    pages: dict[str, bytes | tuple[int, Mapping[str, str], bytes]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    endpoint: str = ""

    def put(self, repository: str, config: Mapping[str, Any], *, total_size: int, **about: Any) -> None:
        """A repository with a config and an index, at `COMMIT`."""
        siblings = [{"rfilename": name, "size": 10} for name in ("config.json", "model.safetensors.index.json")]
        siblings += [{"rfilename": f"model-0000{index}-of-00002.safetensors", "size": total_size} for index in (1, 2)]
        record = {"sha": COMMIT, "gated": False, "private": False, "siblings": siblings} | about
        self.pages[f"/api/models/{repository}/revision/main"] = json.dumps(record).encode()
        self.pages[f"/{repository}/resolve/{COMMIT}/config.json"] = json.dumps(config).encode()
        index = {"metadata": {"total_size": total_size}, "weight_map": {}}
        self.pages[f"/{repository}/resolve/{COMMIT}/model.safetensors.index.json"] = json.dumps(index).encode()


@contextmanager
def running() -> Iterator[FakeHub]:
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            hub.asked.append((path, self.headers.get("Authorization")))
            page = hub.pages.get(path, (404, {}, b""))
            status, headers, body = (200, {}, page) if isinstance(page, bytes) else page
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
