"""Does each command do for its user what its help says: exit codes, places, words on stderr, data on stdout?"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from generator.cli import COMMANDS, main
from generator.templating import Templates

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
WORKSPACE = "clusters/dev/assistant/workspace.yaml"
MODEL = "catalog/models/assistant.yaml"
EMBEDDED = ("--skip", "schema", "--skip", "build", "--skip", "policy")
"""Checks with tests of their own, which need more than the small catalog."""


@dataclass(frozen=True, slots=True)
class Result:
    code: int
    out: str
    err: str


Kaitops = Callable[..., Result]


@pytest.fixture
def kaitops(root: Path, capsys: pytest.CaptureFixture[str]) -> Kaitops:
    """The command line in the small repository; a traceback would fail the test by itself."""

    def run(*words: str) -> Result:
        with pytest.raises(SystemExit) as stop:
            main(["-C", str(root), *words])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(stop.value.code if isinstance(stop.value.code, int) else -1, captured.out, captured.err)

    return run


@pytest.fixture(scope="module", autouse=True)
def _templates_are_compiled_once() -> Iterator[None]:
    """A process compiles them once; these tests run dozens of commands in one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("generator.render.Templates", cache(Templates))
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(HERE / "valid", tmp_path / "catalog")
    (tmp_path / "catalog" / "facts").symlink_to(REPOSITORY / "catalog" / "facts")
    (tmp_path / "policies").symlink_to(REPOSITORY / "policies")
    return tmp_path


def edit(root: Path, file: str, old: str, new: str) -> None:
    path = root / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def revision(root: Path) -> str:
    labels: dict[str, str] = yaml.safe_load((root / WORKSPACE).read_text("utf-8"))["metadata"]["labels"]
    return labels["kaitops.dev/revision"]


# ---- help and mistakes at the prompt


def test_help_names_every_command_and_the_exit_codes(kaitops: Kaitops) -> None:
    result = kaitops("--help")
    assert result.code == 0
    assert result.err == ""
    for name, text in COMMANDS.items():
        assert f"  {name} " in result.out
        assert text in result.out
    assert "0 fine, 1 findings, 2 could not run" in " ".join(result.out.split())
    assert "_KAITOPS_COMPLETE=bash_source" in result.out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_help_that_starts_like_its_line_in_the_list(kaitops: Kaitops, name: str) -> None:
    result = kaitops(name, "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: kaitops {name} ")
    assert COMMANDS[name].removesuffix(".").split(",")[0] in " ".join(result.out.split())


def test_version(kaitops: Kaitops) -> None:
    assert kaitops("--version").out.startswith("kaitops 0.")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rendr"], "no command `rendr`; did you mean `render`?"),
        (["xyz"], "no command `xyz`; `kaitops --help` lists them"),
        (["render", "--chek"], "--check"),
        (["render", "--cluster", "deb"], "no cluster `deb`; did you mean `dev`?"),
        (["list", "--cluster", "xyz"], "no cluster `xyz`; there are: `bare`, `dev`, `managed`, `old`, `prod`"),
        (["validate", "--select", "schem"], "no check `schem`; did you mean `schema`?"),
        (["validate", "--skip", "xyz"], "no check `xyz`; there are: "),
        (["validate", "-o", "xml"], "'xml' is not one of"),
        (["show", "asistant"], "did you mean `assistant`?"),
        (["show", "xyz"], "`kaitops list` shows all"),
        (["show"], "Missing argument"),
        (["roll"], "Missing argument"),
        (["roll", "asistant"], "did you mean `assistant`?"),
        (["roll", "assistant"], "`assistant` is not held: it has no `roll: manual`"),
        (["-C", "/does-not-exist", "list"], "`/does-not-exist` is not a folder"),
    ],
    ids=" ".join,
)
def test_a_mistake_at_the_prompt_ends_with_2_and_says_what_is_right(
    kaitops: Kaitops, words: list[str], said: str
) -> None:
    result = kaitops(*words)
    assert result.code == 2
    assert said in result.err
    assert result.out == ""


