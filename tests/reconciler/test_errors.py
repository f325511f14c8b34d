"""Does each error of Azure get its reason, a sentence for a person, its class, and a memory of the right width?"""

from datetime import timedelta

import pytest

from reconciler.conditions import MESSAGE_LIMIT
from reconciler.decide.launch import refusal, summary
from reconciler.errors import TABLE, UNKNOWN, Class, Scope, Trouble, classify
from reconciler.offerings import Offering, Refusal, Refusals, choose
from tests.reconciler.making import NOW, SIZE

FAMILY = "exceeding approved standardNCADSA100v4Family Cores quota. Current Limit: {}, Current Usage: 24"
REGION = "exceeding approved Total Regional Cores quota. Additional details"
PENDING = "Another agentpool operation (x - Creating) is in progress, see aka.ms/aks-pending-operation"
CREATING = "Operation is not allowed because there's an in progress create node pool operation"
CASES = [
    ("OperationNotAllowed", "exceeding approved LowPriorityCores quota", "SpotQuotaExceeded", Class.QUOTA),
    ("OperationNotAllowed", FAMILY.format(24), "FamilyQuotaExceeded", Class.QUOTA),
    ("OperationNotAllowed", FAMILY.format(0), "FamilyQuotaZero", Class.QUOTA),
    ("OperationNotAllowed", REGION, "RegionalQuotaExceeded", Class.QUOTA),
    ("ErrCode_InsufficientVCPUQuota", "no cores", "QuotaExceeded", Class.QUOTA),
    ("SkuNotAvailable", "restricted", "SkuNotAvailable", Class.CAPACITY),
    ("NotAvailableForSubscription", "restricted", "SkuNotAvailable", Class.CAPACITY),
    ("ZonalAllocationFailed", "zone full", "ZonalAllocationFailed", Class.CAPACITY),
    ("AllocationFailed", "full", "AllocationFailed", Class.CAPACITY),
    ("AksCapacityHeavyUsage", "full", "AllocationFailed", Class.CAPACITY),
    ("OverconstrainedAllocationRequest", "too much", "OverconstrainedAllocation", Class.CAPACITY),
    ("OverconstrainedZonalAllocationRequest", "too much", "OverconstrainedAllocation", Class.CAPACITY),
    ("VMSizeNotSupported", "no", "VMSizeNotSupported", Class.TERMINAL),
    ("BadRequest", "The VM size is not supported for subscription x", "VMSizeNotSupported", Class.TERMINAL),
    ("InsufficientSubnetSize", "full", "SubnetFull", Class.TERMINAL),
    ("NicReservedForAnotherVm", "nic", "SubnetFull", Class.TERMINAL),
    ("AvailabilityZoneNotSupported", "no", "ZoneNotSupported", Class.TERMINAL),
    ("ManagedClusterCountExceedsQuotaLimit", "no", "NodePoolLimitReached", Class.QUOTA),
    ("MaxAgentPoolCountReached", "100", "NodePoolLimitReached", Class.QUOTA),
    ("RequestDisallowedByPolicy", "tag missing", "DisallowedByPolicy", Class.TERMINAL),
    ("AuthorizationFailed", "no action", "AuthorizationFailed", Class.TRANSIENT),
    ("ExpiredAuthenticationToken", "old", "AuthenticationFailed", Class.TRANSIENT),
    ("VMExtensionProvisioningTimeout", "slow", "BootstrapFailed", Class.TRANSIENT),
    ("Any", "vmssCSE exit code 50", "BootstrapFailed", Class.TRANSIENT),
    ("Throttled", "slow down", "Throttled", Class.THROTTLED),
    ("TooManyRequests", "slow down", "Throttled", Class.THROTTLED),
    ("PreconditionFailed", "etag", "Conflict", Class.CONFLICT),
    ("OriginalEtagNotExpect", "etag", "Conflict", Class.CONFLICT),
    ("AKSOperationPreempted", "preempted", "Conflict", Class.CONFLICT),
    ("AKSOperationPreemptedByDelete", "preempted", "Conflict", Class.CONFLICT),
    ("OperationNotAllowed", PENDING, "OperationInProgress", Class.CONFLICT),
    ("OperationNotAllowed", CREATING, "OperationInProgress", Class.CONFLICT),
    ("OperationNotAllowed", "the cluster is stopped", "ClusterNotRunning", Class.CONFLICT),
    ("OperationNotAllowed", "something new", "OperationNotAllowed", Class.CONFLICT),
    ("InvalidParameter", "osDiskSizeGB", "InvalidNodePool", Class.TERMINAL),
    ("ResourceNotFound", "no cluster", "ClusterNotFound", Class.TRANSIENT),
    ("SomethingNew", "never seen", "LaunchFailed", Class.TRANSIENT),
]


@pytest.mark.parametrize(("code", "message", "reason", "kind"), CASES, ids=[f"{case[0]}-{case[2]}" for case in CASES])
def test_an_error_in_its_body(code: str, message: str, reason: str, kind: Class) -> None:
    verdict = classify(Trouble(code, message))
    assert (verdict.reason, verdict.kind) == (reason, kind)


