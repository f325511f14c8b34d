"""Do Argo CD's health checks call each recorded state what it is, and never raise an error?

The scripts are run as they leave `kubectl kustomize`, by Lua 5.1 with no more libraries than Argo CD gives them. A
fixture is an object and the verdict that it must get; the name of its folder is the kind, and a name that starts with
`stale` or `deleting` marks the states that each script must have one of.
"""

import copy
import functools
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from lupa.lua51 import LuaError, LuaRuntime

from generator.compile import Compiled

UNIT = Path(__file__).parents[2] / "clusters" / "base" / "gitops"
FIXTURES = Path(__file__).parent / "health"
PATHS = sorted(FIXTURES.glob("*/*.yaml"))
FILES = sorted((UNIT / "health").glob("*.lua"))
BLOCK = re.compile(r"^-- shared block: (.+?)\n(.*?)^-- end of shared block$", re.MULTILINE | re.DOTALL)
HEALTH_KEY = "resource.customizations.health."
LIBRARIES_KEY = "resource.customizations.useOpenLibs."
# `Unknown` and `Missing` are valid too, but say nothing that a script of ours could mean.
STATUSES = {"Healthy", "Progressing", "Degraded", "Suspended"}

# Argo CD opens `base`, `table` and a harmless `os`; the other libraries come with `useOpenLibs`. Only `string` is given
# even then, so that a script which reaches for `io` or `os` fails here. A misspelt name is an error instead of nil.
SANDBOX = """
local with_string = ...
local kept = { table = true, obj = true, _G = true, string = with_string or nil }
for _, name in ipairs({ "assert", "error", "ipairs", "next", "pairs", "pcall", "rawget", "rawset", "select",
    "setmetatable", "getmetatable", "tonumber", "tostring", "type", "unpack" }) do
  kept[name] = true
end
if not with_string then
  debug.setmetatable("", nil)
end
local globals = _G
for name in pairs(globals) do
  if not kept[name] then
    globals[name] = nil
  end
end
setmetatable(globals, {
  -- `string` may be asked for where it is not, and the Python side asks for `debug` to report an error.
  __index = function(_, name) if name ~= "string" and name ~= "debug" then error("no such global: " .. name) end end,
  __newindex = function(_, name) error("a global is written: " .. name) end,
})
"""


@functools.cache
def config_map() -> dict[str, Any]:
    kubectl = Path(sys.executable).with_name("kubectl")
    built = subprocess.run([kubectl, "kustomize", UNIT], check=True, capture_output=True, text=True)
    loaded: dict[str, Any] = yaml.safe_load(built.stdout)
    return loaded


@functools.cache
def scripts() -> dict[str, str]:
    """From `<group>_<Kind>` to its script."""
    data = config_map()["data"]
    return {key.removeprefix(HEALTH_KEY): data[key] for key in data if key.startswith(HEALTH_KEY)}


def has_libraries(name: str) -> bool:
    return bool(config_map()["data"].get(LIBRARIES_KEY + name) == "true")


@functools.cache
def sandbox(with_string: bool) -> Any:
    lua = LuaRuntime(register_eval=False, register_builtins=False)
    lua.execute(SANDBOX, with_string)
    return lua


@functools.cache
def machine(name: str, with_string: bool) -> tuple[Any, Any, Any]:
    """A Lua that knows no more than Argo CD's, a function that sets `obj` in it, and the compiled script."""
    lua = sandbox(with_string)
    return lua, lua.eval("function(obj) rawset(_G, 'obj', obj) end"), lua.compile(scripts()[name])


def to_lua(lua: Any, value: Any) -> Any:
    if isinstance(value, dict):
        table = lua.table()
        for key, item in value.items():
            table[key] = to_lua(lua, item)
        return table
    if isinstance(value, list):
        # Argo CD's Lua appends item by item, and appending nil does nothing.
        return lua.table(*[to_lua(lua, item) for item in value if item is not None])
    return value


def script_of(obj: dict[str, Any]) -> str:
    return f"{obj['apiVersion'].split('/')[0]}_{obj['kind']}"


def judge(name: str, obj: dict[str, Any], with_string: bool | None = None) -> tuple[str, str]:
    lua, set_object, script = machine(name, has_libraries(name) if with_string is None else with_string)
    set_object(to_lua(lua, obj))
    verdict = dict(script())
    assert verdict.keys() <= {"status", "message"}
    assert verdict["status"] in STATUSES
    assert isinstance(verdict.get("message", ""), str)
    return verdict["status"], verdict.get("message", "")


@functools.cache
def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def case(kind: str, name: str) -> dict[str, Any]:
    obj: dict[str, Any] = copy.deepcopy(load(FIXTURES / kind / f"{name}.yaml")["object"])
    return obj


