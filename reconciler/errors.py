"""What does an error of Azure mean for a claim, and what can a person do about it?

One ordered table: the first row that matches decides, so texts of quota stand before the plain `OperationNotAllowed`,
which also says that another operation runs. Azure tells the same error in two shapes, the body of an answer and a
pool's `provisioningError`, and hides the cause in details under an outer code; both are read as one `Trouble`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Class(StrEnum):
    TERMINAL = "terminal"
    """The same request fails again: somebody has to change something."""
    CAPACITY = "capacity"
    QUOTA = "quota"
    THROTTLED = "throttled"
    CONFLICT = "conflict"
    """Something else is at work: look again soon, it is no verdict."""
    TRANSIENT = "transient"


class Scope(StrEnum):
    """What else a refusal speaks of, beside the pool that was asked for."""

    NONE = "nothing else"
    SIZE = "this size in these zones, with this priority"
    BOTH = "this size in these zones, spot or not"
    FAMILY = "every size of the family with at least as many cores"
    SPOT = "every spot size"


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error as Azure tells it."""

    code: str
    message: str
    details: tuple["Trouble", ...] = ()

    def each(self) -> Iterator["Trouble"]:
        """The causes before what wraps them."""
        for detail in self.details:
            yield from detail.each()
        yield self


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a row of the table says about one refusal."""

    reason: str
    sentence: str
    kind: Class
    scope: Scope = Scope.NONE
    hold: timedelta = timedelta(minutes=3)
    """For how long nothing of its scope is asked for again."""
    spot_hold: timedelta | None = None
    longest_hold: timedelta = timedelta(minutes=1)
    """What may heal at once is asked for ever more rarely, down to once in this time."""

    @property
    def hopeless(self) -> bool:
        """Whether the same request may well fail until somebody does something, or somebody else frees a machine."""
        return self.kind in (Class.TERMINAL, Class.CAPACITY, Class.QUOTA)

    def held(self, *, spot: bool) -> timedelta:
        return self.spot_hold if spot and self.spot_hold is not None else self.hold


@dataclass(frozen=True, slots=True)
class Row:
    codes: tuple[str, ...]
    """Any of them; empty: any code."""
    text: str
    """A regular expression that the message must contain."""
    verdict: Verdict

    def matches(self, trouble: Trouble) -> bool:
        code_fits = not self.codes or trouble.code in self.codes
        return code_fits and re.search(self.text, trouble.message, re.IGNORECASE) is not None


THROTTLED = Verdict(
    "Throttled", "Azure asks for fewer requests; the reconciler waits as long as it says", Class.THROTTLED
)
SHORT, MINUTE, HOUR = timedelta(seconds=15), timedelta(minutes=1), timedelta(hours=1)
NOT_ALLOWED = ("OperationNotAllowed", "QuotaExceeded", "BadRequest", "ErrCode_InsufficientVCPUQuota")

TABLE = (
    Row(
        NOT_ALLOWED,
        "LowPriorityCores",
        Verdict(
            "SpotQuotaExceeded",
            "the region's quota of spot cores is used up: ask for more `LowPriorityCores` in the subscription's"
            " quotas, or"
            " allow capacity type `on-demand`",
            Class.QUOTA,
            Scope.SPOT,
            HOUR,
        ),
    ),
    Row(
        NOT_ALLOWED,
        r"Family Cores quota.*Current Limit: 0\b|Current Limit: 0\b.*Family Cores quota",
        Verdict(
            "FamilyQuotaZero",
            "the subscription has no quota at all for this VM family in this region: ask for it in the"
            " subscription's quotas,"
            " or choose another instance type",
            Class.QUOTA,
            Scope.FAMILY,
            HOUR,
        ),
    ),
    Row(
        NOT_ALLOWED,
        "Family Cores quota",
        Verdict(
            "FamilyQuotaExceeded",
            "the quota of this VM family in this region is used up: ask for more in the subscription's quotas, or"
            " free a node",
            Class.QUOTA,
            Scope.FAMILY,
            10 * MINUTE,
        ),
    ),
    Row(
        NOT_ALLOWED,
        "Total Regional Cores quota",
        Verdict(
            "RegionalQuotaExceeded",
            "the quota of all cores in this region is used up: ask for more `Total Regional Cores` in the"
            " subscription's quotas,"
            " or free a node",
            Class.QUOTA,
            hold=10 * MINUTE,
        ),
    ),
    Row(
        ("ErrCode_InsufficientVCPUQuota", "QuotaExceeded"),
        "",
        Verdict(
            "QuotaExceeded",
            "a quota of the subscription in this region is used up: ask for more in the subscription's quotas",
            Class.QUOTA,
            Scope.SIZE,
            10 * MINUTE,
        ),
    ),
    Row(
        ("SkuNotAvailable", "NotAvailableForSubscription"),
        "",
        Verdict(
            "SkuNotAvailable",
            "this size is not sold to the subscription in this region or these zones: choose another size, zone or"
            " region, or ask"
            " Azure's support to lift the restriction",
            Class.CAPACITY,
            Scope.SIZE,
            23 * HOUR,
            HOUR,
        ),
    ),
    Row(
        ("ZonalAllocationFailed",),
        "",
        Verdict(
            "ZonalAllocationFailed",
            "the zone has no machine of this size free now: allow another zone or size, or reserve capacity",
            Class.CAPACITY,
            Scope.BOTH,
            HOUR,
        ),
    ),
    Row(
        ("OverconstrainedZonalAllocationRequest", "OverconstrainedAllocationRequest"),
        "",
        Verdict(
            "OverconstrainedAllocation",
            "no machine meets every constraint (size, zone, priority, placement) at once: ask for fewer of them",
            Class.CAPACITY,
            Scope.SIZE,
            HOUR,
        ),
    ),
    Row(
        ("AllocationFailed", "AksCapacityHeavyUsage"),
        "",
        Verdict(
            "AllocationFailed",
            "the region has no machine of this size free now: allow another size or region, or reserve capacity",
            Class.CAPACITY,
            Scope.BOTH,
            HOUR,
        ),
    ),
    Row(
        ("VMSizeNotSupported",),
        "",
        Verdict(
            "VMSizeNotSupported",
            "AKS does not offer this size in this region: choose another instance type",
            Class.TERMINAL,
            Scope.BOTH,
            23 * HOUR,
        ),
    ),
    Row(
        (),
        "is not supported for subscription",
        Verdict(
            "VMSizeNotSupported",
            "this size is not offered to the subscription: choose another instance type, or ask Azure's support for it",
            Class.TERMINAL,
            Scope.BOTH,
            23 * HOUR,
        ),
    ),
    Row(
        ("InsufficientSubnetSize", "NicReservedForAnotherVm", "SubnetIsFull"),
        "",
        Verdict(
            "SubnetFull",
            "the subnet has no address free for the node: use a larger subnet, or free addresses",
            Class.TERMINAL,
        ),
    ),
    Row(
        ("AvailabilityZoneNotSupported",),
        "",
        Verdict(
            "ZoneNotSupported",
            "the region or the size has no such zone: leave the zones out, or name others",
            Class.TERMINAL,
            Scope.BOTH,
            HOUR,
        ),
    ),
    Row(
        ("ManagedClusterCountExceedsQuotaLimit", "MaxAgentPoolCountReached", "AgentPoolCountExceedsLimit"),
        "",
        Verdict(
            "NodePoolLimitReached",
            "the cluster has as many node pools as AKS allows: remove one, or place the model on another cluster",
            Class.QUOTA,
            hold=5 * MINUTE,
        ),
    ),
    Row(
        ("RequestDisallowedByPolicy",),
        "",
        Verdict(
            "DisallowedByPolicy",
            "an Azure policy forbids this node pool: change the policy, or the size, tags or network that it speaks of",
            Class.TERMINAL,
        ),
    ),
    Row(
        ("AuthorizationFailed", "LinkedAuthorizationFailed", "Forbidden"),
        "",
        Verdict(
            "AuthorizationFailed",
            "the reconciler's identity lacks a right on the cluster, its subnet or its capacity reservation: assign"
            " its role"
            " again; it tries again by itself",
            Class.TRANSIENT,
            hold=5 * MINUTE,
        ),
    ),
    Row(
        ("AuthenticationFailed", "InvalidAuthenticationToken", "ExpiredAuthenticationToken", "CredentialUnavailable"),
        "",
        Verdict(
            "AuthenticationFailed",
            "Azure does not accept the reconciler's credential: check its client id, tenant and federated"
            " credential; it tries"
            " again by itself",
            Class.TRANSIENT,
            hold=MINUTE,
        ),
    ),
    Row(
        ("VMExtensionProvisioningTimeout", "VMExtensionProvisioningError", "VMExtensionHandlerNonTransientError"),
        "",
        Verdict(
            "BootstrapFailed",
            "the machine started and did not become a node: check outbound access, image pulls and the GPU driver;"
            " its pool is"
            " deleted and made again",
            Class.TRANSIENT,
        ),
    ),
    Row(
        (),
        "vmssCSE",
        Verdict(
            "BootstrapFailed",
            "the node's start script failed: check outbound access, image pulls and the GPU driver; its pool is"
            " deleted and"
            " made again",
            Class.TRANSIENT,
        ),
    ),
    Row(
        ("Throttled", "TooManyRequests", "429"),
        "",
        THROTTLED,
    ),
    Row(
        ("PreconditionFailed", "OriginalEtagNotExpect", "EtagMismatch", "AKSOperationPreempted"),
        "",
        Verdict(
            "Conflict", "the node pool changed at the same time; the reconciler looks again", Class.CONFLICT, hold=SHORT
        ),
    ),
    Row(
        ("AKSOperationPreemptedByDelete",),
        "",
        Verdict(
            "Conflict",
            "the node pool was deleted at the same time; the reconciler looks again",
            Class.CONFLICT,
            hold=SHORT,
        ),
    ),
    Row(
        ("OperationNotAllowed", "Conflict", "AnotherOperationInProgress"),
        r"in progress|is not allowed because there's an|preempt|overrid+en",
        Verdict(
            "OperationInProgress",
            "another operation runs on the cluster or the node pool; the reconciler tries again when it is over",
            Class.CONFLICT,
            hold=SHORT,
        ),
    ),
    Row(
        ("OperationNotAllowed",),
        r"stopp|power state",
        Verdict(
            "ClusterNotRunning",
            "the cluster is stopped: start it with `az aks start`, and the reconciler goes on",
            Class.CONFLICT,
            hold=MINUTE,
        ),
    ),
    Row(
        ("OperationNotAllowed", "Conflict"),
        "",
        Verdict(
            "OperationNotAllowed",
            "AKS does not allow this now; the reconciler tries again",
            Class.CONFLICT,
            hold=MINUTE,
        ),
    ),
    Row(
        (
            "InvalidParameter",
            "BadRequest",
            "InvalidTemplateDeployment",
            "InvalidRequestContent",
            "InvalidRequestFormat",
        ),
        "",
        Verdict(
            "InvalidNodePool",
            "AKS refuses this node pool as it was asked for; correct the claim or the reconciler's settings",
            Class.TERMINAL,
        ),
    ),
    Row(
        ("ResourceNotFound", "ResourceGroupNotFound", "ParentResourceNotFound", "SubscriptionNotFound", "NotFound"),
        "",
        Verdict(
            "ClusterNotFound",
            "Azure knows no such cluster: check subscription, resource group and cluster name in the reconciler's"
            " settings",
            Class.TRANSIENT,
            hold=MINUTE,
        ),
    ),
)

UNKNOWN = Verdict(
    "LaunchFailed",
    "Azure gave an error that the reconciler does not know; it tries again, ever more rarely, every 5 minutes at last",
    Class.TRANSIENT,
    hold=timedelta(),
    longest_hold=timedelta(minutes=5),
)
"""The sentence is followed by Azure's own words."""

WRAPPERS = ("ReconcileVMSSAgentPoolFailed", "CreateVMSSAgentPoolFailed", "ReconcileAgentPoolFailed")


def classify(trouble: Trouble) -> Verdict:
    """The verdict on an error: the causes in its details first, then itself, then codes that its message quotes."""
    for each in (*trouble.each(), *_quoted(trouble)):
        for row in TABLE:
            if each.code not in WRAPPERS and row.matches(each):
                return row.verdict
    return UNKNOWN


_QUOTED_CODE = re.compile(r"\b[Cc]ode[\"']?\s*[:=]\s*[\"']?(\w+)")


def _quoted(trouble: Trouble) -> Iterator[Trouble]:
    """Codes within a text, as in `Code="AllocationFailed" Message="..."`: where an outer code has no details."""
    for each in trouble.each():
        yield from (Trouble(code, each.message) for code in _QUOTED_CODE.findall(each.message))
