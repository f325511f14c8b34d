"""May we ask Azure now? Less than AKS allows, since other tools share the allowance, and not at all while it says wait.

AKS counts per subscription and region: 60 requests at once and one per second for LIST, DELETE and GET together; a PUT
counts per pool, a GET of the cluster by itself. ARM in front of it counts reads, writes and deletions of an identity. A
429 says by its code which of the two refused, and only what it counts together waits. A request too many is refused
here at once, with the time after which to come again, so that nobody holds a claim in hand that changes meanwhile.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from reconciler.azure.port import AgentPools, AzureError, LostError
from reconciler.clock import loop_time
from reconciler.desired import Desired
from reconciler.errors import Trouble
from reconciler.nodepool import Cluster, Pool

T = TypeVar("T")

THROTTLED_BY_AKS = "Throttled"
"""The code of AKS itself; ARM has others, and so have gateways."""
PAUSE_SECONDS = 30.0
"""After a 429 that names no time."""
ROUNDING = 1e-6
"""Of a token or a second: whoever comes when he was told to must not be sent away for a nanosecond."""


@dataclass
class Bucket:
    """Tokens that come back at a rate."""

    burst: float
    rate: float
    _tokens: float = field(init=False)
    _at: float = 0.0

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def take(self, now: float) -> float:
        """Take one, or tell how long to wait for it."""
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1 - ROUNDING:
            return (1 - self._tokens) / self.rate
        self._tokens = max(self._tokens - 1, 0.0)
        return 0.0


@dataclass(frozen=True, slots=True)
class Counted:
    """What a request is counted with."""

    aks: str
    arm: str


def _nothing(*_: object) -> None:
    pass


@dataclass
class ThrottledPools:
    """The agent pools behind the allowances; `counted` hears of each request that went out."""

    pools: AgentPools
    counted: Callable[[str, str], None] = _nothing
    waited: Callable[[float], None] = _nothing
    """Hears of the seconds that Azure told us to wait."""
    _reads: Bucket = field(default_factory=lambda: Bucket(20, 0.3))
    _deletes: Bucket = field(default_factory=lambda: Bucket(30, 0.6))
    """Both together below AKS's one, so that many deletions never cost us the LIST that tells when they are done."""
    _puts: Bucket = field(default_factory=lambda: Bucket(100, 8))
    _paused: dict[str, float] = field(default_factory=dict)
    """Until when, by what counts together."""

    async def list(self) -> list[Pool]:
        return await self._ask("list", Counted("others", "reads"), self._reads, self.pools.list)

    async def create(self, pool: Desired) -> None:
        counted = Counted(f"pool {pool.name}", "writes")
        await self._ask("create", counted, self._puts, lambda: self.pools.create(pool))

    async def delete(self, name: str, etag: str) -> None:
        counted = Counted("others", "deletions")
        await self._ask("delete", counted, self._deletes, lambda: self.pools.delete(name, etag))

    async def tag(self, name: str, etag: str, tags: Mapping[str, str]) -> None:
        counted = Counted(f"pool {name}", "writes")
        await self._ask("tag", counted, self._puts, lambda: self.pools.tag(name, etag, tags))

    async def cluster(self) -> Cluster:
        return await self._ask("cluster", Counted("cluster", "reads"), self._reads, self.pools.cluster)

    async def _ask(self, operation: str, by: Counted, bucket: Bucket, request: Callable[[], Awaitable[T]]) -> T:
        now = loop_time()
        paused = max(self._paused.get(each, now) for each in (by.aks, by.arm)) - now
        wait = paused if paused > ROUNDING else bucket.take(now)
        if wait > 0:
            raise AzureError(Trouble("Throttled", "not asked: our allowance is used up"), 429, retry_after=wait)
        try:
            answer = await request()
        except AzureError as error:
            self.counted(operation, str(error.status))
            self._heed(error, by)
            raise
        except LostError:
            self.counted(operation, "lost")
            raise
        self.counted(operation, "200")
        return answer

    def _heed(self, error: AzureError, by: Counted) -> None:
        if error.throttled:
            wait = PAUSE_SECONDS if error.retry_after is None else error.retry_after
            self.waited(wait)
            now, whose = loop_time(), by.aks if error.trouble.code == THROTTLED_BY_AKS else by.arm
            self._paused = {each: until for each, until in self._paused.items() if until > now}
            self._paused[whose] = max(self._paused.get(whose, now), now + wait)
