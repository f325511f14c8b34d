"""Each field of KAITO's objects that we can emit has one verdict, and the object's name follows it."""

import copy
from typing import Any

import pytest

from generator.compile import Compiled
from generator.verdict import ALPHABET, TABLE, Field, Row, Verdict, leaves, revision, row_of

Body = dict[str, Any]
KINDS = ("Workspace", "InferenceSet", "RAGEngine")

WORKSPACE: Body = {
    "apiVersion": "kaito.sh/v1beta1",
    "kind": "Workspace",
    "metadata": {
        "name": "m",
        "namespace": "chat",
        "labels": {"app.kubernetes.io/name": "m", "kaitops.dev/owner": "chat"},
        "annotations": {
            "kaitops.dev/catalog": "catalog/models/m.yaml",
            "kaito.sh/runtime": "vllm",
            "argocd.argoproj.io/sync-options": "Prune=confirm",
        },
    },
    "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": "m"}}},
}
INFERENCE: Body = {
    "preset": {"name": "phi-4", "presetOptions": {"modelAccessSecret": "token"}},
    "config": "m-config-1",
    "adapters": [{"source": {"name": "a", "image": "r.example.com/a@sha256:0"}, "strength": "1.0"}],
    "template": {"spec": {"containers": [{"name": "c", "image": "i", "args": ["--x"]}]}},
}
TUNING: Body = {
    "preset": {"name": "phi-4", "presetOptions": {"modelAccessSecret": "token"}},
    "method": "qlora",
    "config": "m-config-1",
    "input": {"urls": ["https://example.com/data"]},
    "output": {"image": "r.example.com/a:1", "imagePushSecret": "push"},
}
SAMPLES: dict[str, Body] = {
    "Workspace": WORKSPACE | {"inference": INFERENCE, "tuning": TUNING},
    "InferenceSet": WORKSPACE
    | {
        "kind": "InferenceSet",
        "metadata": WORKSPACE["metadata"]
        | {"annotations": {**WORKSPACE["metadata"]["annotations"], "scaledobject.kaito.sh/max-replicas": "3"}},
        "spec": {
            "replicas": 2,
            "labelSelector": {"matchLabels": {"apps": "m"}},
            "template": {"resource": {"instanceType": "s"}, "inference": INFERENCE},
        },
    },
    "RAGEngine": WORKSPACE
    | {
        "kind": "RAGEngine",
        "spec": {
            "compute": {"instanceType": "s", "labelSelector": {"matchLabels": {"apps": "m"}}},
            "storage": {"persistentVolume": {"persistentVolumeClaim": "m-index", "mountPath": "/mnt/data"}},
            "embedding": {"local": {"modelID": "a/b"}},
            "inferenceService": {"url": "http://m", "contextWindowSize": 4000},
            "guardrails": {"enabled": True},
        },
    },
}
"""Objects that hold every field of the table, whatever KAITO would say of the combination."""
for _kind in ("InferenceSet", "RAGEngine"):
    SAMPLES[_kind].pop("resource")


def fields() -> list[tuple[str, Field]]:
    return [(kind, path) for kind, body in SAMPLES.items() for path, _ in leaves(body)]


def edited(kind: str, path: Field) -> Body:
    """The sample with one value changed."""
    body = copy.deepcopy(SAMPLES[kind])
    node: Any = body
    for part in path[:-1]:
        node = node[int(part)] if isinstance(node, list) else node[part]
    key: Any = int(path[-1]) if isinstance(node, list) else path[-1]
    value = node[key]
    node[key] = (not value) if isinstance(value, bool) else value + 1 if isinstance(value, int) else f"{value}x"
    return body


@pytest.mark.parametrize(("kind", "path"), fields(), ids=lambda part: part if isinstance(part, str) else ".".join(part))
@pytest.mark.parametrize("restart", [False, True], ids=["BlueGreen", "Restart"])
def test_the_name_changes_exactly_with_the_fields_that_cannot_roll_out(
    kind: str, path: Field, *, restart: bool
) -> None:
    if path == ("kind",):
        return  # another kind is judged by another part of the table
    row = row_of(kind, path)
    renamed = revision(edited(kind, path), restart_in_place=restart) != revision(
        SAMPLES[kind], restart_in_place=restart
    )
    assert renamed == (row.verdict is Verdict.BLUE_GREEN or (row.verdict is Verdict.RESTART and not restart))


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.kind}:{row.path}")
def test_each_row_is_met_by_a_sample_and_has_a_source(row: Row) -> None:
    paths = [path for kind, path in fields() if kind == row.kind]
    assert any(row_of(row.kind, path) is row for path in paths)
    assert row.source


@pytest.mark.parametrize("name", ["config", "adapters"])
def test_setting_a_field_at_all_needs_a_new_object_even_where_changing_it_does_not(name: str) -> None:
    without = copy.deepcopy(SAMPLES["Workspace"])
    del without["inference"][name]
    assert revision(without, restart_in_place=True) != revision(SAMPLES["Workspace"], restart_in_place=True)


def test_every_field_of_the_fleet_has_a_verdict(fleet: Compiled) -> None:
    assert fleet.rendering is not None
    bodies = [document.body for document in fleet.rendering.documents if document.body["kind"] in KINDS]
    assert {body["kind"] for body in bodies} == set(KINDS)
    for body in bodies:
        for path, _ in leaves(body):
            row_of(body["kind"], path)


def test_a_field_without_a_verdict_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"spec\.nodeCountLimit"):
        row_of("InferenceSet", ("spec", "nodeCountLimit"))


def test_a_revision_is_short_and_reads_as_no_number() -> None:
    name = revision(SAMPLES["Workspace"], restart_in_place=False)
    assert len(name) == 5
    assert set(name) <= set(ALPHABET)
    assert not set(ALPHABET) & set("aeiouy013")


def test_the_order_of_fields_does_not_matter() -> None:
    backwards = dict(reversed(SAMPLES["Workspace"].items()))
    assert revision(backwards, restart_in_place=False) == revision(SAMPLES["Workspace"], restart_in_place=False)
