"""Start, kill and start again etcd and kube-apiserver, so that nothing of them is left when the tests end."""

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from http.client import HTTPException
from pathlib import Path
from random import SystemRandom

from tests.apiserver import guard
from tests.apiserver.client import Api, RefusedError

ROOT = Path(__file__).parents[2]
START_SECONDS = 90
"""Three seconds on a free machine; a shared one may be much slower."""
ATTEMPTS = 3
ADMIN, GUEST = "admin", "guest"
GROUPS = {ADMIN: "system:masters", GUEST: ""}
"""Users and their groups. The guest may do nothing but what a test's RoleBinding grants to the user `guest`."""
PORTS = range(20000, 32000)
"""Below those that a system hands out by itself: while a killed server is away, no other connection takes its port."""


def program(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The path of etcd or kube-apiserver."""
    folder = Path(environment.get("KUBEBUILDER_ASSETS") or ROOT / ".cache" / "tools" / "bin")
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"no `{name}` in {folder}: run `make tools`")
    return path


class StartError(Exception):
    """A program ended before it was ready; the text is the end of its log."""


class ApiServer:
    """One API server with its etcd; `start` may follow `kill` and finds the data of before."""

    def __init__(self, folder: Path, *, etcd_port: int, port: int, flags: Sequence[str] = ()) -> None:
        self.folder = folder
        self._flags = flags
        self.url = f"https://127.0.0.1:{port}"
        self.tokens = {user: secrets.token_hex(16) for user in GROUPS}
        self._etcd_url = f"http://127.0.0.1:{etcd_port}"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._apis: dict[str, Api] = {}
        rows = [f'{token},{user},{user},"{GROUPS[user]}"\n' for user, token in self.tokens.items()]
        (folder / "tokens.csv").write_text("".join(rows))

    @property
    def ca_file(self) -> Path:
        """The certificate that the server made for itself at its first start."""
        return self.folder / "certs" / "apiserver.crt"

    @cached_property
    def kubeconfig(self) -> Path:
        """A kubeconfig file with a context for each user, named like the user; the current one is the admin's."""
        cluster = {"server": self.url, "certificate-authority": str(self.ca_file)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}} for user, token in self.tokens.items()],
            "contexts": [{"name": user, "context": {"cluster": "local", "user": user}} for user in self.tokens],
            "current-context": ADMIN,
        }
        path = self.folder / "kubeconfig"
        path.write_text(json.dumps(config, indent=1))
        return path

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._running.values()]

    def api(self, user: str = ADMIN) -> Api:
        """The connection of a user, one for all callers; not for use from two threads."""
        if user not in self._apis:
            self._apis[user] = Api(self.url, self.ca_file, self.tokens[user])
        return self._apis[user]

    def start(self) -> None:
        """Start what does not run, and wait until the server is ready.

        Raises:
            StartError: a program ended, or it is not ready in time.
        """
        for name, command in (("etcd", self._etcd()), ("kube-apiserver", self._kube_apiserver())):
            if name not in self._running:
                self._spawn(name, command)
        self._wait()

    def kill(self, *names: str) -> None:
        """End the named programs as `kill -9` does; both of them without names."""
        for name in names or tuple(self._running):
            process = self._running.pop(name)
            process.kill()
            process.wait()
            self._tell_guard(f"-{process.pid}")
        for api in self._apis.values():
            api.close()

    def stop(self) -> None:
        """End everything and remove the folder."""
        self.kill()
        with self._guard:
            pass

    @cached_property
    def _guard(self) -> subprocess.Popen[bytes]:
        # In a session of its own: Ctrl-C in a terminal must not end it before the programs.
        command = [sys.executable, "-I", "-S", guard.__file__, str(self.folder)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    def _tell_guard(self, line: str) -> None:
        assert self._guard.stdin
        self._guard.stdin.write(f"{line}\n".encode())
        self._guard.stdin.flush()

    def _spawn(self, name: str, command: list[str]) -> None:
        with self._log(name).open("ab") as log:
            process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._running[name] = process
        self._tell_guard(f"+{process.pid}")

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _etcd(self) -> list[str]:
        return [
            str(program("etcd")),
            "--data-dir=etcd",
            # A process that is killed loses nothing that it wrote; only a machine that stops would.
            "--unsafe-no-fsync",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            "--listen-peer-urls=http://127.0.0.1:0",
            "--log-level=warn",
        ]

    def _kube_apiserver(self) -> list[str]:
        return [
            str(program("kube-apiserver")),
            f"--etcd-servers={self._etcd_url}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.url.rpartition(':')[2]}",
            "--cert-dir=certs",
            "--token-auth-file=tokens.csv",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            # Tokens of service accounts are signed with the key that the server made for its own certificate.
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=certs/apiserver.key",
            "--service-account-signing-key-file=certs/apiserver.key",
            # It waits for a default service account in each namespace, which no controller makes here.
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
            *self._flags,
        ]

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise StartError(f"{name} ended with {process.returncode}: {self._tail(name)}")
            if time.monotonic() > deadline:
                raise StartError(f"not ready in {START_SECONDS} s: {self._tail('kube-apiserver')}")
            time.sleep(0.05)

    def _ready(self) -> bool:
        try:
            self.api().request("GET", "/readyz")
        except (OSError, HTTPException, RefusedError):
            return False
        return True

    def _tail(self, name: str) -> str:
        return self._log(name).read_text(errors="replace")[-2000:]


@contextmanager
def running_api_server(*flags: str) -> Iterator[ApiServer]:
    """A server of its own, with an empty etcd and perhaps more flags, that ends with the block."""
    server = _started(flags)
    try:
        yield server
    finally:
        server.stop()


def _started(flags: Sequence[str]) -> ApiServer:
    for attempt in range(1, ATTEMPTS + 1):
        etcd_port, port = _free_ports(2)
        server = ApiServer(
            Path(tempfile.mkdtemp(prefix="kaitops-apiserver-")), etcd_port=etcd_port, port=port, flags=flags
        )
        try:
            server.start()
        except BaseException as error:
            server.stop()
            # Another process may have taken the port since we looked.
            if not (isinstance(error, StartError) and "address already in use" in str(error) and attempt < ATTEMPTS):
                raise
        else:
            return server
    raise AssertionError("the last attempt either returns or raises")


def _free_ports(count: int) -> list[int]:
    # Not the `random` that each test process seeds alike.
    return [port for port in SystemRandom().sample(PORTS, 100) if _is_free(port)][:count]


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
