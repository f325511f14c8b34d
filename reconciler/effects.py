"""A decision becomes at most one change of the world, and what came of it is remembered.

Each effect is safe to be cut off before, within and after: nothing here is needed to know what to do next.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from reconciler import names
from reconciler.azure import AgentPools, AzureError, LostError
from reconciler.clock import Clock, loop_time
from reconciler.conditions import false
from reconciler.decide.action import (
    LATER,
    PATIENCE,
    Action,
    AddFinalizer,
    CreatePool,
    Decision,
    DeleteClaim,
    DeletePool,
    Draft,
    Drain,
    DropFinalizer,
    Ignore,
    LookAgain,
    PatchNode,
    RemoveNode,
    Wait,
)
from reconciler.decide.launch import creating, failure_patch
from reconciler.drain import kept_volumes, plan, taint_patch
from reconciler.duration import format_time
from reconciler.errors import THROTTLED, Class, classify
from reconciler.events import Recorder
from reconciler.kube import ConflictError, GoneError, Kube, KubeError
from reconciler.lister import LONG_WAIT, Lister
from reconciler.memory import Memories, Memory
from reconciler.metrics import Metrics
from reconciler.mirror import Mirror
from reconciler.node import Node
from reconciler.nodeclaim import Claim, Object
from reconciler.nodepool import Pool
from reconciler.offerings import Refusal, Refusals
from reconciler.settings import Settings
from reconciler.sight import Sight

LOG = logging.getLogger(__name__)
DRAIN_SECONDS = 5.0


class NotLeaderError(Exception):
    """The lease is lost, or about to be: nothing more is written."""


@dataclass
class Effects:
    settings: Settings
    clock: Clock
    kube: Kube
    pools: AgentPools
    mirror: Mirror
    lister: Lister
    sight: Sight
    refusals: Refusals
    memories: Memories
    recorder: Recorder
    metrics: Metrics
    may_write: Callable[[], bool]

    def guard(self) -> None:
        if not self.may_write():
            raise NotLeaderError

    async def write_status(self, claim: Claim, decision: Decision) -> Claim:
        if decision.status is None:
            return claim
        self.guard()
        body = await self.kube.patch_claim_status(claim.name, claim.version, dict(decision.status))
        self.mirror.claims.learn(claim.version, body)
        return Claim(body)

    async def perform(self, claim: Claim, decision: Decision) -> float | None:
        """Do it. 0: decide again at once; None: when something happens."""
        action, memory = decision.action, self.memories.of(claim.uid, loop_time())
        if not isinstance(action, Wait | Ignore | LookAgain):
            self.guard()
        again = decision.again.total_seconds() if decision.again is not None else None
        return await self._perform(claim, action, memory, again)

    async def _perform(self, claim: Claim, action: Action, memory: Memory, again: float | None) -> float | None:
        match action:
            case LookAgain():
                self.lister.want(claim.name, self.sight.needed(claim, memory))
                again = None
            case AddFinalizer():
                again = await self._add_finalizer(claim, memory)
            case CreatePool():
                again = await self._create(claim, action, memory)
            case DeletePool():
                again = await self._delete_pool(claim, action, memory, again)
            case DeleteClaim():
                again = await self._delete_claim(claim, action)
            case PatchNode(node, patch):
                again = await self._patch_node(node, dict(patch))
            case RemoveNode(node):
                again = await self._remove_node(node)
            case Drain():
                again = await self._drain(claim, action, memory)
            case DropFinalizer():
                await self._drop_finalizer(claim)
                again = None
        return again

    async def _add_finalizer(self, claim: Claim, memory: Memory) -> float:
        await self._patch_claim(claim, {"metadata": {"finalizers": [*claim.finalizers, names.TERMINATION_FINALIZER]}})
        memory.uncertain = max(memory.uncertain, loop_time())
        return 0.0

    async def _drop_finalizer(self, claim: Claim) -> None:
        kept = [each for each in claim.finalizers if each != names.TERMINATION_FINALIZER]
        await self._patch_claim(claim, {"metadata": {"finalizers": kept}})
        self.memories.forget(claim.uid)

    async def _patch_claim(self, claim: Claim, patch: Object) -> Claim:
        self.guard()
        body = await self.kube.patch_claim(claim.name, claim.version, patch)
        self.mirror.claims.learn(claim.version, body)
        return Claim(body)

    async def _patch_node(self, node: Node, patch: Object) -> float:
        self.guard()
        body = await self.kube.patch_node(node.name, node.version, patch)
        self.mirror.nodes.learn(node.version, body)
        return 0.0

    async def _is_as_seen(self, claim: Claim) -> bool:
        """Read the claim past every cache: a cache may be a minute old, and this is about money."""
        body = await self.kube.read_claim(claim.name)
        current = Claim(body)
        if current.version != claim.version:
            self.mirror.claims.learn(claim.version, body)
        return (current.uid, current.deleted, current.held) == (claim.uid, None, True)

    async def _create(self, claim: Claim, action: CreatePool, memory: Memory) -> float | None:
        if not await self._is_as_seen(claim):
            raise ConflictError(f"claim `{claim.name}` changed meanwhile")
        self.guard()
        desired = action.desired
        # Whatever comes of it, this LIST and those under way prove nothing any more.
        memory.uncertain = loop_time() + self.settings.settle
        try:
            await self.pools.create(desired)
        except AzureError as error:
            return self._create_refused(claim, action, memory, error)
        except (LostError, asyncio.CancelledError):
            # No answer, or the turn's time is over: from now on it may still take effect for a while.
            memory.uncertain = loop_time() + self.settings.settle
            raise
        memory.refusal, memory.failures = None, 0
        self.lister.hurry()
        self.recorder.normal(
            claim, "NodePoolCreating", f"asked for node pool `{desired.name}` of size `{desired.offering.size}`"
        )
        draft = Draft.of(claim, self.clock())
        draft.set(creating(desired.offering, desired.name))
        await self.write_status(self.mirror.claim(claim.name) or claim, Decision(Wait(), draft.patch()))
        return 60.0

    def _create_refused(self, claim: Claim, action: CreatePool, memory: Memory, error: AzureError) -> float | None:
        """What Azure said, remembered, so that the next decision knows it."""
        verdict, now = classify(error.trouble), self.clock()
        if error.changed:
            memory.uncertain = loop_time()
            memory.refuse(action.desired.offering, verdict, error.trouble.message, now)
            self.lister.want(claim.name, memory.uncertain)
            return None
        # A gateway answers for AKS when it has waited long enough: what it gave up may take effect from now on.
        gave_up = error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        memory.uncertain = loop_time() + (self.settings.settle if gave_up else 0.0)
        if error.throttled or verdict.kind is Class.THROTTLED:
            wait = error.retry_after or verdict.hold.total_seconds()
            if wait < LONG_WAIT:
                return wait
            memory.refusal = Refusal(action.desired.offering, THROTTLED, now + timedelta(seconds=wait))
            return 0.0
        offering = action.desired.offering
        self.refusals.remember(offering, verdict, now)
        if verdict.scope.value == "nothing else":
            memory.refuse(offering, verdict, error.trouble.message, now)
        self.metrics.refused(verdict.reason)
        LOG.warning(
            "node pool refused",
            extra={
                "claim": claim.name,
                "reason": verdict.reason,
                "cause": str(error),
                "correlation": error.correlation,
            },
        )
        if verdict.hopeless:
            self.recorder.warning(claim, verdict.reason, f"{offering.size}: {verdict.sentence}")
        return 0.0

    async def _delete_pool(self, claim: Claim, action: DeletePool, memory: Memory, again: float | None) -> float | None:
        if action.uid != claim.uid and Claim(await self.kube.read_claim(claim.name)).uid == action.uid:
            raise ConflictError(f"the claim of node pool `{action.pool.name}` is not gone")
        if action.failed and action.failed != claim.failed_pools:
            claim = await self._patch_claim(claim, failure_patch(action.failed))
        if action.refused is not None:
            self.refusals.remember(*action.refused, self.clock())
            self.metrics.refused(action.refused[1].reason)
        self.guard()
        try:
            await self.pools.delete(action.pool.name, action.pool.etag)
        except AzureError as error:
            return self._delete_refused(claim, action.pool, memory, error, again)
        finally:
            memory.uncertain = max(memory.uncertain, loop_time())
        memory.ended = loop_time()
        self.lister.want(claim.name, memory.ended)
        self.recorder.normal(claim, "NodePoolDeleting", f"node pool `{action.pool.name}` is being deleted")
        return again

    def _delete_refused(
        self, claim: Claim, pool: Pool, memory: Memory, error: AzureError, again: float | None
    ) -> float | None:
        LOG.warning(
            "node pool not deleted",
            extra={"claim": claim.name, "cause": str(error), "correlation": error.correlation},
        )
        if error.changed:
            return self._look_at_etag(claim, pool, memory, error)
        if error.throttled:
            return error.retry_after or again
        verdict = classify(error.trouble)
        if verdict.kind is Class.CONFLICT:
            return again
        self._say_not_deleted(claim, f"{verdict.sentence} ({error.trouble.message})")
        raise error

    def _look_at_etag(self, claim: Claim, pool: Pool, memory: Memory, error: AzureError) -> float | None:
        """The pool is newer than the LIST; where a newer LIST tells the same etag, it helps nobody to ask fast."""
        if memory.refused_etag != pool.etag:
            memory.refused_etag = pool.etag
            self.lister.want(claim.name, loop_time())
            return None
        self._say_not_deleted(
            claim, f"its etag in the LIST is not the one that Azure compares ({error.trouble.message})"
        )
        return LATER.total_seconds()

    def _say_not_deleted(self, claim: Claim, why: str) -> None:
        self.recorder.warning(claim, "NodePoolNotDeleted", f"AKS does not delete the node pool: {why}")

    async def _delete_claim(self, claim: Claim, action: DeleteClaim) -> float | None:
        if action.reason in ("NodeRepair", "RegistrationTimeout", "NodePoolGone", "NodeDeleted"):
            await self.lister.refresh_cluster()
            if not self.sight.seen(claim).running:
                return 60.0
        if action.forced and names.TERMINATION_ANNOTATION not in claim.annotations:
            stamp = {names.TERMINATION_ANNOTATION: format_time(self.clock())}
            claim = await self._patch_claim(claim, {"metadata": {"annotations": stamp}})
        self.recorder.warning(claim, action.reason, action.message)
        if action.reason in ("LaunchTimeout", "LaunchFailed", "RegistrationTimeout"):
            self.metrics.refused(action.reason)
        self.guard()
        await self.kube.delete_claim(claim.name, claim.uid)
        return 60.0

    async def _remove_node(self, node: Node) -> float | None:
        """Our finalizer off first: were it deleted first and we cut off, it would stay for ever."""
        try:
            if node.held:
                kept = [each for each in node.finalizers if each != names.TERMINATION_FINALIZER]
                await self._patch_node(node, {"metadata": {"finalizers": kept}})
            if not node.deleting:
                self.guard()
                await self.kube.delete_node(node.name, node.uid)
        except GoneError:
            LOG.debug("node is gone", extra={"node": node.name})
        self.mirror.nodes.items.pop(node.name, None)
        return 0.0

    async def _drain(self, claim: Claim, action: Drain, memory: Memory) -> float | None:
        now = self.clock()
        if action.stamp and action.deadline is not None:
            claim = await self._stamp(claim, format_time(action.deadline))
        left = 0
        for node in action.nodes:
            left += await self._empty(node, action, now)
        if left == 0:
            memory.drained = True
            return 0.0
        await self._say_draining(claim, left)
        return DRAIN_SECONDS

    async def _stamp(self, claim: Claim, stamp: str) -> Claim:
        """For others to read; the deadline follows from the claim without it, so a refusal stops nothing."""
        try:
            return await self._patch_claim(claim, {"metadata": {"annotations": {names.TERMINATION_ANNOTATION: stamp}}})
        except (ConflictError, GoneError):
            raise
        except KubeError as error:
            LOG.warning("deadline not written", extra={"claim": claim.name, "cause": str(error)})
            return claim

    async def _empty(self, node: Node, action: Drain, now: datetime) -> int:
        """Ask what is next of a Node to leave; how much is still there."""
        if not node.has_taint(names.DISRUPTED_TAINT, "NoSchedule"):
            patch = taint_patch(node.taints, node.finalizers, keep_finalizer=node.deleting)
            try:
                await self._patch_node(node, patch)
            except GoneError:
                return 0
        pods = await self.kube.pods_on(node.name)
        step = plan(pods, now, action.deadline)
        for pod in step.evict:
            await self._evict(pod)
        for pod, seconds in step.delete:
            await self._end_pod(pod, seconds)
        if not step.drained or (action.deadline is not None and now >= action.deadline):
            return step.left
        return await self._attached(node, kept_volumes(pods, now)) if node.ready else 0

    async def _attached(self, node: Node, kept: set[tuple[str, str]]) -> int:
        """Volumes that somebody still has to detach: those of pods that stay are detached when the machine is gone."""
        found = await self.kube.attachments_on(node.name)
        return sum([not kept or await self._volume_claim(each) not in kept for each in found])

    async def _volume_claim(self, attachment: Object) -> tuple[str, str]:
        """Whose volume it is; what nobody can tell is waited for."""
        try:
            volume = await self.kube.volume(attachment["spec"]["source"].get("persistentVolumeName") or "")
        except KubeError as error:
            LOG.info("volume not read", extra={"cause": str(error)})
            return "", ""
        claim = volume["spec"].get("claimRef") or {}
        return str(claim.get("namespace", "")), str(claim.get("name", ""))

    async def _evict(self, pod: Object) -> None:
        """Whatever one pod is refused for, the others are asked, and the claim says that it waits."""
        self.guard()
        try:
            await self.kube.evict(pod)
        except GoneError:
            return
        except KubeError as error:
            LOG.info("pod not evicted", extra={"pod": pod["metadata"]["name"], "cause": str(error)})

    async def _end_pod(self, pod: Object, seconds: int) -> None:
        self.guard()
        try:
            await self.kube.delete_pod(pod, seconds)
        except GoneError:
            return
        except KubeError as error:
            LOG.info("pod not deleted", extra={"pod": pod["metadata"]["name"], "cause": str(error)})

    async def _say_draining(self, claim: Claim, left: int) -> None:
        """What holds the claim up; a status that cannot be written holds nothing up."""
        if claim.deleted and self.clock() - claim.deleted < PATIENCE:
            return
        draft = Draft.of(claim, self.clock())
        draft.set(false(names.DRAINED, "Draining", "waiting for pods and volumes to leave the Node"))
        LOG.info("draining", extra={"claim": claim.name, "left": left})
        try:
            await self.write_status(claim, Decision(Wait(), draft.patch()))
        except ConflictError:
            raise
        except KubeError as error:
            LOG.warning("status not written", extra={"claim": claim.name, "cause": str(error)})
