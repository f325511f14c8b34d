"""What does ARM say to the reconciler? A server on loopback that answers as Azure documents it, and as it was measured.

It knows one managed cluster and its agent pools: `aks` holds what happens to them, `rules` what is refused, `allowance`
the throttling, `faults` what goes wrong on request, and `server` puts them behind HTTP. `identity` is what hands out
tokens. `bench` runs a scenario against it through the reconciler's own client, in virtual time: `loop` lets the clock
jump only while no request is on its way.
"""

from tests.fakearm.aks import FakeAks, Times
from tests.fakearm.answer import RefusedError
from tests.fakearm.bench import Bench, run_over_http
from tests.fakearm.faults import Fault, Kind
from tests.fakearm.server import FakeArm, Seen

__all__ = ["Bench", "FakeAks", "FakeArm", "Fault", "Kind", "RefusedError", "Seen", "Times", "run_over_http"]
