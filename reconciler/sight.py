"""Everything that is known of a claim at this moment, gathered for a decision."""

import math
from dataclasses import dataclass

from reconciler import budget, names
from reconciler.clock import Clock, loop_time
from reconciler.decide.action import Limits, Seen
from reconciler.desired import desired, offerings, problems, wants_nvidia
from reconciler.lister import Lister
from reconciler.memory import Memories, Memory
from reconciler.mirror import Mirror
from reconciler.node import Node
from reconciler.nodeclaim import Claim
from reconciler.nodepool import Ownership, Pool, ownership
from reconciler.offerings import Choice, Refusals, choose
from reconciler.settings import Settings

SILENCE_SECONDS = 120.0
"""The API server ends each watch of the Nodes within a minute; after two without a word nobody knows them any more."""


@dataclass
class Sight:
    settings: Settings
    clock: Clock
    cluster_id: str
    mirror: Mirror
    lister: Lister
    refusals: Refusals
    memories: Memories
    began: float
    """When this process began to lead: a request of the leader before it may still take effect for a while."""

    @property
    def limits(self) -> Limits:
        given = self.settings
        return Limits(
            given.launch_timeout,
            given.create_timeout,
            given.registration_timeout,
            given.create_attempts,
            given.node_repair,
            given.repair_after,
        )

    def seen(self, claim: Claim) -> Seen:
        now, memory = self.clock(), self.memories.of(claim.uid, loop_time())
        pool = self.lister.snapshot.pools.get(claim.name)
        whose = ownership(pool, self.cluster_id) if pool else Ownership.FOREIGN
        node_class = self.settings.node_class(claim.node_class)
        wrong = tuple(problems(claim, node_class, self.settings.location))
        choice = Choice(None) if wrong else self._choose(claim, memory)
        offering = choice.offering
        wanted = desired(claim, offering, node_class, self.cluster_id, now) if offering else None
        size = pool.size if pool else ""
        return Seen(
            claim=claim,
            now=now,
            limits=self.limits,
            pool=pool,
            ownership=whose,
            gone=self._is_gone(pool, memory),
            fresh=self.lister.snapshot.started > self.needed(claim, memory),
            blind=self.lister.verdict,
            ending=self.lister.snapshot.started <= memory.ended,
            ended=math.isfinite(memory.ended),
            nodes=self._nodes(claim, pool, whose),
            former=tuple(each for each in self.mirror.nodes_near(claim.name) if _is_former(each, claim)),
            steady=self._is_current() and self.lister.steady_for() >= self.settings.repair_after.total_seconds(),
            running=self.lister.cluster is None or self.lister.cluster.steady,
            admitted=pool is not None or self._admitted(claim),
            problems=wrong,
            choice=choice,
            desired=wanted,
            needs_gpu=wants_nvidia(size, node_class),
            repairable=self.mirror.repairable(self.settings.repair_percent),
            drained=memory.drained,
        )

    def needed(self, claim: Claim, memory: Memory) -> float:
        """When a LIST must have begun for the lack of a pool in it to prove that there is none."""
        if not claim.deleted:
            return max(memory.uncertain, memory.since)
        if memory.deleted is None:
            memory.deleted = loop_time()
        return max(memory.uncertain, memory.deleted, self.began + self.settings.settle)

    def _choose(self, claim: Claim, memory: Memory) -> Choice:
        own = memory.refused(self.clock())
        if own is not None:
            return Choice(None, (own,))
        node_class = self.settings.node_class(claim.node_class)
        return choose(offerings(claim, node_class, self.settings.location), self.refusals, self.clock())

    def _is_gone(self, pool: Pool | None, memory: Memory) -> bool:
        began = self.lister.snapshot.started
        if pool is not None:
            memory.missed = None
        elif memory.missed is None and math.isfinite(began):  # Before the first LIST nothing lacks anything.
            memory.missed = began
        return memory.missed is not None and began > memory.missed

    def _is_current(self) -> bool:
        """Whether Nodes and pools are known as they are: a machine must not be ended for what it looked like once."""
        now = loop_time()
        heard = now - self.mirror.nodes.heard <= SILENCE_SECONDS
        return heard and now - self.lister.snapshot.started <= 2 * self.settings.idle_period

    def _nodes(self, claim: Claim, pool: Pool | None, whose: Ownership) -> tuple[Node, ...]:
        """The Nodes of a pool that is the claim's, but those of a former claim; otherwise only with the claim's UID."""
        near = self.mirror.nodes_near(claim.name)
        if pool is not None and whose is Ownership.OURS and pool.uid == claim.uid:
            return tuple(node for node in near if not _is_former(node, claim))
        return tuple(node for node in near if _carries(node, claim.uid))

    def _admitted(self, claim: Claim) -> bool:
        return budget.admitted(claim, self._waiting(), self._room())

    def next_in_line(self) -> list[Claim]:
        """The claims that there is room for now, the oldest first."""
        room = self._room()
        return sorted(self._waiting(), key=budget.age)[:room] if room > 0 else []

    def _waiting(self) -> list[Claim]:
        pools = self.lister.snapshot.pools
        return [each for each in self.mirror.all_claims() if each.name not in pools and budget.is_waiting(each)]

    def _room(self) -> int:
        pools = self.lister.snapshot.pools.values()
        return budget.headroom(pools, self.cluster_id, self.settings.pool_limit, self.settings.pool_reserve)


def _is_former(node: Node, claim: Claim) -> bool:
    """By its label, or by its owner where gpu-provisioner made its pool and nobody labelled it since."""
    owners = [each["uid"] for each in node.owners if each.get("kind") == names.KIND]
    marks = [node.labels[names.UID_LABEL]] if names.UID_LABEL in node.labels else owners
    return node.pool == claim.name and bool(marks) and claim.uid not in marks


def _carries(node: Node, uid: str) -> bool:
    return node.labels.get(names.UID_LABEL) == uid or any(each["uid"] == uid for each in node.owners)
