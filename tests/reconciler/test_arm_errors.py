"""Does every error of Azure arrive as what it means, in the answer to a PUT and in a LIST alike?

The rows are the signals that Karpenter's provider for Azure, gpu-provisioner's users and AKS's documentation know, each
with what it means to a claim. Bodies are served over HTTP and read by the real SDK.
"""

import asyncio
import json
from dataclasses import dataclass

import pytest

from reconciler.azure import AzureError
from reconciler.errors import Class, Trouble, classify
from tests.fakearm import Bench, Fault, Kind, RefusedError, run_over_http
from tests.fakearm.answer import Json, error
from tests.fakearm.server import CLUSTER, GROUP, SUBSCRIPTION
from tests.reconciler.making import a_desired


@dataclass(frozen=True)
class Case:
    code: str
    message: str
    reason: str
    kind: Class
    status: int = 400


QUOTA = "Submit a request for Quota increase"
CASES = (
    Case(
        "OperationNotAllowed",
        f"exceeding approved Standard NCADS_A100_v4 Family Cores quota. Current Limit: 24, Required: 48. {QUOTA}",
        "FamilyQuotaExceeded",
        Class.QUOTA,
        409,
    ),
    Case(
        "OperationNotAllowed",
        f"exceeding approved standardNCADSH100v5Family Family Cores quota. Current Limit: 0, Required: 40. {QUOTA}",
        "FamilyQuotaZero",
        Class.QUOTA,
        409,
    ),
    Case(
        "QuotaExceeded",
        f"exceeding approved standardNCADSA100v4Family Family Cores quota. Current Limit: 24. {QUOTA}",
        "FamilyQuotaExceeded",
        Class.QUOTA,
    ),
    Case(
        "OperationNotAllowed",
        f"exceeding approved LowPriorityCores quota. Current Limit: 3, Required: 24. {QUOTA}",
        "SpotQuotaExceeded",
        Class.QUOTA,
        409,
    ),
    Case(
        "OperationNotAllowed",
        f"exceeding approved Total Regional Cores quota. Current Limit: 100. {QUOTA}",
        "RegionalQuotaExceeded",
        Class.QUOTA,
        409,
    ),
    Case("ErrCode_InsufficientVCPUQuota", "insufficient vcpu quota requested 24", "QuotaExceeded", Class.QUOTA),
    Case("SkuNotAvailable", "currently not available in location eastus", "SkuNotAvailable", Class.CAPACITY, 409),
    Case("NotAvailableForSubscription", "the size is restricted", "SkuNotAvailable", Class.CAPACITY),
    Case("ZonalAllocationFailed", "no capacity in the zone", "ZonalAllocationFailed", Class.CAPACITY, 409),
    Case("AllocationFailed", "no capacity in the region", "AllocationFailed", Class.CAPACITY, 409),
    Case("OverconstrainedAllocationRequest", "too many constraints", "OverconstrainedAllocation", Class.CAPACITY),
    Case("OverconstrainedZonalAllocationRequest", "too many constraints", "OverconstrainedAllocation", Class.CAPACITY),
    Case("AksCapacityHeavyUsage", "the region is in heavy usage", "AllocationFailed", Class.CAPACITY),
    Case("VMSizeNotSupported", "the size is not supported", "VMSizeNotSupported", Class.TERMINAL),
    Case("BadRequest", "The VM size is not supported for subscription x", "VMSizeNotSupported", Class.TERMINAL),
    Case("InsufficientSubnetSize", "the subnet is too small", "SubnetFull", Class.TERMINAL),
    Case("NicReservedForAnotherVm", "the address is reserved", "SubnetFull", Class.TERMINAL),
    Case("AvailabilityZoneNotSupported", "the zone is not supported", "ZoneNotSupported", Class.TERMINAL),
    Case("MaxAgentPoolCountReached", "100 agent pools", "NodePoolLimitReached", Class.QUOTA),
    Case("ManagedClusterCountExceedsQuotaLimit", "too many clusters", "NodePoolLimitReached", Class.QUOTA),
    Case("RequestDisallowedByPolicy", "disallowed by policy", "DisallowedByPolicy", Class.TERMINAL, 403),
    Case("AuthorizationFailed", "no authorization to perform action", "AuthorizationFailed", Class.TRANSIENT, 403),
    Case("LinkedAuthorizationFailed", "no permission on the subnet", "AuthorizationFailed", Class.TRANSIENT, 403),
    Case("InvalidAuthenticationToken", "the token is invalid", "AuthenticationFailed", Class.TRANSIENT, 401),
    Case("ExpiredAuthenticationToken", "the token is expired", "AuthenticationFailed", Class.TRANSIENT, 401),
    Case("VMExtensionProvisioningTimeout", "vmssCSE timed out", "BootstrapFailed", Class.TRANSIENT),
    Case("VMExtensionProvisioningError", "vmssCSE exit status=50", "BootstrapFailed", Class.TRANSIENT),
    Case("Unknown", "VM has reported a failure when processing vmssCSE", "BootstrapFailed", Class.TRANSIENT),
    Case("Throttled", "too many requests", "Throttled", Class.THROTTLED, 429),
    Case("TooManyRequests", "too many requests", "Throttled", Class.THROTTLED, 429),
    Case("PreconditionFailed", "the etag is another one", "Conflict", Class.CONFLICT, 412),
    Case("AKSOperationPreempted", "preempted by another operation", "Conflict", Class.CONFLICT, 409),
    Case("AKSOperationPreemptedByDelete", "preempted by a delete", "Conflict", Class.CONFLICT, 409),
    Case(
        "OperationNotAllowed",
        "Another agentpool operation (x - Creating) is in progress, https://aka.ms/aks-pending-operation",
        "OperationInProgress",
        Class.CONFLICT,
        409,
    ),
    Case(
        "OperationNotAllowed",
        "Operation is not allowed because there's an in progress create node pool operation",
        "OperationInProgress",
        Class.CONFLICT,
        409,
    ),
    Case("Conflict", "operation was overriden by a later one", "OperationInProgress", Class.CONFLICT, 409),
    Case("OperationNotAllowed", "the power state is Stopped", "ClusterNotRunning", Class.CONFLICT, 409),
    Case("InvalidParameter", "the value of agentPool.x is invalid", "InvalidNodePool", Class.TERMINAL),
    Case("ResourceNotFound", "the cluster is not found", "ClusterNotFound", Class.TRANSIENT, 404),
    Case("ResourceGroupNotFound", "the group is not found", "ClusterNotFound", Class.TRANSIENT, 404),
    Case("InternalServerError", "something broke", "LaunchFailed", Class.TRANSIENT, 500),
)
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}: {case.message[:40]}")
WRAPPERS = ("ReconcileVMSSAgentPoolFailed", "CreateVMSSAgentPoolFailed")


