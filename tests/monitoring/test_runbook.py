"""Does each alert lead to a section that helps, and each section belong to an alert?"""

import re
from pathlib import Path

from generator.compile import Compiled
from tests.monitoring.promtool import rendered_groups

RUNBOOK = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^#|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
WORD = re.compile(r"\b(?:[A-Z][a-z]+|[A-Z]{2,})(?:[A-Z][a-z]+|[A-Z]{2,})+\b")
OTHERS = {
    *("GPUs", "GitOps", "InferenceReady", "InferenceSet", "InferenceSets", "NVLink", "NetworkPolicy", "NodeClaim"),
    *("NodeClaimReady", "NodeClaims", "NodesReady", "OOMKilled", "RAGEngine", "RAGEngines", "ResourceReady"),
    "UnhealthyNvidiaDevicePlugin",
}
"""Names of kinds, conditions and things that are no alerts."""
PARTS = ("**Meaning.**", "**Impact.**", "**Look at**", "**Do")


def alerts(fleet: Compiled) -> set[str]:
    assert fleet.library is not None
    return {rule.alert for group in fleet.library.groups for rule in group.rules if rule.alert}


def test_alerts_and_sections_are_the_same(fleet: Compiled) -> None:
    assert set(SECTIONS) == alerts(fleet)


def test_a_section_says_what_it_means_what_it_hurts_where_to_look_and_what_to_do() -> None:
    for name, text in SECTIONS.items():
        assert all(part in text for part in PARTS), name


def test_each_alert_links_to_its_section(fleet: Compiled) -> None:
    for cluster in ("dev", "prod"):
        rules = [rule for group in rendered_groups(fleet, cluster) for rule in group["rules"] if "alert" in rule]
        assert rules
        for rule in rules:
            page, _, section = rule["annotations"]["runbook_url"].partition("#")
            assert page == "https://git.example.com/platform/models/blob/main/docs/runbook.md"
            assert section == rule["alert"].lower()


def test_what_the_runbook_names_exists(fleet: Compiled) -> None:
    """An alert that was renamed would leave a dead reference behind."""
    named = {word for word in WORD.findall(RUNBOOK) if not word.isupper()}
    assert named - OTHERS <= alerts(fleet)
