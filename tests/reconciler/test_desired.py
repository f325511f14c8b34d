"""Is the pool that is asked for what the claim says, and is what AKS would refuse said before?"""

from dataclasses import replace
from typing import Any

import pytest

from reconciler import names
from reconciler.desired import desired, offerings, problems, sizes
from reconciler.duration import format_duration, parse_duration, parse_quantity
from reconciler.nodeclaim import Claim
from reconciler.nodeclass import NodeClass
from reconciler.offerings import Offering
from tests.reconciler.fake_kube import merge
from tests.reconciler.making import CLUSTER, NOW, SIZE, a_claim

PLAIN = NodeClass()


def wrong(claim: Claim, node_class: NodeClass = PLAIN) -> list[str]:
    return list(problems(claim, node_class, "eastus"))


def with_requirements(*requirements: tuple[str, str, list[str]]) -> Claim:
    bodies = [{"key": key, "operator": operator, "values": values} for key, operator, values in requirements]
    return a_claim({"spec": {"requirements": bodies}})


def named(name: str) -> Claim:
    return a_claim({"metadata": {"name": name}})


def test_a_claim_of_kaito_has_no_problem() -> None:
    assert wrong(a_claim()) == []


@pytest.mark.parametrize("name", ["a", "ws0123456789", "abcdefghijkl"])
def test_a_legal_name(name: str) -> None:
    assert wrong(named(name)) == []


@pytest.mark.parametrize("name", ["1ws", "ws-1", "Ws1", "abcdefghijklm", "ws.1"])
def test_a_name_that_no_pool_can_have(name: str) -> None:
    assert len(wrong(named(name))) == 1
    assert f"`{name}`" in wrong(named(name))[0]


@pytest.mark.parametrize("storage", [None, "0", "512Mi"])
def test_no_storage_or_too_little(storage: str | None) -> None:
    claim = a_claim({"spec": {"resources": {"requests": {"storage": storage}}}})
    assert wrong(claim) == ["no disk size: request at least 1Gi of the resource `storage`"]
    assert wrong(claim, replace(PLAIN, os_disk_gib=128)) == []


@pytest.mark.parametrize(("text", "gib"), [("1024Gi", 1024), ("100G", 93), ("1Ti", 1024), ("107374182400", 100)])
def test_the_disk_is_the_request_in_whole_gib(text: str, gib: int) -> None:
    claim = a_claim({"spec": {"resources": {"requests": {"storage": text}}}})
    assert desired(claim, Offering(SIZE), PLAIN, CLUSTER, NOW).os_disk_gib == gib


def test_no_instance_type() -> None:
    assert "no instance type" in wrong(with_requirements((names.OS_LABEL, "In", ["linux"])))[0]


def test_contradicting_requirements() -> None:
    claim = with_requirements(
        (names.INSTANCE_TYPE_LABEL, "In", ["Standard_A"]), (names.SKU_NAME_LABEL, "In", ["Standard_B"])
    )
    assert "contradict" in wrong(claim)[0]
    twice = with_requirements(
        (names.INSTANCE_TYPE_LABEL, "In", ["Standard_A"]), (names.INSTANCE_TYPE_LABEL, "In", ["Standard_B"])
    )
    assert "contradict" in wrong(twice)[0]


def test_a_size_that_is_no_size() -> None:
    assert "`gpu.large`" in wrong(with_requirements((names.INSTANCE_TYPE_LABEL, "In", ["gpu.large"])))[0]


def test_sizes_keep_the_order_of_preference() -> None:
    claim = with_requirements(
        (names.INSTANCE_TYPE_LABEL, "In", ["Standard_C", "Standard_A", "Standard_B"]),
        (names.SKU_NAME_LABEL, "In", ["Standard_A", "Standard_B", "Standard_C"]),
        (names.INSTANCE_TYPE_LABEL, "NotIn", ["Standard_B"]),
    )
    assert sizes(claim) == ("Standard_C", "Standard_A")


def capacity(*kinds: str) -> Claim:
    return with_requirements((names.INSTANCE_TYPE_LABEL, "In", [SIZE]), (names.CAPACITY_TYPE_LABEL, "In", list(kinds)))


def test_spot_and_on_demand_in_the_order_of_the_claim() -> None:
    assert offerings(capacity("spot", "on-demand"), PLAIN, "eastus") == (Offering(SIZE, spot=True), Offering(SIZE))
    assert offerings(a_claim(), replace(PLAIN, capacity_type="spot"), "eastus") == (Offering(SIZE, spot=True),)
    assert "must be `spot` or `on-demand`" in wrong(capacity("reserved"))[0]


