"""What if the sign-in fails, or its token does? It says so, nothing is sent, and it heals by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.azure import AgentPools, AzureError
from reconciler.azure.credential import credential
from reconciler.errors import Class, classify
from reconciler.settings import Settings, SettingsError
from tests.fakearm import Bench, run_over_http
from tests.fakearm.bench import SCOPE, Tokens
from tests.fakearm.identity import FakeIdentity
from tests.reconciler.making import a_desired

REQUESTS: dict[str, Callable[[AgentPools], Awaitable[object]]] = {
    "list": lambda pools: pools.list(),
    "cluster": lambda pools: pools.cluster(),
    "create": lambda pools: pools.create(a_desired()),
    "delete": lambda pools: pools.delete("ws1", ""),
}
requests = pytest.mark.parametrize("request_name", REQUESTS)
ENTRA = Settings()
METADATA = replace(Settings(), credential="managed-identity")
CLI = replace(Settings(), credential="cli")
CLIENT = "99999999-8888-7777-6666-555555555555"


async def refusal(request: Awaitable[object]) -> AzureError:
    with pytest.raises(AzureError) as caught:
        await request
    return caught.value


def is_about_the_sign_in(error: AzureError, words: str) -> None:
    verdict = classify(error.trouble)
    assert (verdict.reason, verdict.kind) == ("AuthenticationFailed", Class.TRANSIENT)
    assert (error.status, error.throttled, error.changed) == (401, False, False)
    assert words in error.trouble.message
    assert "\n" not in error.trouble.message


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Machine":
    return Machine(monkeypatch, tmp_path)


class Machine:
    """Where the reconciler runs: what its environment and its files tell of Azure."""

    def __init__(self, environment: pytest.MonkeyPatch, folder: Path) -> None:
        self.environment, self.folder = environment, folder
        self.identity = FakeIdentity(folder)
        self.token_file = folder / "token"
        self.token_file.write_text("a service account's token")
        for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"):
            environment.delenv(name, raising=False)

    def label_the_pod(self) -> None:
        """What the webhook of workload identity does."""
        self.environment.setenv("AZURE_TENANT_ID", "a-tenant")
        self.environment.setenv("AZURE_CLIENT_ID", CLIENT)
        self.environment.setenv("AZURE_FEDERATED_TOKEN_FILE", str(self.token_file))

    def install_cli(self, script: str) -> None:
        command = self.folder / "az"
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
        self.environment.setenv("PATH", f"{self.folder}:/usr/bin:/bin")

    def run(self, settings: Settings, scenario: Callable[[Bench, AgentPools], Awaitable[None]], **options: Any) -> None:
        async def main(bench: Bench) -> None:
            async with self.identity.serving():
                self.environment.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", self.identity.url)
                self.environment.setenv("AZURE_AUTHORITY_HOST", self.identity.authority)
                async with credential(settings, **options) as found, bench.signed_in(found) as pools:
                    await scenario(bench, pools)

        run_over_http(main)

    def trust(self) -> dict[str, Any]:
        return {"connection_verify": self.identity.certificate}


def test_workload_identity_trades_the_pod_s_token_for_one_of_azure(machine: Machine) -> None:
    machine.label_the_pod()

    async def scenario(bench: Bench, pools: AgentPools) -> None:
        await pools.list()
        await pools.list()
        (asked,) = machine.identity.seen
        assert (asked["tenant"], asked["client_id"], asked["scope"]) == ("a-tenant", CLIENT, SCOPE)
        assert asked["client_assertion"] == "a service account's token"
        assert {each.headers["authorization"] for each in bench.arm.seen} == {"Bearer good"}

    machine.run(ENTRA, scenario, **machine.trust())


def test_a_managed_identity_asks_the_machine_s_metadata(machine: Machine) -> None:
    async def scenario(_bench: Bench, pools: AgentPools) -> None:
        await pools.list()
        (asked,) = machine.identity.seen
        assert (asked["client_id"], asked["metadata"]) == (CLIENT, "true")

    machine.run(replace(METADATA, client_id=CLIENT), scenario)


def test_the_cli_lends_its_token(machine: Machine) -> None:
    machine.install_cli("""echo '{"accessToken": "good", "expires_on": 4000000000}'""")

    async def scenario(bench: Bench, pools: AgentPools) -> None:
        await pools.list()
        assert bench.arm.seen[0].headers["authorization"] == "Bearer good"

    machine.run(CLI, scenario)


@requests
def test_entra_refuses_and_then_trusts_us(machine: Machine, request_name: str) -> None:
    machine.label_the_pod()

    async def scenario(bench: Bench, pools: AgentPools) -> None:
        machine.identity.refuse = (400, "AADSTS70021: No matching federated identity record found")
        is_about_the_sign_in(await refusal(REQUESTS[request_name](pools)), "AADSTS70021")
        assert not bench.arm.seen
        machine.identity.refuse = None
        await REQUESTS[request_name](pools)

    machine.run(ENTRA, scenario, **machine.trust())


@requests
def test_the_token_file_is_missing_and_comes_later(machine: Machine, request_name: str) -> None:
    machine.label_the_pod()
    machine.token_file.unlink()

    async def scenario(bench: Bench, pools: AgentPools) -> None:
        is_about_the_sign_in(await refusal(REQUESTS[request_name](pools)), str(machine.token_file))
        assert not bench.arm.seen
        machine.token_file.write_text("late")
        await REQUESTS[request_name](pools)

    machine.run(ENTRA, scenario, **machine.trust())


def test_entra_is_not_to_be_trusted(machine: Machine) -> None:
    """Its certificate is nobody's: the sign-in fails, and no request is lost."""
    machine.label_the_pod()

    async def scenario(bench: Bench, pools: AgentPools) -> None:
        is_about_the_sign_in(await refusal(pools.list()), "certificate verify failed")
        assert not bench.arm.seen

    machine.run(ENTRA, scenario, retry_total=0)


