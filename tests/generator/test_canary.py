"""A second revision beside the one that serves: what is rendered, what is counted, and how it becomes the one."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from generator.budget import usage
from generator.cli import main
from generator.compile import Compiled, compile_catalog
from generator.load import Entry, load_catalog
from generator.model import Model
from generator.promotion import promote, weigh
from generator.repository import Repository

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
FILE = "catalog/models/assistant.yaml"
PROD = "    prod: {sku: Standard_NC24ads_A100_v4, host: assistant.models.example.com}\n"
CANARY = """\
    prod:
      sku: Standard_NC24ads_A100_v4
      host: assistant.models.example.com
      # Longer answers, on trial since May.
      canary:
        weight: 10  # percent
        context: 8192
"""
UNIT = "clusters/prod/assistant"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(HERE / "valid", tmp_path / "catalog")
    (tmp_path / "catalog" / "facts").symlink_to(REPOSITORY / "catalog" / "facts")
    (tmp_path / "policies").symlink_to(REPOSITORY / "policies")
    return tmp_path


def write(root: Path, prod: str) -> None:
    text = (HERE / "valid" / "models" / "assistant.yaml").read_text("utf-8")
    assert PROD in text
    (root / FILE).write_text(text.replace(PROD, prod), "utf-8")


def rendered(root: Path) -> dict[str, Any]:
    """The objects of the unit on prod, by file."""
    compiled = compile_catalog(Repository(root))
    assert compiled.rendering is not None, compiled.findings
    documents = compiled.rendering.documents
    return {one.path.rpartition("/")[2]: one.body for one in documents if one.path.startswith(f"{UNIT}/")}


def allow(root: Path, sku: str) -> None:
    cluster = root / "catalog/clusters/prod.yaml"
    text = cluster.read_text("utf-8")
    assert text.count("skus: [") == 1
    cluster.write_text(text.replace("skus: [", f"skus: [{sku}, "), "utf-8")


def name(body: Any) -> str:
    return str(body["metadata"]["name"])


def test_the_route_divides_the_requests_between_two_services(root: Path) -> None:
    write(root, CANARY)
    unit = rendered(root)
    for rule in unit["httproute.yaml"]["spec"]["rules"]:
        shares = {ref["name"]: ref["weight"] for ref in rule["backendRefs"]}
        assert shares == {"assistant": 90, "assistant-canary": 10}
    serving, canary = unit["workspace.yaml"], unit["workspace-canary.yaml"]
    assert name(serving) != name(canary)
    assert unit["service.yaml"]["spec"]["selector"] == {"kaito.sh/workspace": name(serving)}
    assert unit["service-canary.yaml"]["spec"]["selector"] == {"kaito.sh/workspace": name(canary)}
    assert unit["podmonitor-canary.yaml"]["spec"]["selector"]["matchLabels"] == {"kaito.sh/workspace": name(canary)}
    assert canary["inference"]["config"] == name(unit["configmap-canary.yaml"])
    assert sorted(unit["kustomization.yaml"]["resources"]) == sorted(unit.keys() - {"kustomization.yaml"})


def test_what_serves_is_not_touched_by_a_canary(root: Path) -> None:
    before = rendered(root)
    write(root, CANARY)
    after = rendered(root)
    assert {file for file, body in before.items() if after[file] != body} == {"httproute.yaml", "kustomization.yaml"}


def test_the_canary_becomes_what_serves_under_its_name(root: Path) -> None:
    """Else promoting would roll out anew what was tried."""
    write(root, CANARY)
    canary = rendered(root)["workspace-canary.yaml"]
    (root / FILE).write_text(promote(entry(root), "prod"), "utf-8")
    after = rendered(root)
    assert after["workspace.yaml"] == canary
    assert not [file for file in after if "canary" in file]
    assert {ref["name"] for rule in after["httproute.yaml"]["spec"]["rules"] for ref in rule["backendRefs"]} == {
        "assistant"
    }


def test_a_canary_on_another_size_shares_the_config(root: Path) -> None:
    write(root, CANARY.replace("context: 8192", "sku: Standard_NC48ads_A100_v4"))
    allow(root, "Standard_NC48ads_A100_v4")
    unit = rendered(root)
    assert unit["workspace-canary.yaml"]["resource"]["instanceType"] == "Standard_NC48ads_A100_v4"
    assert unit["workspace-canary.yaml"]["inference"]["config"] == name(unit["configmap.yaml"])
    assert "configmap-canary.yaml" not in unit


def test_a_canary_of_many_replicas_is_one_of_one_beside_them(root: Path) -> None:
    write(
        root, CANARY.replace("      host", "      replicas: 3\n      host").replace("8192", "8192\n        replicas: 1")
    )
    unit = rendered(root)
    assert unit["inferenceset.yaml"]["spec"]["replicas"] == 3
    assert unit["inferenceset-canary.yaml"]["spec"]["replicas"] == 1


def test_a_suspended_model_has_no_canary_either(root: Path) -> None:
    write(root, CANARY)
    file = root / FILE
    file.write_text(file.read_text("utf-8").replace("  owner:", "  suspended: true\n  owner:"), "utf-8")
    assert not [path for path in rendered(root) if "canary" in path]


def errors(root: Path) -> list[str]:
    compiled: Compiled = compile_catalog(Repository(root))
    assert compiled.rendering is None
    return [
        f"{finding.where.line}: {finding.rule}" for finding in compiled.findings if finding.rule != "catalog/sample"
    ]


def test_a_canary_that_kaito_could_not_tell_from_what_serves_is_refused(root: Path) -> None:
    """The transformers runtime follows `main`, whatever the commit: both objects would have one name."""
    write(root, CANARY.replace("context: 8192", f"revision: {'ab' * 20}"))
    file = root / FILE
    text = file.read_text("utf-8").replace("phi-4-mini-instruct", "phi-3-mini-4k-instruct")
    text = re.sub("  serving: .*", "  serving: {runtime: transformers}", re.sub("  slo: .*\n", "", text))
    file.write_text(text.replace(", context: 8192}", "}"), "utf-8")
    line = (root / FILE).read_text("utf-8").split("\n").index("      canary:") + 1
    assert f"{line}: catalog/canary" in errors(root)


def test_a_mistake_of_the_canary_is_shown_where_it_is_written(root: Path) -> None:
    write(root, CANARY.replace("context: 8192", "sku: Standard_NC6s_v3"))
    line = (root / FILE).read_text("utf-8").split("\n").index("        sku: Standard_NC6s_v3") + 1
    assert [found for found in errors(root) if found.startswith(f"{line}: catalog/")], errors(root)


# ---- fit and money


def test_a_canary_is_judged_as_it_will_run(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root, CANARY.replace("context: 8192", "context: 131072\n        sku: Standard_NV36ads_A10_v5"))
    allow(root, "Standard_NV36ads_A10_v5")
    with pytest.raises(SystemExit):
        main(["-C", str(root), "validate", "--select", "fit"])
    line = (root / FILE).read_text("utf-8").split("\n").index("        sku: Standard_NV36ads_A10_v5") + 1
    assert f"{FILE}:{line}:9: warning: KAITO plans 5 nodes" in capsys.readouterr().out


def test_a_canary_takes_nodes_beside_those_of_what_serves(root: Path) -> None:
    write(root, CANARY)
    compiled = compile_catalog(Repository(root))
    models = {name: entry.value.spec for name, entry in compiled.catalog.models.items()}
    cluster = compiled.catalog.clusters["prod"].value.spec
    placements = [one for one in compiled.resolution.models if (one.cluster, one.name) == ("prod", "assistant")]
    taken = usage(cluster, placements, models, compiled.facts.skus)
    assert [share.name for share in taken.shares] == ["assistant", "assistant (canary)"]
    assert taken.gpus("A100").at_rest == 2


# ---- promotion


def entry(root: Path) -> Entry[Model]:
    catalog, findings = load_catalog(root)
    assert findings == []
    return catalog.models["assistant"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            CANARY,
            CANARY.replace(
                "      canary:\n        weight: 10  # percent\n        context: 8192\n", "      context: 8192\n"
            ),
        ),
        (
            CANARY.replace("      # Longer", "      context: 4096  # was\n      # Longer") + "      # the end\n",
            CANARY.partition("      # Longer")[0]
            + "      context: 8192  # was\n      # Longer answers, on trial since May.\n      # the end\n",
        ),
        (
            "    prod: {canary: {weight: 5, context: 8192}, sku: Standard_NC24ads_A100_v4}\n",
            "    prod: {context: 8192, sku: Standard_NC24ads_A100_v4}\n",
        ),
        (
            "    prod: {canary: {weight: 5, context: 8192}, context: 1024, sku: Standard_NC24ads_A100_v4}  # x\n",
            "    prod: {context: 8192, sku: Standard_NC24ads_A100_v4}  # x\n",
        ),
        (
            "    prod: {sku: Standard_D16s_v5, canary: {weight: 5, replicas: 2, sku: Standard_NC24ads_A100_v4}}\n",
            "    prod: {sku: Standard_NC24ads_A100_v4}\n",
        ),
        (
            "    prod:\n      sku: Standard_NC24ads_A100_v4\n      canary: {weight: 5,\n        context: 8192}\n",
            "    prod:\n      sku: Standard_NC24ads_A100_v4\n      context: 8192\n",
        ),
    ],
    ids=["block", "block-with-the-field", "flow-first", "flow-first-with-the-field", "flow-last", "flow-in-block"],
)
def test_promotion_edits_only_what_it_must(root: Path, before: str, after: str) -> None:
    write(root, before)
    head = (root / FILE).read_text("utf-8").removesuffix(before)
    assert promote(entry(root), "prod") == head + after


def test_the_share_is_edited_where_it_stands(root: Path) -> None:
    write(root, CANARY)
    text = (root / FILE).read_text("utf-8")
    assert weigh(entry(root), "prod", 50) == text.replace("weight: 10  # percent", "weight: 50  # percent")


def test_a_value_on_a_line_of_its_own_is_moved_as_well(root: Path) -> None:
    odd = CANARY.replace("      host", "      context:\n        4096\n      host")
    write(root, odd.replace("context: 8192", "context:\n          8192"))
    assert "      context:\n        8192\n" in promote(entry(root), "prod")


def test_the_command_edits_renders_and_says_so(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root, CANARY)
    run(root, "render")
    canary = (root / UNIT / "workspace-canary.yaml").read_text("utf-8")
    run(root, "promote", "assistant", "--weight", "40")
    route = yaml.safe_load((root / UNIT / "httproute.yaml").read_text("utf-8"))
    assert [ref["weight"] for ref in route["spec"]["rules"][0]["backendRefs"]] == [60, 40]
    assert "the canary of assistant on prod gets 40 % of the requests: 1 changed" in capsys.readouterr().err
    run(root, "promote", "assistant")
    assert (root / UNIT / "workspace.yaml").read_text("utf-8") == canary
    assert not [*(root / UNIT).glob("*canary*")]
    assert "serves alone" in capsys.readouterr().err
    run(root, "render", "--check")


def test_what_cannot_be_rendered_is_put_back(root: Path) -> None:
    write(root, CANARY)
    run(root, "render")
    workspace = root / UNIT / "service.yaml"
    workspace.write_text(workspace.read_text("utf-8") + "# by hand\n", "utf-8")
    before = (root / FILE).read_bytes()
    run(root, "promote", "assistant", code=1)
    assert (root / FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["promote", "asistant"], "did you mean `assistant`?"),
        (["promote", "assistant", "--cluster", "dev"], "`assistant` has no canary on `dev`"),
        (["promote", "gated"], "`gated` has no canary"),
        (["promote", "assistant", "--weight", "101"], "101 is not in the range"),
    ],
    ids=" ".join,
)
def test_a_mistake_at_the_prompt(root: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    write(root, CANARY)
    run(root, *words, code=2)
    assert said in capsys.readouterr().err


def run(root: Path, *words: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["-C", str(root), *words])
    assert stop.value.code == code
