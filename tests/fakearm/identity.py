"""Who hands out tokens? Microsoft Entra over TLS, and the metadata service of a virtual machine over plain HTTP."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakearm.answer import Json

METADATA_PATH = "/metadata/identity/oauth2/token"


@dataclass
class FakeIdentity:
    """One server for both, as it answers the same questions."""

    folder: Path
    """For the certificate."""
    token: str = "good"  # noqa: S105 -- the fake ARM's only secret
    refuse: tuple[int, str] | None = None
    """Status and words instead of a token."""
    seen: list[Json] = field(default_factory=list)
    """The fields of each question."""
    url: str = ""
    """For the metadata; Entra is at `authority`."""
    authority: str = ""

    @property
    def certificate(self) -> str:
        return str(self.folder / "certificate.pem")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["FakeIdentity"]:
        app = web.Application()
        app.router.add_get(METADATA_PATH, self._metadata)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._entra)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls_context(self.folder)).start()
            plain, secure = (address[1] for address in runner.addresses)
            self.url, self.authority = f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{secure}"
            yield self
        finally:
            await runner.cleanup()

    async def _metadata(self, request: web.Request) -> web.Response:
        return self._answer({**request.query, "metadata": request.headers.get("Metadata", "")})

    async def _entra(self, request: web.Request) -> web.Response:
        return self._answer({**await request.post(), "tenant": request.match_info["tenant"]})

    def _answer(self, question: Json) -> web.Response:
        self.seen.append(question)
        if self.refuse is not None:
            status, words = self.refuse
            return web.json_response({"error": "invalid_client", "error_description": words}, status=status)
        token = {"access_token": self.token, "expires_in": 3600, "token_type": "Bearer"}
        return web.json_response({**token, "resource": "https://management.azure.com"})


def tls_context(folder: Path, *hosts: str) -> ssl.SSLContext:
    """A certificate for this address and some names, which whoever asks has to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake identity")])
    address = x509.IPAddress(IPv4Address("127.0.0.1"))
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([*map(x509.DNSName, hosts), address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(pem)
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context
