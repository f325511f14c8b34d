"""Do processes that are killed at any moment lose nothing, at a real API server and through Azure's own SDK?

The long form, with 500 claims for half an hour, is `make soak`.
"""

from pathlib import Path
from random import SystemRandom

import pytest

from tests.reconciler.soak import Plan, soak


@pytest.mark.slow
def test_kills_at_random_moments_leak_nothing_and_make_nothing_twice(tmp_path: Path) -> None:
    seed = SystemRandom().randrange(1_000_000)
    plan = Plan(claims=40, seconds=45, alive=25, seed=seed, errors=0.15, throttles=0.05, calm=180)
    figures = soak(plan, tmp_path)
    assert (figures.leaked, figures.duplicates, figures.foreign_touched) == (set(), 0, 0), f"{seed=} {figures}"
    assert figures.claims == plan.claims
    assert figures.kills >= 3
    surprises = [each for each in (tmp_path / "log").read_text().splitlines() if "Traceback" in each]
    assert surprises == []
