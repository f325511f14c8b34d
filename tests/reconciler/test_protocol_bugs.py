"""Would the proofs notice? Each deliberate bug of the protocol must make the test fail that stands against it."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from reconciler import effects as effects_module
from reconciler import sight as sight_module
from reconciler.azure import AzureError
from reconciler.collect import Search, brake
from reconciler.decide import decide, liveness, termination
from reconciler.decide.action import Decision, DropFinalizer, Seen
from reconciler.drain import Plan
from reconciler.effects import Effects
from reconciler.mirror import Mirror
from reconciler.nodepool import Ownership
from reconciler.runtime.elector import Elector
from reconciler.sight import Sight
from tests.reconciler import (
    test_collect,
    test_cut_off,
    test_elector,
    test_faults,
    test_fight,
    test_lifecycle,
    test_termination,
)

Patch = Callable[[pytest.MonkeyPatch], None]


def finalizer_dropped_without_a_provider_id(patch: pytest.MonkeyPatch) -> None:
    """Karpenter's own flaw."""
    real = termination.decide

    def bug(seen: Seen) -> Decision:
        if seen.claim.held and not seen.claim.provider_id:
            return Decision(DropFinalizer())
        return real(seen)

    patch.setattr(termination, "decide", bug)


def pool_before_the_finalizer(patch: pytest.MonkeyPatch) -> None:
    module = sys.modules[decide.__module__]

    def bug(seen: Seen) -> Decision:
        claim = seen.claim
        if claim.managed and not claim.deleted and not claim.held:
            alive: Decision = module._alive(seen)
            return alive
        return decide(seen)

    async def unheld(self: Effects, claim: Any) -> bool:
        return bool(claim) and self is not None

    patch.setattr("reconciler.controller.decide", bug)
    patch.setattr(Effects, "_is_as_seen", unheld)


def changed_pool_taken_for_a_deleted_one(patch: pytest.MonkeyPatch) -> None:
    """412 at the DELETE is taken as success, and success for the end of the pool."""
    real = Effects._delete_refused

    def bug(self: Effects, *given: Any) -> float | None:
        error: AzureError = given[3]
        return 0.0 if error.changed else real(self, *given)

    patch.setattr(Effects, "_delete_refused", bug)
    deleting_is_gone(patch)


def deleting_is_gone(patch: pytest.MonkeyPatch) -> None:
    """The finalizer goes when the DELETE was accepted, not when the pool is gone."""
    real = termination._end

    def bug(seen: Seen, pool: Any) -> Decision:
        if seen.ending or pool.deleting:
            return Decision(DropFinalizer())
        return real(seen, pool)

    patch.setattr(termination, "_end", bug)


def old_list_believed(patch: pytest.MonkeyPatch) -> None:
    """A LIST from before the PUT is taken for proof that there is no pool."""
    patch.setattr(Sight, "needed", lambda _self, _claim, _memory: float("-inf"))


def sweep_without_a_second_sighting(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        "reconciler.collect._why_not", lambda orphan, _before, _age: "deleting" if orphan.pool.deleting else ""
    )


def empty_list_of_claims_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("reconciler.collect._is_odd", lambda _before, _claims: False)


def sweep_without_a_limit(patch: pytest.MonkeyPatch) -> None:
    real = brake

    def bug(found: Any, before: Search, claims: int, moment: float, **named: Any) -> Any:
        return real(found, before, claims, moment, **{**named, "limit": 1000})

    patch.setattr("reconciler.collect.brake", bug)


def writing_without_the_lease(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Elector, "may_write", property(lambda self: self.renewed > 0))
    patch.setattr(Elector, "_lose", lambda _self, _why: None)


def owned_by_name(patch: pytest.MonkeyPatch) -> None:
    """Whatever has the name of a claim is its pool."""
    patch.setattr(sight_module, "ownership", lambda _pool, _cluster: Ownership.OURS)
    patch.setattr(Seen, "own_pool", property(lambda self: self.pool))


