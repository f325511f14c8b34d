"""What do the limits of AKS do to more claims than a cluster has pools for? 1,000 of them are the bench's."""

import pytest

from tests.reconciler.bench.thousand import fate, machines


@pytest.mark.slow
def test_more_claims_than_pools_wait_for_the_older_and_all_get_ready_in_the_end() -> None:
    found = fate(60, 23)
    assert found.most_pools == 20
    assert found.in_order
    assert found.asked.calls["PUT"] == 60
    assert found.asked.throttled == 0
    assert found.asked.reads_per_second < 0.5


def test_machines_must_be_asked_for_many_at_once() -> None:
    reckoned = dict(machines(1000))
    assert reckoned["PUT of one machine each"] > 16 * 3600
    assert reckoned["PUT of 50 machines each"] == 0
    assert reckoned["deletion of one machine each"] == pytest.approx(940, abs=60)
    assert reckoned["deletion of 50 machines each"] == 0
