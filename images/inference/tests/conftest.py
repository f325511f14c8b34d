"""What many tests start from: model folders, each made once, and an echo server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import models
from tests.servers import Running, echo_served, in_process


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
