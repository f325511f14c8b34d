"""From CRDs to strict schemas: what an API server would prune must be refused, what it takes must pass."""

from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from generator.finding import CannotRunError
from tools.distill import __main__ as command
from tools.distill import sources
from tools.distill.sources import GO_MOD, SOURCES, _documents, crds, pinned
from tools.distill.structural import convert, distill

Schema = dict[str, Any]
METADATA: Schema = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "namespace": {"type": "string"}},
    "additionalProperties": False,
    "required": ["name"],
}
OBJECT = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}}


def crd(schema: Schema, scope: str = "Namespaced") -> Schema:
    root = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    whole = {"type": "object", "properties": {**root, **schema.pop("properties", {})}, **schema}
    version = {"name": "v1", "schema": {"openAPIV3Schema": whole}}
    return {"spec": {"group": "example.com", "scope": scope, "names": {"kind": "Thing"}, "versions": [version]}}


def accepts(schema: Schema, value: Any) -> bool:
    return Draft202012Validator(schema).is_valid(value)


def test_a_field_that_a_server_would_prune_is_refused() -> None:
    made = convert({"type": "object", "properties": {"a": {"type": "string"}}})
    assert accepts(made, {"a": "x"})
    assert not accepts(made, {"b": "x"})


def test_an_object_without_fields_loses_all_of_them() -> None:
    assert not accepts(convert({"type": "object"}), {"a": 1})


def test_preserved_fields_are_free_but_known_ones_are_checked() -> None:
    node = {"type": "object", "properties": {"a": {"type": "string"}}, "x-kubernetes-preserve-unknown-fields": True}
    made = convert(node)
    assert accepts(made, {"a": "x", "b": 1})
    assert not accepts(made, {"a": 1})
    assert convert({"x-kubernetes-preserve-unknown-fields": True}) == {}


def test_a_map_takes_any_key_and_checks_its_values() -> None:
    made = convert(
        {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "string"}}}}
    )
    assert accepts(made, {"x": {"a": "b"}})
    assert not accepts(made, {"x": {"b": "b"}})
    assert accepts(convert({"type": "object", "additionalProperties": True}), {"x": 1})


def test_int_or_string_takes_both_and_nothing_else() -> None:
    choice = [{"type": "integer"}, {"type": "string"}]
    made = convert({"anyOf": choice, "x-kubernetes-int-or-string": True, "pattern": "^[0-9]+%$"})
    assert made == {"type": ["integer", "string"], "pattern": "^[0-9]+%$"}
    assert accepts(made, 3)
    assert accepts(made, "3%")
    assert not accepts(made, "x")
    assert not accepts(made, 1.5)


def test_nullable_takes_null_even_beside_an_enum() -> None:
    made = convert({"type": "string", "enum": ["a"], "nullable": True})
    assert accepts(made, None)
    assert accepts(made, "a")
    assert not accepts(made, "b")
    assert not accepts(convert({"type": "string"}), None)


def test_a_required_field_with_a_default_may_be_left_out() -> None:
    properties = {"a": {"type": "string", "default": "x"}, "b": {"type": "string"}}
    made = convert({"type": "object", "properties": properties, "required": ["a", "b"]})
    assert made["required"] == ["b"]
    assert "default" not in made["properties"]["a"]


def test_an_embedded_object_says_what_it_is() -> None:
    made = convert(
        {
            "type": "object",
            "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "x-kubernetes-embedded-resource": True,
        }
    )
    assert not accepts(made, {"spec": {"a": "x"}})
    assert accepts(made, {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"a": "x"}})
    assert not accepts(made, {"apiVersion": "v1", "kind": "Pod", "spc": {}})


def test_conditions_do_not_make_other_fields_unknown() -> None:
    either = [{"required": ["a"], "properties": {"a": {}}}, {"required": ["b"]}]
    properties = {"a": {"type": "string"}, "b": {"type": "string"}, "c": {"type": "string"}}
    made = convert({"type": "object", "properties": properties, "oneOf": either})
    assert accepts(made, {"a": "x", "c": "x"})
    assert not accepts(made, {"a": "x", "b": "x"})
    assert not accepts(made, {"c": "x"})


def test_a_negated_choice_carries_over() -> None:
    node = {"type": "object", "properties": {"a": {"type": "string"}}, "not": {"anyOf": [{"required": ["a"]}]}}
    assert not accepts(convert(node), {"a": "x"})
    assert accepts(convert(node), {})


@pytest.mark.parametrize(
    ("node", "good", "bad"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 3}, 3, 4),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, 2, 1),
        ({"type": "integer", "maximum": 3, "exclusiveMaximum": False}, 3, 4),
        ({"type": "string", "pattern": "^a"}, "ab", "b"),
        ({"type": "string", "minLength": 1, "maxLength": 2}, "ab", ""),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1}, ["a"], ["a", "b"]),
        ({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}, ["a", "b"], ["a", "a"]),
        ({"type": "string", "enum": ["a", "b"]}, "a", "c"),
    ],
)
def test_a_bound_holds(node: Schema, good: Any, bad: Any) -> None:
    assert accepts(convert(node), good)
    assert not accepts(convert(node), bad)


