"""The pod's identity opens Blob and Azure ML, each host is told only its own token, a refusal says what to do."""

from pathlib import Path
from typing import Any

import pytest

from tests.emulator import azurite, installed
from tests.fetching import AZUREBLOB, REGISTRY, WORKSPACE, contents, fetch, last_line
from tests.internet import Internet, Reply, Request, said
from tests.stores import DATASTORE, AzureML, Blob, Entra, a_model, audience, weights
from tests.stores import REGISTRY as DISCOVERED

ENTRA = "login.microsoftonline.com"
STORAGE = "https://storage.azure.com"
BLOB = "examplemodels.blob.core.windows.net"
SOURCES = {"azureblob": AZUREBLOB, "registry": REGISTRY, "workspace": WORKSPACE}


@pytest.fixture
def entra(internet: Internet) -> Entra:
    made = Entra()
    internet.services[ENTRA] = made
    return made


@pytest.fixture
def blob(internet: Internet, entra: Entra) -> Blob:
    """An account that takes only tokens of this Entra."""
    internet.services[ENTRA] = entra
    made = Blob(a_model())
    internet.services["blob.core.windows.net"] = made
    return made


@pytest.fixture
def azure_ml(internet: Internet, blob: Blob) -> AzureML:
    """Its models lie in blob containers."""
    internet.services["blob.core.windows.net"] = blob
    made = AzureML()
    internet.services |= {"api.azureml.ms": made, "management.azure.com": made}
    return made


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "models" / "m"


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.usefixtures("azure_ml")
def test_a_model_arrives_and_a_second_start_asks_nobody(
    source: str, blob: Blob, internet: Internet, into: Path
) -> None:
    assert fetch(SOURCES[source], into) == 0
    assert contents(into) == blob.files
    internet.seen.clear()
    assert fetch(SOURCES[source], into) == 0
    assert not internet.seen


def tokens(internet: Internet) -> dict[str, set[str]]:
    told: dict[str, set[str]] = {}
    for request in internet.seen:
        if request.host != ENTRA:
            told.setdefault(request.host, set()).add(audience(request))
    return told


@pytest.mark.usefixtures("azure_ml")
def test_each_host_is_told_its_own_token(entra: Entra, internet: Internet, into: Path) -> None:
    assert fetch(WORKSPACE, into) == 0
    assert tokens(internet) == {
        "management.azure.com": {"https://management.azure.com"},
        "mlstore.blob.core.windows.net": {STORAGE},
    }
    assert {form["client_assertion"] for form in entra.asked} == {"a ServiceAccount's token"}
    assert len(entra.asked) == 2
    internet.seen.clear()
    assert fetch(REGISTRY, into) == 0
    assert tokens(internet) == {
        "eastus.api.azureml.ms": {"https://ml.azure.com"},
        "westeurope.api.azureml.ms": {"https://management.azure.com"},
        "mlregistry.blob.core.windows.net": {""},
    }
    assert {request.query["sig"] for request in internet.asked("blob.core.windows.net")} == {"a+signature"}


@pytest.mark.usefixtures("azure_ml")
def test_the_signature_is_never_logged(internet: Internet, into: Path, capsys: pytest.CaptureFixture[str]) -> None:
    internet.fault("mlregistry.blob.core.windows.net", *[Reply(503)] * 6)
    assert fetch(REGISTRY, into) == 75
    err = capsys.readouterr().err
    assert "sig=" not in err
    assert "503" in last_line(err)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("registry", {"primaryRegionResourceProviderUri": "https://evil.example/"}),
        ("registry", {"primaryRegionResourceProviderUri": "https://evilapi.azureml.ms.example/"}),
        ("datastore", {"endpoint": "evil.example"}),
        ("datastore", {"accountName": "evil.example/"}),
        ("datastore", {"datastoreType": "AzureFile"}),
        ("signed", "https://evil.example/models?sig=x"),
        ("uri", "https://evil.example/models"),
    ],
)
def test_an_address_that_is_not_azure_s_is_told_nothing(
    field: str, value: Any, azure_ml: AzureML, internet: Internet, into: Path
) -> None:
    setattr(azure_ml, field, DISCOVERED | DATASTORE | value if isinstance(value, dict) else value)
    source = REGISTRY if field in {"registry", "signed"} else WORKSPACE
    assert fetch(source, into) == 2
    assert {request.host for request in internet.seen} <= {
        ENTRA, "management.azure.com", "eastus.api.azureml.ms", "westeurope.api.azureml.ms"
    }  # fmt: skip


def test_a_data_lake_is_read_as_blobs(azure_ml: AzureML, blob: Blob, into: Path) -> None:
    azure_ml.datastore = {"datastoreType": "AzureDataLakeGen2", "accountName": "mlstore", "filesystem": "models"}
    assert fetch(WORKSPACE, into) == 0
    assert contents(into) == blob.files


