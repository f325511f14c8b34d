"""What happens to an object is what the verdict table and Kubernetes say, object by object."""

import copy
from typing import Any

import pytest

from generator.plan.change import ObjectChange, Verb
from generator.plan.objects import Item, object_changes


def item(kind: str, name: str, spec: dict[str, Any], api: str = "v1", namespace: str = "chat", **top: Any) -> Item:
    body = {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}} | top
    return Item(f"clusters/dev/m/{kind.lower()}.yaml", body | ({"spec": spec} if spec else {}))


def workspace(name: str, *, preset: str = "phi", config: str = "", label: str = "", namespace: str = "chat") -> Item:
    inference: dict[str, Any] = {"preset": {"name": preset}} | ({"config": config} if config else {})
    made = item(
        "Workspace", name, {}, "kaito.sh/v1beta1", namespace, inference=inference, resource={"instanceType": "x"}
    )
    if label:
        made.body["metadata"]["labels"] = {"kaitops.dev/owner": label}
    return made


def only(changes: list[ObjectChange]) -> ObjectChange:
    (change,) = changes
    return change


def test_a_new_revision_beside_the_old_one() -> None:
    change = only(object_changes([workspace("m-aaaaa")], [workspace("m-bbbbb", preset="phi-4")], gap=False))
    assert (change.verb, change.predecessor, change.name) == (Verb.BLUE_GREEN, "m-aaaaa", "m-bbbbb")
    assert [(f.path, f.before, f.after) for f in change.fields] == [("inference.preset.name", "phi", "phi-4")]


@pytest.mark.parametrize(("gap", "namespace"), [(True, "chat"), (False, "search")], ids=["Recreate", "moved"])
def test_a_new_revision_after_the_old_one(gap: bool, namespace: str) -> None:
    new = workspace("m-bbbbb", namespace=namespace)
    assert only(object_changes([workspace("m-aaaaa")], [new], gap=gap)).verb is Verb.RECREATE


def test_a_workspace_becomes_an_inference_set() -> None:
    new = item("InferenceSet", "m-bbbbb", {"replicas": 2}, "kaito.sh/v1beta1")
    assert only(object_changes([workspace("m-aaaaa")], [new], gap=False)).verb is Verb.BLUE_GREEN


def test_in_place_the_table_decides() -> None:
    old = workspace("m-aaaaa", config="one", label="chat")
    live = only(object_changes([old], [workspace("m-aaaaa", config="one", label="search")], gap=False))
    restart = only(object_changes([old], [workspace("m-aaaaa", config="two", label="chat")], gap=False))
    refused = only(object_changes([old], [workspace("m-aaaaa", config="one", label="chat", preset="phi-4")], gap=False))
    unset = only(object_changes([old], [workspace("m-aaaaa", label="chat")], gap=False))
    assert [change.verb for change in (live, restart, refused, unset)] == [
        Verb.LIVE, Verb.RESTART, Verb.REFUSED, Verb.REFUSED,
    ]  # fmt: skip


CLAIM = {
    "accessModes": ["ReadWriteMany"],
    "storageClassName": "azurefile",
    "resources": {"requests": {"storage": "10Gi"}},
}


@pytest.mark.parametrize(
    ("field", "value", "verb"),
    [
        ("storageClassName", "other", Verb.REFUSED),
        ("accessModes", ["ReadWriteOnce"], Verb.REFUSED),
        ("resources", {"requests": {"storage": "20Gi"}}, Verb.LIVE),
        ("resources", {"requests": {"storage": "10240Mi"}}, Verb.LIVE),
        ("resources", {"requests": {"storage": "9Gi"}}, Verb.REFUSED),
    ],
)
def test_a_claim_only_grows(field: str, value: Any, verb: Verb) -> None:
    old = item("PersistentVolumeClaim", "weights", CLAIM)
    new = item("PersistentVolumeClaim", "weights", CLAIM | {field: value})
    assert only(object_changes([old], [new], gap=False)).verb is verb


def test_what_only_carries_a_revision_follows() -> None:
    def side(revision: str, port: int) -> list[Item]:
        service = item("Service", "m", {"selector": {"kaito.sh/workspace": f"m-{revision}"}, "ports": [{"port": port}]})
        service.body["metadata"]["labels"] = {"kaitops.dev/revision": revision}
        config = item("ConfigMap", f"m-config-{revision}", {}, data={"a": revision})
        return [workspace(f"m-{revision}", preset=revision), service, config]

    same = object_changes(side("aaaaa", 80), side("bbbbb", 80), gap=False)
    assert {change.kind: change.follows for change in same} == {"Workspace": False, "Service": True, "ConfigMap": True}
    other = object_changes(side("aaaaa", 80), side("bbbbb", 81), gap=False)
    assert {change.kind: change.follows for change in other}["Service"] is False


def test_nothing_happens_to_what_is_the_same() -> None:
    one = workspace("m-aaaaa")
    assert object_changes([one], [Item(one.path, copy.deepcopy(one.body))], gap=False) == []


def test_what_has_no_partner_comes_or_goes() -> None:
    changes = object_changes([item("Service", "a", {})], [item("HTTPRoute", "a", {})], gap=False)
    assert {change.kind: change.verb for change in changes} == {"Service": Verb.DELETE, "HTTPRoute": Verb.CREATE}