def test_spot_with_a_capacity_reservation_is_refused_before_azure_does() -> None:
    reserving = replace(PLAIN, capacity_reservation_group_id="/subscriptions/s")
    assert "a capacity reservation serves no spot node" in wrong(capacity("spot"), reserving)[0]
    assert wrong(capacity("on-demand"), reserving) == []


def zones(*values: str) -> Claim:
    return with_requirements((names.INSTANCE_TYPE_LABEL, "In", [SIZE]), (names.ZONE_LABEL, "In", list(values)))


def test_zones_in_karpenter_s_spelling() -> None:
    assert offerings(zones("eastus-2", "eastus-1"), PLAIN, "eastus") == (Offering(SIZE, ("1", "2")),)
    assert offerings(a_claim(), replace(PLAIN, zones=("3",)), "eastus") == (Offering(SIZE, ("3",)),)
    assert "must name zones of `eastus`" in wrong(zones("westus-1"))[0]


def test_windows_is_refused() -> None:
    claim = with_requirements((names.INSTANCE_TYPE_LABEL, "In", [SIZE]), (names.OS_LABEL, "In", ["windows"]))
    assert wrong(claim) == ["`kubernetes.io/os` must allow `linux`"]


def test_a_label_that_aks_keeps_for_itself() -> None:
    claim = a_claim({"metadata": {"labels": {"kubernetes.azure.com/mode": "system"}}})
    assert "`kubernetes.azure.com/mode`" in wrong(claim)[0]


def test_all_problems_at_once() -> None:
    claim = merge(with_requirements().raw, {"metadata": {"name": "Bad-Name"}, "spec": {"resources": None}})
    assert len(wrong(Claim(claim))) == 3


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        ("ubuntu", "", "Ubuntu"),
        ("azurelinux", "", "AzureLinux"),
        ("AzureLinux", "", "AzureLinux"),
        ("unknown", "", "Ubuntu"),
        ("unknown", "AzureLinux3", "Ubuntu"),
        (None, "", "Ubuntu"),
        (None, "Ubuntu2404", "Ubuntu2404"),
    ],
)
def test_the_image_family(annotation: str | None, default: str, expected: str) -> None:
    claim = a_claim({"metadata": {"annotations": {names.IMAGE_FAMILY_ANNOTATION: annotation}}})
    assert desired(claim, Offering(SIZE), replace(PLAIN, os_sku=default), CLUSTER, NOW).os_sku == expected


def test_an_image_family_as_a_label_is_ignored() -> None:
    patch: dict[str, Any] = {"annotations": {names.IMAGE_FAMILY_ANNOTATION: None}, "labels": {"x": "azurelinux"}}
    assert desired(a_claim({"metadata": patch}), Offering(SIZE), PLAIN, CLUSTER, NOW).os_sku == "Ubuntu"


@pytest.mark.parametrize(
    ("size", "kind"), [(SIZE, "gpu"), ("Standard_D16s_v5", "cpu"), ("Standard_ND96isr_H100_v5", "gpu")]
)
def test_labels_of_the_pool(size: str, kind: str) -> None:
    claim = a_claim()
    labels = desired(claim, Offering(size), PLAIN, CLUSTER, NOW).labels
    assert claim.labels.items() <= labels.items()
    assert labels[names.MACHINE_TYPE_LABEL] == kind
    assert labels[names.CREATION_LABEL] == "2026-01-01T11-59-00Z"
    assert labels[names.NODEPOOL_LABEL] == "kaito"
    assert labels[names.UID_LABEL] == claim.uid


def test_taints_and_tags_of_claim_and_class() -> None:
    given = replace(PLAIN, taints=("team=ml:NoSchedule", "sku=gpu:NoSchedule"), tags={"team": "ml"})
    found = desired(a_claim(), Offering(SIZE), given, CLUSTER, NOW)
    assert found.taints == ("sku=gpu:NoSchedule", "team=ml:NoSchedule")
    assert found.tags["team"] == "ml"
    assert found.tags[names.TAG_UID] == "uid-1"
    assert found.tags[names.TAG_CREATED] == "2026-01-01T12:00:00Z"


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("720h", 2592000), ("0s", 0)])
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text).total_seconds() == seconds
    assert parse_duration(format_duration(parse_duration(text))).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "10", "1d", "Never", "-5s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("1k", 1000), ("1500m", "1.5"), ("1e3", 1000), ("2Ki", 2048)])
def test_quantities(text: str, number: object) -> None:
    assert str(parse_quantity(text).normalize()) == str(parse_quantity(str(number)).normalize())


@pytest.mark.parametrize("text", ["", "Gi", "1.2.3", "ten"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        parse_quantity(text)
