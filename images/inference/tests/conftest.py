"""What many tests start from: model folders, each made once, and an echo server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests import models
from tests.internet import Internet
from tests.servers import Running, echo_served, in_process

# The models are tiny: a second thread would only wait, and wait actively, for its turn on a machine that others use.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def llama_folder(folders: Path) -> Path:
    return models.save(folders / "llama", models.llama())


@pytest.fixture(scope="session")
def bloom_folder(folders: Path) -> Path:
    return models.save(folders / "bloom", models.bloom())


@pytest.fixture(scope="session")
def counting_folder(folders: Path) -> Path:
    return models.train_counting(folders / "counting")


@pytest.fixture
def echo() -> Iterator[Running]:
    with in_process(echo_served) as running:
        yield running


@pytest.fixture
def internet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    """Every host is a fake on this machine, and the pod has a workload identity."""
    folder = tmp_path / "pod"
    folder.mkdir()
    (folder / "token").write_text("a ServiceAccount's token")
    with Internet(folder).running() as made:
        for name in ("HF_TOKEN", "HF_ENDPOINT", "NO_PROXY", "no_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", made.proxy)
        monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made.certificate))
        monkeypatch.setenv("AZURE_CLIENT_ID", "a-client")
        monkeypatch.setenv("AZURE_TENANT_ID", "a-tenant")
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/")
        monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(folder / "token"))
        yield made