def test_outside_a_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("render", "validate", "list", "schemas"):
        with pytest.raises(SystemExit) as stop:
            main(["-C", str(tmp_path), command])
        captured = capsys.readouterr()
        assert stop.value.code == 2
        assert captured.out == ""
        assert f"no catalog in `{tmp_path}`" in captured.err
        assert "`-C DIR`" in captured.err


def test_from_a_folder_deep_inside(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root / "catalog" / "models")
    with pytest.raises(SystemExit) as stop:
        main(["render"])
    assert stop.value.code == 0
    assert (root / WORKSPACE).is_file()
    assert not (root / "catalog" / "models" / "clusters").exists()
    assert capsys.readouterr().out == ""


def test_missing_facts_are_said_in_one_line(kaitops: Kaitops, root: Path) -> None:
    (root / "catalog" / "facts").unlink()
    result = kaitops("render")
    assert result.code == 2
    assert "catalog/facts/kaito.yaml" in result.err


# ---- render


def test_render_writes_says_so_on_stderr_and_is_then_clean(kaitops: Kaitops, root: Path) -> None:
    first = kaitops("render")
    assert (first.code, first.out) == (0, "")
    assert "rendered " in first.err
    assert " for 5 clusters in " in first.err
    assert (root / WORKSPACE).is_file()
    check = kaitops("render", "--check")
    assert (check.code, check.out) == (0, "")
    assert kaitops("render", "--diff").out == ""


def test_check_of_a_tree_that_was_never_rendered(kaitops: Kaitops, root: Path) -> None:
    result = kaitops("render", "--check")
    assert result.code == 1
    assert "drift/missing" in result.out
    assert not (root / "clusters").exists()


def test_check_and_render_after_an_edit_by_hand(kaitops: Kaitops, root: Path) -> None:
    kaitops("render")
    edit(root, WORKSPACE, "Standard_NV36ads_A10_v5", "Standard_NC24ads_A100_v4")
    check = kaitops("render", "--check")
    assert check.code == 1
    assert f"{WORKSPACE}: error: was edited by hand [drift/edited]" in check.out
    refused = kaitops("render")
    assert refused.code == 1
    assert "was edited by hand" in refused.err
    assert "nothing was written" in refused.err
    assert "Standard_NC24ads_A100_v4" in (root / WORKSPACE).read_text("utf-8")
    forced = kaitops("render", "--force")
    assert forced.code == 0
    assert "Standard_NV36ads_A10_v5" in (root / WORKSPACE).read_text("utf-8")


def test_diff_shows_the_change_and_writes_nothing(kaitops: Kaitops, root: Path) -> None:
    kaitops("render")
    before = (root / "clusters/prod/assistant/httproute.yaml").read_bytes()
    edit(root, MODEL, "assistant.models.example.com", "helper.models.example.com")
    result = kaitops("render", "--diff")
    assert result.code == 0
    assert "-    - assistant.models.example.com" in result.out
    assert "+    - helper.models.example.com" in result.out
    assert "clusters/dev/" not in result.out
    assert (root / "clusters/prod/assistant/httproute.yaml").read_bytes() == before


def test_one_cluster_alone(kaitops: Kaitops, root: Path) -> None:
    assert kaitops("render", "--cluster", "dev").code == 0
    assert (root / "clusters" / "dev").is_dir()
    assert not (root / "clusters" / "prod").exists()
    assert kaitops("render", "--check", "--cluster", "dev").code == 0
    assert kaitops("render", "--check", "--cluster", "prod").code == 1


def test_taking_down_most_of_a_cluster_needs_a_word(kaitops: Kaitops, root: Path) -> None:
    kaitops("render")
    for name in ("models/assistant", "models/gated", "rag/handbook", "tuning/dolly"):
        edit(root, f"catalog/{name}.yaml", "spec:\n", "spec:\n  retired: true\n")
    edit(root, "catalog/rag/handbook.yaml", "{model: assistant,", '{url: "https://models.example.com/v1",')
    refused = kaitops("render")
    assert refused.code == 1
    assert "drift/prune" in refused.err
    assert (root / WORKSPACE).is_file()
    assert kaitops("render", "--allow-prune").code == 0
    assert not (root / WORKSPACE).exists()


