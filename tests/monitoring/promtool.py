"""promtool, as `make tools` builds it, and rendered rules in the form that it reads."""

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from generator.compile import Compiled

ROOT = Path(__file__).parents[2]
PROMTOOL = ROOT / ".cache" / "tools" / "bin" / "promtool"
BASE = ROOT / "clusters" / "base" / "monitoring"
Group = dict[str, Any]


def promtool(*words: str | Path) -> str:
    """Its output; a failure fails the test with what it says."""
    if not PROMTOOL.is_file():
        pytest.fail(f"`{PROMTOOL.relative_to(ROOT)}` is not built: run `make tools`")
    done = subprocess.run([PROMTOOL, *words], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rendered_groups(compiled: Compiled, cluster: str) -> list[Group]:
    """Every rule group of a cluster, from whatever form its Prometheus takes; copies that a test may change."""
    assert compiled.rendering is not None
    here = f"clusters/{cluster}/"
    groups: list[Group] = []
    for document in compiled.rendering.documents:
        if document.path.startswith(here) and document.body["kind"] == "PrometheusRule":
            groups += copy.deepcopy(document.body["spec"]["groups"])
    for attachment in compiled.rendering.attachments:
        if attachment.path == f"{here}azure/prometheus-rules.json":
            groups += from_arm(json.loads(attachment.text))
    return groups


def from_arm(template: dict[str, Any]) -> list[Group]:
    """Azure's spelling of groups back in Prometheus' own."""
    ours = [
        body["properties"] | {"name": body["name"]} for body in template["resources"].values() if "location" in body
    ]
    return [
        {"name": group["name"], "interval": "1m", "rules": [_rule(rule) for rule in group["rules"]]} for group in ours
    ]


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {name: rule[name] for name in ("record", "alert", "labels", "annotations") if name in rule}
    wait = {"for": _wait(rule["for"])} if "for" in rule else {}
    return {**kept, "expr": rule["expression"], **wait}


def _wait(iso: str) -> str:
    return iso.removeprefix("P").removeprefix("T").lower()


def write_rules(path: Path, groups: list[Group]) -> Path:
    path.write_text(yaml.safe_dump({"groups": groups}, sort_keys=False), "utf-8")
    return path