def refused(status: int, body: str, headers: dict[str, str] | None = None) -> AzureError:
    """What the adapter makes of an answer to a PUT."""

    async def scenario(bench: Bench) -> AzureError:
        answer = Fault(Kind.REPLACE, "PUT", status=status, body=body, headers=headers or {})
        bench.arm.faults.add(answer)
        with pytest.raises(AzureError) as caught:
            await bench.pools.create(a_desired())
        assert len(bench.arm.seen) == 1
        return caught.value

    return run_over_http(scenario)


def failed(provisioning_error: Json) -> Trouble:
    """What the LIST says of a pool whose creation ended so."""

    async def scenario(bench: Bench) -> Trouble:
        bench.aks.outcome = lambda _name, _pool: provisioning_error
        await bench.pools.create(a_desired())
        await asyncio.sleep(bench.aks.times.create)
        (pool,) = [each for each in await bench.pools.list() if each.name == "ws1"]
        assert (pool.state, pool.error is not None) == ("Failed", True)
        assert pool.error is not None
        return pool.error

    return run_over_http(scenario)


def verdict(trouble: Trouble) -> tuple[str, Class]:
    found = classify(trouble)
    return found.reason, found.kind


@cases
def test_an_error_in_an_answer(case: Case) -> None:
    found = refused(case.status, json.dumps({"error": error(case.code, case.message)}))
    assert (found.status, found.trouble) == (case.status, Trouble(case.code, case.message))
    assert verdict(found.trouble) == (case.reason, case.kind)


@cases
def test_an_error_of_a_pool_in_the_list(case: Case) -> None:
    assert verdict(failed(error(case.code, case.message))) == (case.reason, case.kind)


@cases
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_the_cause_counts_and_not_what_wraps_it(case: Case, wrapper: str) -> None:
    cause = error(case.code, case.message)
    assert verdict(failed(error(wrapper, "the agent pool cannot be reconciled", cause))) == (case.reason, case.kind)
    deep = error(wrapper, "outer", error("DeploymentFailed", "middle", cause))
    assert verdict(refused(case.status, json.dumps({"error": deep})).trouble) == (case.reason, case.kind)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"error": {"code": "AllocationFailed", "message": "none"}}, id="below error"),
        pytest.param({"code": "AllocationFailed", "message": "none"}, id="at the top"),
        pytest.param({"code": "AllocationFailed", "message": "none", "error": None}, id="with an empty error"),
        pytest.param({"error": {"code": "AllocationFailed", "message": "none", "details": None}}, id="null details"),
        pytest.param({"error": {"code": "AllocationFailed", "message": "none", "details": []}}, id="no details"),
        pytest.param(
            {"error": {"code": "AllocationFailed", "message": "none", "details": ["text", None, 3]}}, id="odd details"
        ),
        pytest.param(
            {"error": {"code": "X", "message": 'Code="AllocationFailed" Message="none"'}}, id="quoted in a message"
        ),
        pytest.param(
            {"error": {"code": "X", "message": '{"error": {"code": "AllocationFailed", "message": "none"}}'}},
            id="JSON in a message",
        ),
        pytest.param(
            {"error": {"code": "X", "details": [{"code": "AllocationFailed", "message": "none"}]}}, id="no message"
        ),
    ],
)
def test_an_error_is_read_in_every_shape_that_azure_has(body: Json) -> None:
    assert verdict(refused(409, json.dumps(body)).trouble) == ("AllocationFailed", Class.CAPACITY)


