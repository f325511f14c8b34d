"""The facts about KAITO: complete, sourced, and read as what they say."""

from datetime import date
from pathlib import Path

import pytest
import yaml

from generator.facts import KaitoFacts, load_kaito_facts
from generator.finding import CannotRunError

FACTS = Path(__file__).parents[2] / "catalog" / "facts" / "kaito.yaml"


@pytest.fixture(scope="module")
def facts() -> KaitoFacts:
    return load_kaito_facts(FACTS)


def test_every_group_says_where_and_when_it_was_read() -> None:
    for name, group in yaml.safe_load(FACTS.read_text()).items():
        assert group["source"], name
        assert isinstance(group["checked"], date), name


def test_short_names_and_replacements_point_to_presets(facts: KaitoFacts) -> None:
    assert len(facts.aliases) == 25
    assert {*facts.aliases.values(), *facts.retired.values()} <= set(facts.presets)
    assert not set(facts.retired) & set(facts.aliases)


@pytest.mark.parametrize("name", ["mistral-7b-instruct", "Mistral-7B-Instruct", "mistralai/mistral-7b-instruct-v0.3"])
def test_presets_are_found_by_id_and_short_name_in_any_case(facts: KaitoFacts, name: str) -> None:
    preset = facts.preset(name)
    assert preset is not None
    assert (preset.name, preset.context_limit) == ("mistralai/Mistral-7B-Instruct-v0.3", 32768)


def test_an_unknown_preset_is_none(facts: KaitoFacts) -> None:
    assert facts.preset("acme/own-model") is None


def test_only_what_a_source_says_is_gated_or_tunable(facts: KaitoFacts) -> None:
    gated = {preset.name for preset in facts.presets.values() if preset.gated}
    assert gated == {"meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"}
    assert sum(preset.tuning for preset in facts.presets.values()) == 10


@pytest.mark.parametrize(
    ("kind", "release", "versions"),
    [
        ("InferenceSet", "0.6.0", ()),
        ("InferenceSet", "0.7.2", ()),
        ("InferenceSet", "0.8.0", ("v1alpha1",)),
        ("InferenceSet", "0.10.0", ("v1alpha1",)),
        ("InferenceSet", "v0.11.0", ("v1alpha1", "v1beta1")),
        ("Workspace", "0.6.0", ("v1alpha1", "v1beta1")),
        ("ModelMirror", "0.12.0", ("v1alpha1",)),
        ("Unheard", "0.12.0", ()),
    ],
)
def test_kinds_by_release(facts: KaitoFacts, kind: str, release: str, versions: tuple[str, ...]) -> None:
    assert facts.served(kind, release) == versions


def test_the_addon_serves_workspaces_alone(facts: KaitoFacts) -> None:
    assert (facts.releases.addon_version, facts.releases.addon_kinds) == ("0.6.0", ("Workspace",))


def test_missing_facts_are_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="cannot read the facts in"):
        load_kaito_facts(tmp_path / "kaito.yaml")
