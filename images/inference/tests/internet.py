"""The internet of a test: a proxy that leads every host name to this machine, over TLS that the test trusts.

So the command runs unchanged, with the addresses, certificates and redirects of the real services, and a test sees
which host was told which token.
"""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Request:
    """What a service was asked."""

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def bounds(self) -> tuple[int, int] | None:
        """First byte and the one behind the last, where a range was asked for."""
        words = self.headers.get("range", "").removeprefix("bytes=")
        if not words:
            return None
        first, _, last = words.partition("-")
        return int(first), int(last) + 1


@dataclass(frozen=True)
class Reply:
    """What it answers; `cut` is how many bytes it sends before the connection dies."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


Service = Callable[[Request], Reply]
Fault = Callable[[Request], Reply | None]


def said(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(value).encode(), headers or {})


def part(request: Request, content: bytes) -> Reply:
    """A file, or the range of it that was asked for."""
    if request.bounds is None:
        return Reply(200, content)
    first, behind = request.bounds
    range_ = {"Content-Range": f"bytes {first}-{min(behind, len(content)) - 1}/{len(content)}"}
    return Reply(206, content[first:behind], range_)


@dataclass
class Internet:
    """Services by the end of their host's name; `faults` come before them, `elsewhere` is a port that serves a host."""

    folder: Path
    services: dict[str, Service] = field(default_factory=dict)
    elsewhere: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    seen: list[Request] = field(default_factory=list)
    proxy: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    def asked(self, host: str) -> list[Request]:
        return [request for request in self.seen if request.host.endswith(host)]

    def fault(self, host: str, *replies: Reply, path: str = "") -> None:
        """Answer the next requests of a host so, instead of by its service."""
        waiting = list(replies)

        def one(request: Request) -> Reply | None:
            hit = request.host.endswith(host) and path in request.path
            return waiting.pop(0) if hit and waiting else None

        self.faults.append(one)

    def answer(self, request: Request) -> Reply:
        with self.lock:
            self.seen.append(request)
            faulty = next((reply for fault in self.faults if (reply := fault(request))), None)
        service = next((one for end, one in self.services.items() if request.host.endswith(end)), None)
        return faulty or (service(request) if service else Reply(404))

    @contextmanager
    def running(self) -> Iterator["Internet"]:
        context = _tls(self.folder)
        with _serving(_handler(self)) as inner, _serving(_proxy(self, inner)) as outer:
            inner.socket = context.wrap_socket(inner.socket, server_side=True, do_handshake_on_connect=False)
            self.proxy = f"http://127.0.0.1:{outer.server_port}"
            yield self


class Server(ThreadingHTTPServer):
    """A client that goes away is no error of the test."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=lambda: server.serve_forever(0.05), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: Any) -> None:
        """The test has `seen`."""


def _handler(internet: Internet) -> type[BaseHTTPRequestHandler]:
    class Handler(Quiet):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            host = headers["host"].partition(":")[0]
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            self.reply(internet.answer(Request(self.command, host, unquote(url.path), query, headers, body)))

        def do_POST(self) -> None:
            self.do_GET()

        def reply(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body if reply.cut is None else reply.body[: reply.cut])
            if reply.cut is not None:
                self.wfile.flush()
                self.close_connection = True

    return Handler


def _proxy(internet: Internet, inner: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(Quiet):
        def do_CONNECT(self) -> None:
            host = self.path.partition(":")[0]
            port = internet.elsewhere.get(host, inner.server_port)
            with socket.create_connection(("127.0.0.1", port)) as there:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_pump, args=(there, self.connection), daemon=True)
                back.start()
                _pump(self.connection, there)
                back.join()
            self.close_connection = True

    return Handler


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


HOSTS = ("huggingface.co", "cdn.example.com", "login.microsoftonline.com", "management.azure.com",
         "*.api.azureml.ms", "*.blob.core.windows.net")  # fmt: skip


def _tls(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the internet of a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.TraditionalOpenSSL
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(pem)
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context