def label(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", PATHS, ids=label)
def test_state_gets_its_verdict(path: Path) -> None:
    fixture = load(path)
    status, message = judge(script_of(fixture["object"]), fixture["object"])
    assert status == fixture["expect"]["status"], message
    assert fixture["expect"]["message"] in message


@pytest.mark.parametrize("expression", ["io", "os", "require", "load", "misspelt", "('x'):len()", "string.len('x')"])
def test_sandbox_is_closed(expression: str) -> None:
    with pytest.raises(LuaError):
        sandbox(with_string=False).eval(expression)


@pytest.mark.parametrize("path", PATHS, ids=label)
def test_only_azure_texts_need_the_string_library(path: Path) -> None:
    fixture = load(path)
    status, _ = judge(script_of(fixture["object"]), fixture["object"], with_string=False)
    if path.stem.endswith("-text") or path.stem == "degraded-gave-up":
        assert status == "Progressing"
    else:
        assert status == fixture["expect"]["status"]


def test_scripts_in_the_config_map_are_the_files() -> None:
    assert scripts() == {path.stem: path.read_text() for path in FILES}


def test_config_map_merges_into_the_one_of_argocd() -> None:
    metadata = config_map()["metadata"]
    assert (metadata["namespace"], metadata["name"]) == ("argocd", "argocd-cm")
    assert metadata["labels"]["app.kubernetes.io/part-of"] == "argocd"
    options = metadata["annotations"]["argocd.argoproj.io/sync-options"].split(",")
    assert set(options) == {"ServerSideApply=true", "Prune=false"}


def test_health_checks_come_before_the_project_and_every_application(fleet: Compiled) -> None:
    assert fleet.rendering is not None
    wave = "argocd.argoproj.io/sync-wave"
    waves = [
        int(document.body["metadata"]["annotations"][wave])
        for document in fleet.rendering.documents
        if document.body["kind"] in {"AppProject", "Application"}
    ]
    assert int(config_map()["metadata"]["annotations"][wave]) < min(waves)


def test_libraries_are_opened_for_the_scripts_that_use_them() -> None:
    opened = {name for name in scripts() if has_libraries(name)}
    assert opened == {name for name, script in scripts().items() if "string." in script}
    assert {key.removeprefix(LIBRARIES_KEY) for key in config_map()["data"] if LIBRARIES_KEY in key} == opened


def test_every_script_has_every_sort_of_fixture() -> None:
    sorts: dict[str, set[str]] = defaultdict(set)
    for path in PATHS:
        fixture = load(path)
        assert path.parent.name == fixture["object"]["kind"]
        sorts[script_of(fixture["object"])] |= {fixture["expect"]["status"], path.stem.split("-")[0]}
    assert sorts.keys() == scripts().keys()
    for name, found in sorts.items():
        missing = {"Healthy", "Progressing", "Degraded", "stale", "deleting"} - found
        assert not missing, f"{name} has no fixture for {missing}"


def shared_blocks() -> Iterator[tuple[str, str, str]]:
    for path in FILES:
        for title, block in BLOCK.findall(path.read_text()):
            yield title, path.stem, block


def test_shared_blocks_are_the_same_everywhere() -> None:
    owners: dict[str, list[str]] = defaultdict(list)
    texts: dict[str, set[str]] = defaultdict(set)
    for title, name, block in shared_blocks():
        owners[title].append(name)
        texts[title].add(block)
    assert set(owners["reading"]) == scripts().keys()
    for title, names in owners.items():
        assert len(names) > 1, f"the block `{title}` is shared with nobody"
        assert len(texts[title]) == 1, f"the block `{title}` differs between {names}"


def rows(table: str, pattern: str) -> list[str]:
    """What `pattern` finds in each line of a table of the Workspace's script."""
    script = (UNIT / "health" / "kaito.sh_Workspace.lua").read_text()
    return re.findall(pattern, script.split(f"local {table} = {{")[1].split("\n}")[0], re.MULTILINE)


NODE_REASONS = rows("NODE_REASONS", r"^  (\w+) = ")
LATER_REASONS = rows("MIRROR_REASONS", r"^  (\w+) = ") + rows("POD_REASONS", r"^  (\w+) = ")


def with_claim_reason(obj: dict[str, Any], reason: str) -> dict[str, Any]:
    for condition in obj["status"]["conditions"]:
        if condition["type"] in {"NodeClaimReady", "ResourceReady"}:
            condition["reason"] = reason
    return obj


@pytest.mark.parametrize("kind", ["Workspace", "RAGEngine"])
@pytest.mark.parametrize("reason", NODE_REASONS)
def test_reasons_that_waiting_cannot_heal_are_degraded_with_a_way_out(kind: str, reason: str) -> None:
    base = {"Workspace": "progressing-pending-node", "RAGEngine": "progressing-node"}[kind]
    status, message = judge(f"kaito.sh_{kind}", with_claim_reason(case(kind, base), reason))
    assert status == "Degraded"
    assert re.fullmatch(rf"{reason}: .+; way out: .+", message)


@pytest.mark.parametrize("reason", LATER_REASONS)
def test_reasons_after_the_node_are_degraded_with_a_way_out(reason: str) -> None:
    obj = case("Workspace", "progressing-loading")
    next(found for found in obj["status"]["conditions"] if found["type"] == "InferenceReady")["reason"] = reason
    status, message = judge("kaito.sh_Workspace", obj)
    assert status == "Degraded"
    assert re.fullmatch(rf"{reason}: .+; way out: .+", message)


@pytest.mark.parametrize("reason", ["LaunchFailed", "NodeClaimNotReady", "workspaceFailed"])
@pytest.mark.parametrize("text", rows("NODE_TEXTS", r'^  \{ "(.+)",'))
def test_azure_texts_speak_where_the_reason_does_not(reason: str, text: str) -> None:
    obj = with_claim_reason(case("Workspace", "progressing-pending-node"), reason)
    obj["status"]["conditions"][0]["message"] = f"creating agent pool: {text.upper()} (last reconcile error: none)"
    assert judge("kaito.sh_Workspace", obj)[0] == "Degraded"


@pytest.mark.parametrize(
    "reason",
    [
        "AllocationFailed",
        "AwaitingReconciliation",
        "CapacityUnavailable",
        "Conflict",
        "Creating",
        "NodeNotFound",
        "NodeNotReady",
        "OverconstrainedAllocationRequest",
        "StartupTaintsExist",
        "Throttled",
        "ZonalAllocationFailed",
    ],
)
def test_reasons_that_heal_keep_argocd_waiting(reason: str) -> None:
    obj = with_claim_reason(case("Workspace", "progressing-pending-node"), reason)
    assert judge("kaito.sh_Workspace", obj)[0] == "Progressing"


def test_readme_names_every_reason() -> None:
    named = set(re.findall(r"`(\w+)`", (UNIT / "README.md").read_text()))
    assert set(NODE_REASONS) | set(LATER_REASONS) <= named


# KAITO writes these on each pass, so that an older generation means that no pass has been made.
REWRITTEN = ("MultiRoleInference/healthy", "MultiRoleInference/degraded", "InferencePool/healthy-accepted")
SETTLED = (
    "InferenceSet/healthy",
    "RAGEngine/healthy",
    "Workspace/healthy-release-without-state",
)


def is_rewritten(path: Path) -> bool:
    fixture = load(path)
    if fixture["object"]["kind"] == "Workspace":
        return "state" in fixture["object"].get("status", {}) and not path.stem.startswith("deleting")
    return label(path).startswith(REWRITTEN)


@pytest.mark.parametrize("path", [path for path in PATHS if is_rewritten(path)], ids=label)
def test_a_newer_generation_makes_argocd_wait(path: Path) -> None:
    obj = copy.deepcopy(load(path)["object"])
    obj["metadata"]["generation"] += 1
    status, message = judge(script_of(obj), obj)
    assert (status, "newest generation" in message) == ("Progressing", True)


@pytest.mark.parametrize("path", [path for path in PATHS if label(path).startswith(SETTLED)], ids=label)
def test_a_generation_that_is_never_reported_holds_no_sync(path: Path) -> None:
    obj = copy.deepcopy(load(path)["object"])
    obj["metadata"]["generation"] += 1
    assert judge(script_of(obj), obj)[0] == "Healthy"


@pytest.mark.parametrize("path", PATHS, ids=label)
def test_deleting_comes_before_everything_else(path: Path) -> None:
    obj = copy.deepcopy(load(path)["object"])
    obj["metadata"]["deletionTimestamp"] = "2026-03-01T10:00:00Z"
    status, message = judge(script_of(obj), obj)
    assert (status, message.startswith("deleting: ")) == ("Progressing", True)


WRONG: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "x", "True", "False", 0, -1, 1.5, True, False, [], {}, ["x"], [{}], {"a": 1}, [[[]]]]
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a value with each of its keys."""
    if not isinstance(value, dict | list):
        return
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        yield from places(item)


def damage(data: st.DataObject, obj: dict[str, Any]) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        found = list(places(obj))
        if not found:
            return
        container, key = data.draw(st.sampled_from(found))
        if data.draw(st.booleans()):
            del container[key]
        else:
            container[key] = copy.deepcopy(data.draw(WRONG))


@pytest.mark.parametrize("name", [path.stem for path in FILES])
@settings(max_examples=150)
@given(data=st.data())
def test_no_object_makes_a_script_fail(name: str, data: st.DataObject) -> None:
    kind = name.split("_")[1]
    obj = copy.deepcopy(
        load(data.draw(st.sampled_from([path for path in PATHS if path.parent.name == kind])))["object"]
    )
    damage(data, obj)
    judge(name, obj, with_string=data.draw(st.booleans()))


@pytest.mark.parametrize("name", [path.stem for path in FILES])
@pytest.mark.parametrize("status", [None, {}, {"conditions": []}, {"conditions": [None]}, {"parents": []}, "x", 0])
def test_an_empty_status_is_no_error(name: str, status: Any) -> None:
    assert judge(name, {"metadata": {}, "status": status})[0] in {"Progressing", "Healthy"}