def half_tagged_is_ours(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("reconciler.nodepool._complete", lambda pool, _cluster: bool(pool.tags))
    patch.setattr("reconciler.nodepool._confirmed", lambda _pool: True)


def repair_without_its_brake(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Mirror, "repairable", lambda _self, _percent: True)


def node_lost_in_an_upgrade_ends_the_claim(patch: pytest.MonkeyPatch) -> None:
    real = liveness._deleted_node

    def bug(seen: Seen, draft: Any) -> Decision | None:
        alone = [node for node in seen.nodes if node.deleting and node.held]
        settled = replace(seen, nodes=tuple(alone), steady=True) if alone else seen
        if settled.pool is not None:
            settled = replace(settled, pool=replace(settled.pool, state="Succeeded"))
        return real(settled, draft)

    patch.setattr(liveness, "_deleted_node", bug)


def deletion_that_needs_a_status(patch: pytest.MonkeyPatch) -> None:
    real = Effects._delete_pool

    async def bug(self: Effects, claim: Any, action: Any, memory: Any, again: float | None) -> float | None:
        await self.kube.patch_claim_status(claim.name, claim.version, {"deleting": True})
        return await real(self, claim, action, memory, again)

    patch.setattr(Effects, "_delete_pool", bug)


def drain_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(effects_module, "plan", lambda _pods, _now, _deadline: Plan())


def wrong_list_ends_machines(patch: pytest.MonkeyPatch) -> None:
    """A pool that is missing from a LIST is taken for gone although its Node lives."""
    real = Sight.seen

    def bug(self: Sight, claim: Any) -> Seen:
        seen = real(self, claim)
        return replace(seen, nodes=()) if seen.pool is None else seen

    patch.setattr(Sight, "seen", bug)


def former_pool_inherited(patch: pytest.MonkeyPatch) -> None:
    """gpu-provisioner's own flaw: a claim made again under the same name takes what is there."""
    patch.setattr(
        Seen,
        "own_pool",
        property(lambda self: self.pool if self.ownership is Ownership.OURS else None),
    )


def others_writes_answered_without_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("reconciler.runtime.queue.PACE", 0.1)


def one_list_lets_a_claim_go(patch: pytest.MonkeyPatch) -> None:
    real = Sight.seen
    patch.setattr(Sight, "seen", lambda self, claim: replace(real(self, claim), ended=True))


def lease_asked_for_once_in_a_turn(patch: pytest.MonkeyPatch) -> None:
    real = Effects.perform

    async def bug(self: Effects, claim: Any, decision: Decision) -> float | None:
        self.may_write = lambda: True
        return await real(self, claim, decision)

    patch.setattr(Effects, "perform", bug)


FAILURES = (AssertionError, KeyError, TypeError, ValueError)
"""How a test fails: by what it asserts, or because what it looks at is gone."""
BUGS: list[tuple[Patch, Callable[[], None]]] = [
    (
        finalizer_dropped_without_a_provider_id,
        test_termination.test_should_call_delete_even_if_the_claim_was_never_launched,
    ),
    (pool_before_the_finalizer, test_lifecycle.test_should_add_the_finalizer_before_anything_that_costs_money),
    (changed_pool_taken_for_a_deleted_one, test_termination.test_should_keep_the_finalizer_while_the_instance_exists),
    (deleting_is_gone, test_termination.test_should_keep_the_finalizer_while_the_instance_exists),
    (sweep_without_a_second_sighting, test_collect.test_should_see_an_orphan_twice_before_it_is_deleted),
    (empty_list_of_claims_believed, test_collect.test_a_wiped_list_of_claims_ends_nothing),
    (sweep_without_a_limit, test_collect.test_should_delete_at_most_five_in_a_search),
    (writing_without_the_lease, test_elector.test_a_leader_whose_requests_hang_stops_before_another_begins),
    (owned_by_name, test_collect.test_a_pool_by_that_name_of_somebody_else_is_a_conflict_and_not_touched),
    (half_tagged_is_ours, test_collect.test_a_pool_that_loses_its_tags_is_neither_deleted_nor_forgotten),
    (repair_without_its_brake, test_termination.test_should_not_repair_while_more_than_a_fifth_of_the_nodes_are_broken),
    (
        node_lost_in_an_upgrade_ends_the_claim,
        test_termination.test_should_not_end_the_claim_whose_node_is_replaced_by_an_upgrade,
    ),
    (deletion_that_needs_a_status, test_termination.test_should_not_depend_on_a_status_that_can_be_written),
    (one_list_lets_a_claim_go, test_faults.test_one_list_that_lacks_a_pool_lets_no_deleted_claim_go),
    (
        lease_asked_for_once_in_a_turn,
        test_faults.test_no_claim_is_ended_by_who_lost_the_lease_while_it_asked_about_the_cluster,
    ),
    (drain_forgotten, test_termination.test_should_drain_before_the_instance_is_deleted),
    (wrong_list_ends_machines, test_termination.test_should_not_believe_that_the_pool_of_a_ready_node_is_gone),
    (former_pool_inherited, test_termination.test_a_claim_made_again_under_the_same_name_never_inherits_the_pool),
    (
        others_writes_answered_without_end,
        test_fight.test_two_leaders_that_see_different_lists_do_not_answer_each_other_without_end,
    ),
    (
        old_list_believed,
        partial(test_cut_off.test_a_put_that_the_turn_s_end_cuts_off_leaks_nothing, effect=175.0, delete_at=100.0),
    ),
]


@pytest.mark.parametrize(("bug", "proof"), BUGS, ids=[bug.__name__ for bug, _ in BUGS])
def test_the_proof_against_a_bug_notices_it(
    bug: Patch, proof: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    proof()
    bug(monkeypatch)
    with pytest.raises(FAILURES):
        proof()