def test_an_entry_that_vanished_while_it_runs_needs_a_word(kaitops: Kaitops, root: Path) -> None:
    kaitops("render")
    (root / "catalog" / "models" / "gated.yaml").unlink()
    refused = kaitops("render")
    assert refused.code == 1
    assert "entry `gated` is gone from the catalog" in refused.err
    assert "`retired: true`" in refused.err
    assert (root / "clusters/dev/gated/inferenceset.yaml").is_file()
    assert kaitops("render", "--allow-prune").code == 0
    assert not (root / "clusters/dev/gated").exists()


def test_a_wrong_entry_stops_every_command_that_needs_the_catalog(kaitops: Kaitops, root: Path) -> None:
    edit(root, MODEL, "owner:", "ower:")
    for words in (["render"], ["render", "--check"], ["render", "--diff"], ["list"], ["show", "assistant"]):
        result = kaitops(*words)
        assert (result.code, result.out) == (1, ""), words
        assert f"{MODEL}:6:3: error: unknown field `ower` in `spec` [catalog/shape]" in result.err
        assert "hint: did you mean `owner`?" in result.err


# ---- validate


def test_validate_text_json_sarif_and_github_name_the_same_place(kaitops: Kaitops, root: Path) -> None:
    edit(root, MODEL, "phi-4-mini-instruct", "falcon-7b")
    text = kaitops("validate", *EMBEDDED)
    assert text.code == 1
    assert text.out.startswith(
        f"{MODEL}:9:14: error: KAITO has no preset `falcon-7b` any more [catalog/retired-preset]"
    )
    assert "1 error" in text.err
    record = json.loads(kaitops("validate", *EMBEDDED, "-o", "json").out)[0]
    assert (record["file"], record["line"], record["column"]) == (MODEL, 9, 14)
    assert (record["severity"], record["rule"]) == ("error", "catalog/retired-preset")
    sarif = json.loads(kaitops("validate", *EMBEDDED, "-o", "sarif").out)
    assert sarif["version"] == "2.1.0"
    location: dict[str, Any] = sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == MODEL
    assert location["region"] == {"startLine": 9, "startColumn": 14}
    github = kaitops("validate", *EMBEDDED, "-o", "github").out
    assert github.startswith(f"::error file={MODEL},line=9,col=14,title=catalog/retired-preset::KAITO has no preset")


def test_validate_of_a_good_repository(kaitops: Kaitops) -> None:
    kaitops("render")
    result = kaitops("validate", *EMBEDDED)
    assert (result.code, result.out) == (0, ""), result.err
    assert "skipped: schema, not selected" in result.err
    assert "no findings" in result.err
    assert json.loads(kaitops("validate", *EMBEDDED, "-o", "json").out) == []


def test_a_kubernetes_minor_that_nobody_described_is_said_at_its_line(kaitops: Kaitops, root: Path) -> None:
    edit(root, "catalog/clusters/dev.yaml", 'kubernetes: "1.34"', 'kubernetes: "1.99"')
    result = kaitops("validate", "--select", "schema", "-o", "github")
    assert result.code == 1
    assert "file=catalog/clusters/dev.yaml,line=14" in result.out
    assert "there are no schemas of Kubernetes `1.99`" in result.out


def test_a_skipped_check_fails_under_strict(kaitops: Kaitops) -> None:
    kaitops("render")
    assert kaitops("validate", *EMBEDDED, "--strict").code == 1


def test_validate_finds_drift(kaitops: Kaitops, root: Path) -> None:
    kaitops("render")
    edit(root, MODEL, "context: 16384", "context: 8192")
    result = kaitops("validate", "--select", "drift")
    assert result.code == 1
    assert "drift/" in result.out


