"""What many tests start from: model folders, each made once, and a server of each engine, started once."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from xdist.scheduler import LoadScopeScheduling

from inference.logs import JsonLines
from tests import models
from tests.internet import Internet
from tests.servers import PLACES, START, Running, command, echo_served, free_port, in_process, vllm_missing

# The models are tiny: a second thread would only wait, and wait actively, for its turn on a machine that others use.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def log_ends_with_its_test() -> Iterator[None]:
    """A test that runs a command in this process sends the log to a stream that is closed after it."""
    yield
    for handler in logging.root.handlers[:]:
        if isinstance(handler.formatter, JsonLines):
            logging.root.removeHandler(handler)


class ByServer(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Tests of one file share a process, and so do those that ask one engine's server, which then starts once."""

    def _split_scope(self, nodeid: str) -> str:
        path, _, test = nodeid.partition("::")
        return next((engine for engine in START if engine in test), path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByServer:
    return ByServer(config, log)


class EndsItsServer:
    """Puts the tests that end a shared server behind all others, however the rest is shuffled."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:

        items.sort(key=lambda item: item.get_closest_marker("ends_server") is not None)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(EndsItsServer())


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


@pytest.fixture(scope="session")
def echo_server() -> Iterator[Running]:
    with in_process(echo_served) as running:
        yield running


@pytest.fixture(scope="session")
def transformers_server(counting_folder: Path) -> Iterator[Running]:
    port = free_port()
    limits = ["--max_running", str(PLACES), "--max_queued", str(PLACES)]
    with command(
        ["python3", *START["transformers"](str(counting_folder)), *limits, "--port", str(port)], port
    ) as ready:
        yield ready


@pytest.fixture(scope="session")
def vllm_server(counting_folder: Path) -> Iterator[Running]:
    if vllm_missing():
        pytest.skip(vllm_missing())
    port = free_port()
    limits = ["--max-model-len", "512", "--max-num-seqs", str(PLACES), "--max_queued", str(PLACES)]
    more = [*limits, "--port", str(port)]
    with command(["python3", *START["vllm"](str(counting_folder)), *more], port) as ready:
        yield ready


@pytest.fixture(params=["echo", *(pytest.param(name, marks=pytest.mark.slow) for name in START)])
def server(request: pytest.FixtureRequest) -> Running:
    """One server of each engine, for everything that must not depend on who makes the tokens."""
    found: Running = request.getfixturevalue(f"{request.param}_server")
    return found


@pytest.fixture
def engine(server: Running) -> str:
    """What the server says that it runs."""
    text = server.client.get("/metrics", headers={"Accept": "text/plain"}).text
    return next(name for name in ("echo", *START) if f'engine="{name}"' in text)


@pytest.fixture
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as made:
        yield made


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