@pytest.mark.parametrize(
    "body",
    ["", "{}", "[]", "null", "3", '"text"', "{", "<html>bad</html>", '{"error": "text with code"}', '{"error": []}'],
)
@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "LaunchFailed", Class.TRANSIENT),
        (401, "AuthenticationFailed", Class.TRANSIENT),
        (403, "AuthorizationFailed", Class.TRANSIENT),
        (404, "LaunchFailed", Class.TRANSIENT),
        (409, "OperationNotAllowed", Class.CONFLICT),
        (412, "Conflict", Class.CONFLICT),
        (429, "Throttled", Class.THROTTLED),
        (500, "LaunchFailed", Class.TRANSIENT),
        (503, "LaunchFailed", Class.TRANSIENT),
    ],
)
def test_an_error_without_a_code_is_told_by_its_status(body: str, status: int, reason: str, kind: Class) -> None:
    found = refused(status, body)
    assert found.status == status
    assert verdict(found.trouble) == (reason, kind)
    assert "\n" not in found.trouble.message


def test_the_correlation_id_of_azure_is_kept() -> None:
    assert refused(500, "{}", {"x-ms-correlation-request-id": "c0ffee"}).correlation == "c0ffee"


@pytest.mark.parametrize(
    "code", ["ResourceGroupNotFound", "SubscriptionNotFound", "ResourceNotFound", "ParentResourceNotFound"]
)
def test_a_cluster_that_is_not_found_is_no_pool_that_is_gone(code: str) -> None:
    async def scenario(bench: Bench) -> None:
        bench.aks.settle("ws1", {"vmSize": "Standard_D4s_v5", "count": 1})
        bench.arm.faults.refuse("DELETE", RefusedError(404, code, "it was not found"))
        with pytest.raises(AzureError) as caught:
            await bench.pools.delete("ws1", "")
        assert verdict(caught.value.trouble) == ("ClusterNotFound", Class.TRANSIENT)

    run_over_http(scenario)


@pytest.mark.parametrize(
    "gone",
    [
        RefusedError(404, "NotFound", "not found"),
        RefusedError(404, "ResourceNotFound", "managedClusters/fleet-dev/agentPools/ws1 was not found"),
        RefusedError(400, "BadRequest", "Agent Pool not found"),
    ],
    ids=str,
)
def test_a_pool_that_is_not_found_is_gone(gone: RefusedError) -> None:
    async def scenario(bench: Bench) -> None:
        bench.arm.faults.refuse("DELETE", gone)
        await bench.pools.delete("ws1", "")

    run_over_http(scenario)


@pytest.mark.parametrize(
    ("group", "cluster", "subscription", "code"),
    [
        ("elsewhere", CLUSTER, SUBSCRIPTION, "ResourceGroupNotFound"),
        (GROUP, "elsewhere", SUBSCRIPTION, "ResourceNotFound"),
        (GROUP, CLUSTER, "99999999-0000-0000-0000-000000000000", "SubscriptionNotFound"),
    ],
)
def test_settings_that_name_another_cluster_say_so(group: str, cluster: str, subscription: str, code: str) -> None:
    async def scenario(bench: Bench) -> None:
        pools = bench.another(group, cluster)
        for request in (pools.list(), pools.cluster(), pools.create(a_desired()), pools.delete("ws1", "")):
            with pytest.raises(AzureError) as caught:
                await request
            assert caught.value.trouble.code == code
            assert verdict(caught.value.trouble) == ("ClusterNotFound", Class.TRANSIENT)

    run_over_http(scenario, subscription=subscription)


@pytest.mark.parametrize(
    ("power", "state", "reason"),
    [("Stopped", "Succeeded", "ClusterNotRunning"), ("Running", "Upgrading", "OperationInProgress")],
)
def test_a_cluster_that_is_stopped_or_at_work_is_a_conflict_and_no_verdict(power: str, state: str, reason: str) -> None:
    async def scenario(bench: Bench) -> None:
        bench.aks.settle("old", {"vmSize": "Standard_D4s_v5", "count": 1})
        bench.aks.power, bench.aks.state = power, state
        for request in (bench.pools.create(a_desired()), bench.pools.delete("old", "")):
            with pytest.raises(AzureError) as caught:
                await request
            assert verdict(caught.value.trouble) == (reason, Class.CONFLICT)
        assert not bench.aks.created

    run_over_http(scenario)


def test_the_101st_pool_is_refused_by_azure_and_understood() -> None:
    async def scenario(bench: Bench) -> None:
        for number in range(99):
            bench.aks.settle(f"pool{number}", {"vmSize": "Standard_D4s_v5", "count": 1})
        with pytest.raises(AzureError) as caught:
            await bench.pools.create(a_desired())
        assert verdict(caught.value.trouble) == ("NodePoolLimitReached", Class.QUOTA)

    run_over_http(scenario)