# ---- list and show


def test_list_as_a_table_and_as_data(kaitops: Kaitops) -> None:
    table = kaitops("list")
    assert table.code == 0
    assert table.err == ""
    assert table.out.splitlines()[0].split() == [
        "MODEL",
        "CLUSTER",
        "KIND",
        "SOURCE",
        "SKU",
        "GPUS",
        "REPLICAS",
        "ENDPOINT",
    ]
    lines = json.loads(kaitops("list", "-o", "json").out)
    assert [(line["name"], line["cluster"]) for line in lines] == [
        ("assistant", "dev"),
        ("assistant", "prod"),
        ("dolly", "dev"),
        ("gated", "dev"),
        ("gated", "prod"),
        ("handbook", "dev"),
    ]
    assert lines[1]["endpoint"] == "https://assistant.models.example.com/v1"
    assert lines[3]["replicas"] == "auto"
    only = json.loads(kaitops("list", "-o", "json", "--cluster", "prod").out)
    assert {line["cluster"] for line in only} == {"prod"}


@pytest.mark.parametrize("name", ["assistant", "gated", "dolly", "handbook"])
def test_show_is_the_same_as_text_and_as_data(kaitops: Kaitops, root: Path, name: str) -> None:
    kaitops("render")
    text = kaitops("show", name)
    data = kaitops("show", name, "-o", "json")
    assert (text.code, data.code, data.err) == (0, 0, "")
    shown = json.loads(data.out)
    assert yaml.safe_load(text.out) == shown
    for file in shown["dev"]["files"]:
        assert (root / file).is_file()
    committed = {f"clusters/dev/{name}/{path.name}" for path in (root / "clusters" / "dev" / name).iterdir()}
    assert set(shown["dev"]["files"]) == committed


def test_a_suspended_and_a_retired_model(kaitops: Kaitops, root: Path) -> None:
    edit(root, "catalog/models/gated.yaml", "  owner: chat", "  suspended: true\n  owner: chat")
    edit(root, "catalog/rag/handbook.yaml", "  owner: chat", "  retired: true\n  owner: chat")
    lines = {(line["name"], line["cluster"]): line for line in json.loads(kaitops("list", "-o", "json").out)}
    assert (lines["gated", "prod"]["gpus"], lines["gated", "prod"]["endpoint"]) == (0, "suspended")
    assert ("handbook", "dev") not in lines
    result = kaitops("show", "handbook")
    assert result.code == 2
    assert "`handbook` is retired" in result.err


@pytest.mark.parametrize(
    ("edited", "what"),
    [
        ("size: 50Gi", "size from 100Gi to the smaller 50Gi"),
        ("size: 100Gi, storageClass: azurefile-csi", "`storageClassName`"),
    ],
)
def test_a_claim_is_not_edited_where_kubernetes_refuses_it(
    kaitops: Kaitops, root: Path, edited: str, what: str
) -> None:
    """The sync of such an edit fails, and so does each one after it until the edit is taken back."""
    kaitops("render")
    claim = root / "clusters/dev/dolly/persistentvolumeclaim.yaml"
    before = claim.read_bytes()
    edit(root, "catalog/tuning/dolly.yaml", "size: 100Gi", edited)
    result = kaitops("render")
    assert result.code == 1
    assert f"the claim `tuning-results` exists, and Kubernetes refuses to change its {what}" in result.err
    assert claim.read_bytes() == before
    edit(root, "catalog/tuning/dolly.yaml", edited, "size: 200Gi")
    assert kaitops("render").code == 0
    grown = claim.read_bytes()
    assert b"storage: 200Gi" in grown
    claim.write_bytes(b"")  # as a full disk leaves it
    assert kaitops("render").code == 0
    assert claim.read_bytes() == grown


# ---- roll