def test_prose_rules_and_formats_are_dropped_and_list_keys_kept() -> None:
    node = {
        "type": "array",
        "description": "x",
        "items": {
            "type": "string",
            "format": "duration",
            "default": "1h",
            "x-kubernetes-validations": [{"rule": "true"}],
        },
        "x-kubernetes-list-map-keys": ["name"],
    }
    assert convert(node) == {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-map-keys": ["name"]}


def test_a_field_may_be_called_like_a_keyword() -> None:
    made = convert(
        {"type": "object", "properties": {"description": {"type": "string"}, "default": {"type": "integer"}}}
    )
    assert accepts(made, {"description": "x", "default": 1})
    assert not accepts(made, {"description": 1})


def test_the_root_knows_its_kind_and_takes_no_status() -> None:
    status = {"status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}}
    made = distill(crd({"properties": {**spec, **status}, "required": ["spec", "status"]}), "v1", METADATA)
    assert accepts(made, {**OBJECT, "spec": {"a": "x"}})
    assert not accepts(made, OBJECT)
    assert not accepts(made, {**OBJECT, "spec": {}, "status": {}})
    assert not accepts(made, {**OBJECT, "spec": {}, "kind": "Other"})
    assert not accepts(made, {**OBJECT, "spec": {}, "apiVersion": "example.com/v2"})


def test_an_object_of_the_cluster_has_no_namespace() -> None:
    inside = {**OBJECT, "metadata": {"name": "a", "namespace": "b"}}
    assert accepts(distill(crd({}), "v1", METADATA), inside)
    assert not accepts(distill(crd({}, "Cluster"), "v1", METADATA), inside)
    assert accepts(distill(crd({}, "Cluster"), "v1", METADATA), OBJECT)


def test_every_module_of_the_table_is_pinned_with_its_sum() -> None:
    versions = pinned(GO_MOD.read_text("utf-8"))
    assert versions.keys() == {source.module for source in SOURCES} - {""}
    sums = GO_MOD.with_name("go.sum").read_text("utf-8")
    assert all(f"{module} {version} h1:" in sums for module, version in versions.items())


def test_a_stream_of_json_is_read_whole() -> None:
    assert list(_documents('{"a": 1}\n{"b": {"c": 2}}\n')) == [{"a": 1}, {"b": {"c": 2}}]
    assert list(_documents("")) == []


def test_our_own_crds_make_the_committed_schemas() -> None:
    """What can be compared without Go."""
    own = tuple(source for source in SOURCES if not source.module)
    made = command.texts(crds({"": GO_MOD.parents[1] / "crds"}, own))
    assert len(made) == sum(len(versions) for source in own for versions in source.versions.values())
    for name, text in made.items():
        assert (command.SCHEMAS / name).read_text("utf-8") == text


def test_check_names_what_is_stale_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SCHEMAS", tmp_path)
    monkeypatch.setattr(command, "fetch", lambda: {"": tmp_path})
    monkeypatch.setattr(command, "texts", lambda _: {"a/new_v1.json": "{}\n", "a/same_v1.json": "1\n"})
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "same_v1.json").write_text("1\n")
    (tmp_path / "a" / "gone_v1.json").write_text("1\n")
    (tmp_path / "kustomize.config.k8s.io").mkdir()
    (tmp_path / "kustomize.config.k8s.io" / "kustomization_v1beta1.json").write_text("by hand\n")
    assert command.main(["--check"]) == 1
    out = capsys.readouterr().out
    assert "a/new_v1.json: error" in out
    assert "a/gone_v1.json: error" in out
    assert "same" not in out
    assert not (tmp_path / "a" / "new_v1.json").exists()
    assert command.main([]) == 0
    assert command.main(["--check"]) == 0
    names = sorted(file.name for file in tmp_path.rglob("*.json"))
    assert names == ["kustomization_v1beta1.json", "new_v1.json", "same_v1.json"]


GO = """\
#!/bin/sh
test "$GOTOOLCHAIN" = local || exit 3
shift 3
for wanted in "$@"; do printf '{"Path": "%s", ANSWER}\\n' "${wanted%@*}"; done
"""


def fake_go(folder: Path, answer: str) -> str:
    """A Go that says the same of each module."""
    go = folder / "locked-go"
    go.write_text(GO.replace("ANSWER", answer))
    go.chmod(0o755)
    return str(go)


def test_modules_come_through_the_go_that_the_tools_are_built_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "find_go", lambda *_: fake_go(tmp_path, '"Dir": "/modules"'))
    folders = sources.fetch()
    assert folders.pop("") == GO_MOD.parents[1] / "crds"
    assert folders == dict.fromkeys(pinned(GO_MOD.read_text("utf-8")), Path("/modules"))


def test_one_module_that_fails_is_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "find_go", lambda *_: fake_go(tmp_path, '"Error": "checksum mismatch"'))
    with pytest.raises(CannotRunError, match=r"cannot download `github\.com/argoproj/argo-cd/v3`: checksum") as caught:
        sources.fetch()
    assert "`make schemas`" in caught.value.hint


def test_a_go_that_says_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho no such host >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setattr(sources, "find_go", lambda *_: str(go))
    with pytest.raises(CannotRunError, match="`go mod download` failed: no such host"):
        sources.fetch()


def test_a_module_that_cannot_be_had_is_no_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> dict[str, Path]:
        raise CannotRunError("cannot download `example.com/a`", "use a mirror")

    monkeypatch.setattr(command, "fetch", refuse)
    assert command.main(["--check"]) == 2
    assert capsys.readouterr().err == "error: cannot download `example.com/a`\n  hint: use a mirror\n"


@pytest.mark.slow
def test_the_committed_schemas_are_what_the_pinned_modules_say() -> None:
    assert command.main(["--check"]) == 0