@requests
def test_the_machine_has_no_identity(machine: Machine, request_name: str) -> None:
    async def scenario(bench: Bench, pools: AgentPools) -> None:
        machine.identity.refuse = (400, "Identity not found")
        is_about_the_sign_in(await refusal(REQUESTS[request_name](pools)), "Identity not found")
        assert not bench.arm.seen
        machine.identity.refuse = None
        await REQUESTS[request_name](pools)

    machine.run(METADATA, scenario)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'Please run az login to setup account.' >&2; exit 1", "az login"),
        ("echo 'AADSTS700082: the refresh token has expired' >&2; exit 1", "AADSTS700082"),
        ("echo 'no JSON'", "Unexpected output"),
    ],
)
def test_the_cli_is_not_signed_in(machine: Machine, script: str, words: str) -> None:
    machine.install_cli(script)

    async def scenario(bench: Bench, pools: AgentPools) -> None:
        is_about_the_sign_in(await refusal(pools.list()), words)
        assert not bench.arm.seen

    machine.run(CLI, scenario)


def test_there_is_no_cli(machine: Machine) -> None:
    machine.environment.setenv("PATH", str(machine.folder))

    async def scenario(_bench: Bench, pools: AgentPools) -> None:
        is_about_the_sign_in(await refusal(pools.list()), "Azure CLI not found")

    machine.run(CLI, scenario)


@pytest.mark.parametrize("name", ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"])
def test_a_pod_without_its_label_says_what_to_do(machine: Machine, name: str) -> None:
    machine.label_the_pod()
    machine.environment.delenv(name)
    with pytest.raises(SettingsError, match=r"azure\.workload\.identity/use: true"):
        credential(ENTRA)


@requests
@pytest.mark.parametrize(
    ("expired", "code"), [({"bad"}, "ExpiredAuthenticationToken"), (set(), "InvalidAuthenticationToken")]
)
def test_a_token_that_arm_does_not_accept_is_replaced_at_the_next_request(
    expired: set[str], code: str, request_name: str
) -> None:
    """The policy of the SDK forgets it, and asks for another when it is next asked itself."""
    tokens = Tokens(["bad", "good"])

    async def scenario(bench: Bench) -> None:
        bench.arm.expired |= expired
        told = await refusal(REQUESTS[request_name](bench.pools))
        assert told.trouble.code == code
        is_about_the_sign_in(told, "not accepted")
        assert len(bench.arm.seen) == 1
        await REQUESTS[request_name](bench.pools)

    run_over_http(scenario, tokens)


@requests
def test_a_token_that_needs_new_claims_is_replaced_at_once(request_name: str) -> None:
    """Continuous access evaluation: ARM did nothing yet, so sending again is safe."""
    tokens = Tokens(["old", "good"])

    async def scenario(bench: Bench) -> None:
        bench.arm.revoked.add("old")
        await REQUESTS[request_name](bench.pools)
        assert [each.headers["authorization"] for each in bench.arm.seen] == ["Bearer old", "Bearer good"]
        assert "nbf" in tokens.asked[-1]["claims"]

    run_over_http(scenario, tokens)


def test_new_claims_that_are_refused_are_about_the_sign_in() -> None:
    class Refusing(Tokens):
        async def get_token(self, *scopes: str, **options: Any) -> Any:
            if "claims" in options:
                raise OSError("the token file is gone")
            return await super().get_token(*scopes, **options)

    async def scenario(bench: Bench) -> None:
        bench.arm.revoked.add("good")
        is_about_the_sign_in(await refusal(bench.pools.list()), "the token file is gone")

    run_over_http(scenario, Refusing())


@pytest.mark.parametrize(
    ("denied", "request_name"), [("read", "list"), ("read", "cluster"), ("write", "create"), ("delete", "delete")]
)
def test_a_right_that_is_missing_is_named_and_heals_when_it_is_granted(denied: str, request_name: str) -> None:
    async def scenario(bench: Bench) -> None:
        bench.arm.denied.add(denied)
        told = await refusal(REQUESTS[request_name](bench.pools))
        verdict = classify(told.trouble)
        assert (told.status, verdict.reason, verdict.kind) == (403, "AuthorizationFailed", Class.TRANSIENT)
        assert denied in told.trouble.message
        bench.arm.denied.clear()
        await REQUESTS[request_name](bench.pools)

    run_over_http(scenario)


def test_one_token_serves_many_requests_at_once() -> None:
    tokens = Tokens()

    async def scenario(bench: Bench) -> None:
        await asyncio.gather(*(bench.pools.list() for _ in range(20)))
        assert len(tokens.asked) == 1
        assert tokens.asked[0]["scopes"] == (SCOPE,)

    run_over_http(scenario, tokens)