def test_a_held_model_stays_until_it_is_rolled_and_its_service_follows(kaitops: Kaitops, root: Path) -> None:
    edit(root, MODEL, "  owner: chat", "  roll: manual\n  owner: chat")
    assert kaitops("render").code == 0
    first = revision(root)
    held = (root / WORKSPACE).read_bytes()
    edit(root, MODEL, "context: 8192", "context: 4096")
    result = kaitops("render")
    assert result.code == 0
    assert f"note: `assistant` is held at revision `{first}` on cluster `dev`" in result.err
    assert "hint: `kaitops roll assistant` moves it on" in result.err
    assert (root / WORKSPACE).read_bytes() == held
    assert kaitops("render", "--check").code == 0
    rolled = kaitops("roll", "assistant")
    assert (rolled.code, rolled.out) == (0, "")
    assert "rolled assistant" in rolled.err
    second = revision(root)
    assert second != first
    body = yaml.safe_load((root / WORKSPACE).read_text("utf-8"))
    assert body["metadata"]["name"] == f"assistant-{second}"
    service = yaml.safe_load((root / "clusters/dev/assistant/service.yaml").read_text("utf-8"))
    assert service["spec"]["selector"]["kaito.sh/workspace"] == f"assistant-{second}"
    config = yaml.safe_load((root / "clusters/dev/assistant/configmap.yaml").read_text("utf-8"))
    assert "max-model-len: 4096" in config["data"]["inference_config.yaml"]
    again = kaitops("render")
    assert "held" not in again.err
    assert kaitops("render", "--check").code == 0


def test_a_held_model_stays_of_its_kind_and_its_service_selects_it(kaitops: Kaitops, root: Path) -> None:
    """A second replica makes another kind of object, in another file."""
    edit(root, MODEL, "  owner: chat", "  roll: manual\n  owner: chat")
    kaitops("render")
    held, service = (root / WORKSPACE).read_bytes(), (root / "clusters/dev/assistant/service.yaml").read_bytes()
    edit(root, MODEL, "context: 8192", "context: 8192, replicas: 2")
    assert "is held at revision" in kaitops("render").err
    assert (root / WORKSPACE).read_bytes() == held
    assert (root / "clusters/dev/assistant/service.yaml").read_bytes() == service
    kaitops("roll", "assistant")
    assert not (root / WORKSPACE).exists()
    assert (root / "clusters/dev/assistant/inferenceset.yaml").exists()


def test_a_held_model_is_not_restarted_either(kaitops: Kaitops, root: Path) -> None:
    """With `rollout: Restart` a new config keeps the revision, and KAITO restarts the pod for it."""
    edit(root, MODEL, "  owner: chat", "  roll: manual\n  rollout: Restart\n  owner: chat")
    kaitops("render")
    first, held = revision(root), (root / WORKSPACE).read_bytes()
    edit(root, MODEL, "context: 8192", "context: 4096")
    assert f"is held at revision `{first}` on cluster `dev`; an edit that restarts it waits" in kaitops("render").err
    assert (root / WORKSPACE).read_bytes() == held
    kaitops("roll", "assistant")
    assert revision(root) == first
    assert (root / WORKSPACE).read_bytes() != held


def test_holding_one_cluster_keeps_nothing_back_on_another(kaitops: Kaitops, root: Path) -> None:
    edit(root, MODEL, "  owner: chat", "  roll: manual\n  owner: chat")
    kaitops("render")
    edit(root, MODEL, "context: 8192", "context: 4096")
    edit(root, MODEL, "license: mit", "license: other")
    kaitops("render")
    assert "license: mit" in (root / WORKSPACE).read_text("utf-8")
    assert "license: other" in (root / WORKSPACE.replace("/dev/", "/prod/")).read_text("utf-8")


@pytest.mark.parametrize("text", ["<<<<<<< HEAD\nkind: Workspace\n", "kind: Workspace\nmetadata: {name: x}\n", ""])
def test_a_held_model_whose_file_is_broken_is_said(kaitops: Kaitops, root: Path, text: str) -> None:
    edit(root, MODEL, "  owner: chat", "  roll: manual\n  owner: chat")
    kaitops("render")
    (root / WORKSPACE).write_text(text, "utf-8")
    result = kaitops("render")
    assert result.code == 1
    assert f"`{WORKSPACE}` is not as it was rendered, and `assistant` is held at it" in result.err


