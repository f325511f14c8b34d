"""KAITO's webhook offline: every rule with objects that it takes and objects that it refuses, kept in `webhook/`."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from generator.checks import webhook
from generator.document import Document
from generator.facts import KaitoFacts, load_kaito_facts
from generator.finding import Finding, Place

CASES = Path(__file__).parent / "webhook"
FACTS = Path(__file__).parents[2] / "catalog" / "facts" / "kaito.yaml"
SOURCE = Place("catalog/models/phi-4.yaml", 7)
Case = dict[str, Any]


@cache
def read(name: str) -> Case:
    data: Case = yaml.load((CASES / f"{name}.yaml").read_text(), yaml.CSafeLoader)
    return data


def cases(kind: str) -> list[Any]:
    found = []
    for path in sorted(CASES.glob("*.yaml")):
        data = read(path.stem)
        found += [pytest.param(data["base"], case, id=f"{path.stem}: {case['name']}") for case in data[kind]]
    return found


@cache
def facts() -> KaitoFacts:
    return load_kaito_facts(FACTS)


def patched(value: Any, patch: Any) -> Any:
    """RFC 7386: maps are merged, null removes, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for key, part in patch.items():
        merged[key] = patched(merged.get(key), part)
    return {key: part for key, part in merged.items() if part is not None}


def document(body: Any, cluster: str = "dev", file: str = "workspace.yaml") -> Document:
    return Document(f"clusters/{cluster}/phi-4/{file}", "", body, SOURCE)


def config_map(name: str, data: dict[str, str], cluster: str = "dev", namespace: str = "chat") -> Document:
    metadata = {"name": name, "namespace": namespace}
    return document({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}, cluster)


def findings(base: Case, case: Case) -> list[Finding]:
    cluster = case.get("cluster", "dev")
    documents = [document(patched(base, case.get("patch", {})), cluster)]
    documents += [config_map(name, data, cluster) for name, data in case.get("configMaps", {}).items()]
    return list(webhook.check(documents, facts(), frozenset({"byo"})))


@pytest.mark.parametrize(("base", "case"), cases("accepted"))
def test_accepts(base: Case, case: Case) -> None:
    assert findings(base, case) == []


@pytest.mark.parametrize(("base", "case"), cases("refused"))
def test_refuses(base: Case, case: Case) -> None:
    (finding,) = findings(base, case)
    assert (finding.rule, finding.message) == (f"webhook/{case['rule']}", case["message"])
    assert finding.where == SOURCE
    assert finding.hint == case.get("hint", finding.hint) != ""


def test_every_rule_has_a_refused_object() -> None:
    package = Path(webhook.__file__).parent
    named = {rule for path in package.glob("*.py") for rule in re.findall(r'finding\(\s*"([a-z-]+)"', path.read_text())}
    refused = {param.values[1]["rule"] for param in cases("refused")}
    assert named - refused == {"tuning-url"}  # which has the table below


REFUSED_HOSTS = (
    "localhost",
    "db.localhost",
    "LOCALHOST",
    "metadata.google.internal",
    "127.0.0.1",
    "127.8.9.1:8080",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "224.0.0.1",
    "[::1]",
    "[ff02::1]",
    "[fd00::1]",
    "[fe80::1%25eth0]",
    "[::ffff:10.0.0.1]",
    "user@10.0.0.1",
)


def tuning_urls(*urls: str) -> list[Finding]:
    base = read("tuning")["base"]
    return findings(base, {"patch": {"tuning": {"input": {"urls": list(urls)}}}})


@pytest.mark.parametrize("host", REFUSED_HOSTS)
def test_training_data_does_not_come_from_inside(host: str) -> None:
    (finding,) = tuning_urls("https://data.example.com/a", f"https://{host}/train.parquet")
    assert finding.rule == "webhook/tuning-url"
    assert finding.message.startswith(
        f"Workspace `tune`: `tuning.input.urls[1]` is `https://{host}/train.parquet`: KAITO"
    )


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("ftp://data.example.com/a", "the download takes HTTP and HTTPS only"),
        ("file:///etc/passwd", "not a URL"),
        ("data.example.com/a", "not a URL"),
        ("https://[::1", "not a URL"),
    ],
)
def test_training_data_comes_by_http(url: str, fault: str) -> None:
    (finding,) = tuning_urls(url)
    assert finding.message == f"Workspace `tune`: `tuning.input.urls[0]` is `{url}`: {fault}"


@pytest.mark.parametrize(("cluster", "namespace"), [("prod", "chat"), ("dev", "other")])
def test_a_config_elsewhere_does_not_count(cluster: str, namespace: str) -> None:
    base = read("workspace")["base"]
    workspace = document(patched(base, {"inference": {"config": "settings"}}))
    elsewhere = config_map("settings", {"inference_config.yaml": "{}"}, cluster, namespace)
    (finding,) = webhook.check([elsewhere, workspace], facts())
    assert finding.rule == "webhook/config-exists"


def test_other_groups_are_not_ours() -> None:
    foreign = {"apiVersion": "example.com/v1", "kind": "Workspace", "metadata": {"name": "NOT A NAME"}}
    assert list(webhook.check([document(foreign)], facts())) == []


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def places(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(value, dict):
        return [path]
    return [path, *(place for key, part in value.items() for place in places(part, (*path, key)))]


def with_value(value: Any, path: tuple[str, ...], new: Any) -> Any:
    return new if not path else value | {path[0]: with_value(value[path[0]], path[1:], new)}


BODIES = [patched(param.values[0], param.values[1].get("patch", {})) for param in cases("accepted") + cases("refused")]


@given(st.data())
def test_a_part_of_the_wrong_type_is_never_a_crash(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from(BODIES))
    below = [path for path in places(body) if path and path[0] not in ("apiVersion", "kind", "metadata")]
    broken = with_value(body, data.draw(st.sampled_from(below)), data.draw(ANYTHING))
    for finding in webhook.check([document(broken)], facts()):
        assert finding.rule.startswith("webhook/")