@pytest.mark.parametrize("source", ["registry", "workspace"])
@pytest.mark.usefixtures("azure_ml")
def test_a_model_that_is_not_there_is_wrong_input(source: str, into: Path) -> None:
    assert fetch([*SOURCES[source][:-1], "9"], into) == 1


def refused(code: str) -> Reply:
    return Reply(403, headers={"x-ms-error-code": code})


@pytest.mark.parametrize(
    ("host", "reply", "code", "words"),
    [
        (BLOB, refused("AuthorizationPermissionMismatch"), 2, "Storage Blob Data Reader"),
        (BLOB, refused("AuthorizationFailure"), 2, "firewall"),
        (BLOB, Reply(404, headers={"x-ms-error-code": "ContainerNotFound"}), 1, "ContainerNotFound"),
        (BLOB, Reply(200, b"<html>no"), 2, "no XML"),
        (BLOB, Reply(200, b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'), 2, "no XML"),
        (BLOB, Reply(200, b"<EnumerationResults/>"), 1, "holds no file"),
        (BLOB, Reply(503, headers={"x-ms-error-code": "ServerBusy"}), 75, "ServerBusy"),
        (ENTRA, said({"error": "invalid_client", "error_description": "AADSTS700213: no"}, 401), 2, "AADSTS700213"),
        (ENTRA, Reply(503), 75, "the sign-in failed 6 times"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("blob")
def test_a_refusal_says_who_has_to_act(
    *, host: str, reply: Reply, code: int, words: str, internet: Internet, into: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    internet.fault(host, *[reply] * 6)
    assert fetch(AZUREBLOB, into) == code
    assert words in last_line(capsys.readouterr().err)
    assert not into.exists()


@pytest.mark.usefixtures("blob")
def test_entra_may_stumble(internet: Internet, into: Path) -> None:
    internet.fault(ENTRA, Reply(503), Reply(429), Reply(500))
    assert fetch(AZUREBLOB, into) == 0


@pytest.mark.parametrize("name", ["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"])
@pytest.mark.usefixtures("blob")
def test_a_pod_without_identity_is_told_what_it_lacks(
    name: str, internet: Internet, into: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.delenv(name)
    assert fetch(AZUREBLOB, into) == 2
    assert f"`{name}` is not set" in last_line(capsys.readouterr().err)
    assert not internet.seen
    monkeypatch.setenv(name, "/no/such/file")
    if name == "AZURE_FEDERATED_TOKEN_FILE":
        assert fetch(AZUREBLOB, into) == 2
        assert "cannot be read" in last_line(capsys.readouterr().err)


def test_a_blob_that_changes_meanwhile_is_never_mixed(
    blob: Blob, internet: Internet, into: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The new model is as large as the old one, so only its version tells them apart."""

    def change(request: Request) -> Reply | None:
        if request.bounds and request.bounds[0] == 200_000 and blob.tag == "0x1":
            blob.tag = "0x2"
            blob.files["model.safetensors"] = blob.files["model.safetensors"][:-4] + b"new!"
        return None

    internet.faults.append(change)
    assert fetch(AZUREBLOB, into) == 75
    assert "changed during the download" in last_line(capsys.readouterr().err)
    assert not into.exists()
    assert fetch(AZUREBLOB, into) == 0
    assert contents(into) == blob.files


@pytest.fixture(scope="session")
def emulator() -> list[str]:
    return installed()


@pytest.mark.slow
@pytest.mark.usefixtures("entra")
def test_azurite_s_blobs_arrive_by_workload_identity(
    emulator: list[str],
    internet: Internet,
    tmp_path: Path,
    into: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = a_model() | {"model-2.safetensors": weights(300_000), "sub/ünï code+.txt": b"odd", "empty.txt": b""}
    with azurite(emulator, internet, "examplemodels", tmp_path / "azurite") as container:
        for name, content in files.items():
            if name != "model-2.safetensors":
                container.upload(f"my-model/{name}", content)
        large = files["model-2.safetensors"]
        container.upload_in_blocks("my-model/model-2.safetensors", large[:200_000], large[200_000:])
        container.upload("my-model-2/config.json", b"another model")
        container.upload("my-model/pytorch_model.bin", b"pickle")
        assert fetch(AZUREBLOB, into) == 0, capsys.readouterr().err
        assert "no checksum of model-2.safetensors" in capsys.readouterr().err
        assert contents(into) == files
        assert fetch([*AZUREBLOB[:-1], "nothing"], tmp_path / "models" / "n") == 1
        assert fetch([*AZUREBLOB[:4], "missing", *AZUREBLOB[5:]], tmp_path / "models" / "o") == 1
        assert "ContainerNotFound" in last_line(capsys.readouterr().err)
    assert fetch(AZUREBLOB, into) == 0