def test_a_held_model_is_never_what_somebody_wrote_into_its_file(kaitops: Kaitops, root: Path) -> None:
    """Well-formed and of the same revision: only the index knows better."""
    edit(root, MODEL, "  owner: chat", "  roll: manual\n  owner: chat")
    kaitops("render")
    edit(root, WORKSPACE, "name: phi-4-mini-instruct", "name: phi-4")
    result = kaitops("render", "--force")
    assert result.code == 1
    assert f"git checkout -- {WORKSPACE}" in result.err
    edit(root, WORKSPACE, "name: phi-4\n", "name: phi-4-mini-instruct\n")
    assert kaitops("render").code == 0


def test_a_model_that_is_not_held_moves_at_once(kaitops: Kaitops, root: Path) -> None:
    kaitops("render")
    first = revision(root)
    edit(root, MODEL, "context: 8192", "context: 4096")
    kaitops("render")
    assert revision(root) != first


# ---- schemas


def test_schemas_are_written_and_then_fresh(kaitops: Kaitops, root: Path) -> None:
    stale = kaitops("schemas", "--check")
    assert stale.code == 1
    assert "catalog/schema/model.schema.json: error: " in stale.out
    assert kaitops("schemas").code == 0
    schema = json.loads((root / "catalog" / "schema" / "model.schema.json").read_text("utf-8"))
    assert schema["additionalProperties"] is False
    assert kaitops("schemas", "--check").code == 0


# ---- the installed script


def script(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = Path(sys.executable).parent / "kaitops"
    wanted = os.environ | environment
    return subprocess.run([path, *words], env=wanted, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("show phi-4", {"phi-4", "phi-4-mini"}),
        ("show hand", {"handbook"}),
        ("fit phi-3-lora", {"phi-3-lora-volumes"}),
        ("list --cluster p", {"prod"}),
        ("validate --select sc", {"schema"}),
    ],
)
def test_the_shell_completes_names(words: str, expected: set[str]) -> None:
    number = str(len(words.split()))
    asked = script(_KAITOPS_COMPLETE="bash_complete", COMP_WORDS=f"kaitops {words}", COMP_CWORD=number)
    assert {line.removeprefix("plain,") for line in asked.stdout.split()} == expected


def test_where_there_is_no_catalog_no_name_is_completed(tmp_path: Path) -> None:
    words = f"kaitops -C {tmp_path} show p"
    asked = script(_KAITOPS_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD="4")
    assert (asked.stdout.strip(), asked.stderr, asked.returncode) == ("", "", 0)


def test_the_script_completes_commands_and_options() -> None:
    source = script(_KAITOPS_COMPLETE="bash_source")
    assert source.returncode == 0
    assert "complete -o nosort -F _kaitops_completion kaitops" in source.stdout
    commands = script(_KAITOPS_COMPLETE="bash_complete", COMP_WORDS="kaitops re", COMP_CWORD="1")
    assert commands.stdout.splitlines() == ["plain,render"]
    options = script(_KAITOPS_COMPLETE="bash_complete", COMP_WORDS="kaitops render --al", COMP_CWORD="2")
    assert options.stdout.splitlines() == ["plain,--allow-prune"]


def test_the_script_ends_with_the_same_codes(root: Path) -> None:
    assert script("-C", str(root), "list").returncode == 0
    edit(root, MODEL, "owner:", "ower:")
    assert script("-C", str(root), "list").returncode == 1
    assert script("-C", "/", "list").returncode == 2


def test_a_reader_that_closes_the_pipe_hears_no_complaint(root: Path) -> None:
    path = Path(sys.executable).parent / "kaitops"
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [path, "-C", str(root), "list"], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    finally:
        os.close(writer)
    assert result.stderr == ""
