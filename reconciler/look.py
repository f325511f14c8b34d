"""`python -m reconciler orphans --dry-run`: what would the search for orphans delete, how old is it, what does it cost?

It reads and prints. Deleting is the running reconciler's, which knows what it saw in the search before.
"""

import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from reconciler.azure import AgentPools, AzureError, LostError
from reconciler.clock import wall_clock
from reconciler.collect import Orphan
from reconciler.collect import orphans as find_orphans
from reconciler.duration import format_duration
from reconciler.kube import Kube
from reconciler.kube.api import KubeApi, configure
from reconciler.nodeclaim import Claim
from reconciler.nodepool import Pool
from reconciler.prices import Prices, read_prices
from reconciler.run import azure
from reconciler.settings import Settings, SettingsError, read_settings

DRY_RUN = "--dry-run"


async def orphans(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    if DRY_RUN not in arguments:
        raise SettingsError(
            [f"`orphans` only looks: write `orphans {DRY_RUN}`; the running reconciler deletes by itself"]
        )
    settings = read_settings([each for each in arguments if each != DRY_RUN], environment)
    prices = read_prices(settings.prices, settings.location)
    async with connected(settings) as (kube, pools):
        found = await _search(kube, pools)
    write(table(found, prices, settings))
    return 0


async def _search(kube: Kube, pools: AgentPools) -> list[Orphan]:
    """In the order of the running search: pools first."""
    listed = await read_pools(pools)
    uids = [Claim(each).uid for each in await kube.list_claims()]
    return find_orphans(listed, uids, await kube.cluster_id(), wall_clock())


def table(found: Iterable[Orphan], prices: Prices, settings: Settings) -> list[str]:
    rows = list(found)
    lines = [
        f"{each.pool.name:<14}{each.pool.size:<28}{format_duration(each.age):>12}  {_cost(each.pool, prices):>12}  "
        f"{_verdict(each, settings)}"
        for each in rows
    ]
    head = f"{'POOL':<14}{'SIZE':<28}{'AGE':>12}  {'USD PER HOUR':>12}  WHAT HAPPENS"
    known = sum(prices.get(each.pool.size, 0.0) for each in rows)
    return [head, *lines, f"{len(rows)} orphans, {known:.2f} USD per hour where a price is known"]


def _cost(pool: Pool, prices: Prices) -> str:
    return f"{prices[pool.size]:.3f}" if pool.size in prices else "unknown"


def _verdict(orphan: Orphan, settings: Settings) -> str:
    if orphan.pool.deleting:
        return "is being deleted"
    if orphan.age < settings.orphan_age:
        return f"kept until it is {format_duration(settings.orphan_age)} old"
    return f"deleted after two searches, {settings.sweep_limit} in each"


async def read_pools(pools: AgentPools) -> list[Pool]:
    """Every pool.

    Raises:
        SettingsError: Azure does not answer as it should; whoever asked can read why.
    """
    try:
        return await pools.list()
    except (AzureError, LostError) as error:
        raise SettingsError([f"Azure cannot be asked: {error}"]) from error


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[tuple[KubeApi, AgentPools]]:
    async with AsyncExitStack() as stack:
        configuration = await configure(settings.kubeconfig, settings.context)
        kube = KubeApi(configuration, settings.lease_namespace, settings.lease_name, wall_clock)
        stack.push_async_callback(kube.close)
        yield kube, await stack.enter_async_context(azure(settings))


def write(lines: Iterable[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