@pytest.mark.parametrize("outer", ["ReconcileVMSSAgentPoolFailed", "CreateVMSSAgentPoolFailed"])
@pytest.mark.parametrize(("code", "message", "reason", "kind"), CASES[:14])
def test_the_cause_within_an_outer_code(outer: str, code: str, message: str, reason: str, kind: Class) -> None:
    verdict = classify(Trouble(outer, "failed", (Trouble(code, message),)))
    assert (verdict.reason, verdict.kind) == (reason, kind)


def test_the_cause_as_text_within_an_outer_code() -> None:
    text = 'VMSSAgentPoolReconciler retry failed: Code="AllocationFailed" Message="Allocation failed."'
    assert classify(Trouble("ReconcileVMSSAgentPoolFailed", text)).reason == "AllocationFailed"


def test_an_outer_code_alone_is_unknown() -> None:
    assert classify(Trouble("ReconcileVMSSAgentPoolFailed", "failed")) is UNKNOWN


@pytest.mark.parametrize("row", [*TABLE], ids=lambda row: row.verdict.reason)
def test_every_sentence_fits_into_what_kaito_copies(row: object) -> None:
    verdict = row.verdict  # type: ignore[attr-defined] # parametrize knows no types
    longest = Offering("Standard_NC288ds_xl_RTXPRO6000BSE_v6")
    for change in (refusal(verdict, longest, ""), summary((Refusal(longest, verdict, NOW),))):
        assert len(change.message) <= MESSAGE_LIMIT
        assert not change.message.endswith("…"), len(change.message)
        assert change.reason.isalnum()


def test_no_row_is_hidden_by_one_before_it() -> None:
    reasons = {reason for _, _, reason, _ in CASES}
    assert {row.verdict.reason for row in TABLE} <= reasons


def after(offering: Offering, code: str, message: str = "") -> Refusals:
    known = Refusals()
    known.remember(offering, classify(Trouble(code, message)), NOW)
    return known


SPOT, DEMAND = Offering(SIZE, spot=True), Offering(SIZE)
LARGER, SMALLER = Offering("Standard_NC48ads_A100_v4"), Offering("Standard_NC12ads_A100_v4")
OTHER, ZONED = Offering("Standard_NC40ads_H100_v5"), Offering(SIZE, ("1",))


@pytest.mark.parametrize(
    ("offering", "code", "message", "blocked", "free"),
    [
        (DEMAND, "OperationNotAllowed", FAMILY.format(24), [DEMAND, LARGER], [SMALLER, OTHER, SPOT]),
        (
            SPOT,
            "OperationNotAllowed",
            "LowPriorityCores",
            [SPOT, Offering("Standard_D4s_v5", spot=True)],
            [DEMAND, OTHER],
        ),
        (DEMAND, "SkuNotAvailable", "", [DEMAND], [SPOT, LARGER, ZONED]),
        (DEMAND, "AllocationFailed", "", [DEMAND, SPOT], [LARGER, OTHER, ZONED]),
        (ZONED, "ZonalAllocationFailed", "", [ZONED], [DEMAND, Offering(SIZE, ("2",))]),
        (DEMAND, "OperationNotAllowed", REGION, [], [DEMAND]),
    ],
)
def test_a_refusal_is_remembered_for_what_it_speaks_of(
    offering: Offering, code: str, message: str, blocked: list[Offering], free: list[Offering]
) -> None:
    known = after(offering, code, message)
    assert [each for each in blocked if known.of(each, NOW) is None] == []
    assert [each for each in free if known.of(each, NOW) is not None] == []


@pytest.mark.parametrize(
    ("offering", "code", "message", "span"),
    [
        (DEMAND, "OperationNotAllowed", FAMILY.format(24), timedelta(minutes=10)),
        (DEMAND, "OperationNotAllowed", FAMILY.format(0), timedelta(hours=1)),
        (DEMAND, "SkuNotAvailable", "", timedelta(hours=23)),
        (SPOT, "SkuNotAvailable", "", timedelta(hours=1)),
        (DEMAND, "AllocationFailed", "", timedelta(hours=1)),
        (DEMAND, "VMSizeNotSupported", "", timedelta(hours=23)),
    ],
)
def test_a_refusal_is_forgotten_when_its_time_is_over(
    offering: Offering, code: str, message: str, span: timedelta
) -> None:
    known = after(offering, code, message)
    assert known.of(offering, NOW + span - timedelta(seconds=1)) is not None
    assert known.of(offering, NOW + span) is None
    assert len(known) == 0


def test_the_first_offering_that_nothing_is_known_against_is_chosen() -> None:
    known = after(DEMAND, "AllocationFailed")
    assert choose([DEMAND, OTHER], known, NOW).offering == OTHER
    none_left = choose([DEMAND], known, NOW)
    assert none_left.offering is None
    assert none_left.until == NOW + timedelta(hours=1)


def test_a_scope_of_nothing_else_blocks_nobody() -> None:
    assert classify(Trouble("SomethingNew", "")).scope is Scope.NONE
    assert len(after(DEMAND, "SomethingNew")) == 0
