"""How many requests does Azure take? The resource provider's token buckets, and ARM's own above them.

The figures are those of the documentation of AKS. A PUT counts per pool; LIST, GET and DELETE share one bucket.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class Bucket:
    burst: float
    rate: float
    """Tokens per second."""
    tokens: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.tokens = self.burst

    def take(self, now: float) -> int:
        """0, or the whole seconds after which there is a token again."""
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return math.ceil((1 - self.tokens) / self.rate)
        self.tokens -= 1
        return 0


@dataclass
class Allowance:
    puts: dict[str, Bucket] = field(default_factory=lambda: defaultdict(lambda: Bucket(20, 1 / 60)))
    operations: Bucket = field(default_factory=lambda: Bucket(200, 2))
    cluster: Bucket = field(default_factory=lambda: Bucket(60, 1))
    others: Bucket = field(default_factory=lambda: Bucket(60, 1))
    arm: dict[str, Bucket] = field(
        default_factory=lambda: {"GET": Bucket(250, 25), "PUT": Bucket(200, 10), "DELETE": Bucket(200, 10)}
    )

    def take(self, method: str, kind: str, name: str, now: float) -> int:
        """Seconds to wait, for a request of a kind of resource; nothing is taken where one of the two says no."""
        wait = self.arm[method].take(now)
        return wait or self._provider(method, kind, name).take(now)

    def _provider(self, method: str, kind: str, name: str) -> Bucket:
        if kind == "operation":
            return self.operations
        if kind == "cluster":
            return self.cluster
        return self.puts[name] if method == "PUT" else self.others
