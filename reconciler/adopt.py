"""`python -m reconciler adopt`: take over the node pools that gpu-provisioner made.

It says what it would do; `--yes` does it. A pool is taken over by tags, which AKS changes in place: no node restarts.
Without the tags it is left alone, and so it is gpu-provisioner's again once they are removed; `docs/reconciler.md`
tells the way there and back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reconciler import names
from reconciler.azure import AgentPools, AzureError, LostError
from reconciler.desired import ownership_tags
from reconciler.look import connected, read_pools, write
from reconciler.nodeclaim import Claim
from reconciler.nodepool import Ownership, Pool, ownership
from reconciler.settings import read_settings

YES = "--yes"


@dataclass(frozen=True, slots=True)
class Step:
    """One pool of gpu-provisioner, and what becomes of it."""

    pool: Pool
    claim: Claim | None
    why_not: str = ""


async def adopt(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """0: nothing is left to take over, or it was only asked; 1: a pool was not taken over."""
    settings = read_settings([each for each in arguments if each != YES], environment)
    async with connected(settings) as (kube, pools):
        cluster = await kube.cluster_id()
        claims = [Claim(each) for each in await kube.list_claims()]
        steps = plan(await read_pools(pools), claims, cluster)
        write(describe(steps, done=YES in arguments))
        if YES not in arguments:
            return 0
        return await _perform(steps, pools, cluster)


def plan(pools: Iterable[Pool], claims: Iterable[Claim], cluster: str) -> list[Step]:
    """Each pool that gpu-provisioner made and nobody took over."""
    known = {claim.name: claim for claim in claims}
    legacy = [pool for pool in pools if ownership(pool, cluster) is Ownership.LEGACY]
    return [_step(pool, known.get(pool.name)) for pool in sorted(legacy, key=lambda each: each.name)]


def _step(pool: Pool, claim: Claim | None) -> Step:
    if claim is None:
        return Step(pool, None, "no NodeClaim of its name exists: delete the pool by hand if nobody needs it")
    if not claim.managed:
        return Step(pool, claim, "the NodeClaim of its name is not KAITO's")
    if not pool.settled or pool.failed:
        return Step(pool, claim, f"it is {pool.state}: come back when it is Succeeded")
    return Step(pool, claim)


def describe(steps: Iterable[Step], *, done: bool) -> list[str]:
    rows = list(steps)
    ready = sum(not each.why_not for each in rows)
    lines = [f"{each.pool.name:<14}{each.pool.size:<28}{each.why_not or 'is tagged as ' + _uid(each)}" for each in rows]
    if not rows:
        return ["no node pool of gpu-provisioner is left to take over"]
    if done:
        return lines
    return [
        *lines,
        f"{ready} of {len(rows)} node pools would be tagged; no node restarts",
        f"first stop gpu-provisioner (`kubectl scale deployment gpu-provisioner --replicas=0`), then add `{YES}`",
    ]


def _uid(step: Step) -> str:
    return f"NodeClaim {step.claim.uid}" if step.claim else ""


async def _perform(steps: Iterable[Step], pools: AgentPools, cluster: str) -> int:
    failed = 0
    for step in steps:
        if step.why_not or step.claim is None:
            failed += 1
            continue
        tags = ownership_tags(step.claim, cluster, step.claim.created) | {names.TAG_ADOPTED: names.GPU_PROVISIONER}
        try:
            await pools.tag(step.pool.name, step.pool.etag, tags)
        except (AzureError, LostError) as error:
            failed += 1
            write([f"{step.pool.name}: {error}"])
    return int(failed > 0)
