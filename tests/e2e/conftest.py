"""Our two clusters, each with an Argo CD that has rolled out the committed catalog."""

from collections.abc import Iterator

import pytest

from tests.e2e.environment import Environment, running_environment


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    yield from _rolled_out("dev", tmp_path_factory)


@pytest.fixture(scope="session")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    yield from _rolled_out("prod", tmp_path_factory)


def _rolled_out(cluster: str, folders: pytest.TempPathFactory) -> Iterator[Environment]:
    with running_environment(folders.mktemp(cluster), cluster) as found:
        commit = found.start()
        for unit in found.units():
            found.wait(unit, commit, 180)
        found.first_sync.extend(found.journal.since())
        yield found
