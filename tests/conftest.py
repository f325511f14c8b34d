"""What many tests start from: the repository's own catalog, compiled once, and copies of it to change."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from generator.compile import Compiled, compile_catalog
from generator.repository import Repository
from tests.apiserver import ApiServer, load_definitions, running_api_server
from tools.distill.sources import definitions, fetch

ROOT = Path(__file__).parent.parent

# How long an example takes is the machine's affair: no test is timed.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test with a real API server is slow, whether its author said so or not."""
    for item in items:
        if "api_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """One API server for all tests of this process: three seconds once, and no worker disturbs another's objects."""
    with running_api_server() as server:
        yield server


@pytest.fixture(scope="session")
def loaded_server(api_server: ApiServer) -> ApiServer:
    """The same server with the definition of every kind that is not Kubernetes' own and that we emit."""
    load_definitions(api_server.api(), [crd for crd, _ in definitions(fetch())])
    return api_server


@pytest.fixture(scope="session")
def fleet() -> Compiled:
    """The committed catalog, compiled; read it, never change it."""
    compiled = compile_catalog(Repository(ROOT))
    assert compiled.rendering is not None
    return compiled


@pytest.fixture
def workshop(tmp_path: Path) -> Repository:
    """A copy of the committed catalog and bases that a test may change, with nothing rendered yet."""
    shutil.copytree(ROOT / "catalog", tmp_path / "catalog")
    for folder in ("base", "components"):
        shutil.copytree(ROOT / "clusters" / folder, tmp_path / "clusters" / folder)
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    return Repository(tmp_path)
