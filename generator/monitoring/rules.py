"""The hand-written rules: `clusters/base/monitoring/rules/*.yaml` in Prometheus' own format, judged and typed.

Every problem of every file is said at once, with its line. A rule with a problem stops the rendering: an alert that is
quietly left out is worse than none.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from generator.finding import Finding, Place
from generator.monitoring.promql import PromqlError, Reading, read
from generator.source import Path as Where
from generator.source import SourceFile, read_source
from generator.words import did_you_mean

NOWHERE = Place("")
SEVERITIES = ("page", "ticket", "info")
RECORD_FIELDS = frozenset({"record", "expr", "labels"})
ALERT_FIELDS = frozenset({"alert", "expr", "for", "labels", "annotations"})
"""What both kinds of Prometheus know; `keep_firing_for` has no counterpart at Azure."""
WAIT = re.compile(r"[1-9][0-9]*[mhd]")
"""Azure evaluates once a minute."""
SENTENCES = ("summary", "description")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule; exactly one of `record` and `alert` is set."""

    record: str = ""
    alert: str = ""
    expr: str
    wait: str = ""
    """`for`: how long the expression must hold."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    place: Place = NOWHERE

    @property
    def name(self) -> str:
        return self.record or self.alert

    @property
    def reading(self) -> Reading:
        return read(self.expr)

    @property
    def body(self) -> dict[str, Any]:
        """The rule as Prometheus writes it."""
        parts = {
            "record": self.record,
            "alert": self.alert,
            "expr": self.expr,
            "for": self.wait,
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
        }
        return {name: value for name, value in parts.items() if value}


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated in order, each minute."""

    name: str
    rules: tuple[Rule, ...]
    file: str = ""
    """Name of the file that it comes from, without the ending: the name of the object that carries it."""

    @property
    def body(self) -> dict[str, Any]:
        return {"name": self.name, "interval": "1m", "rules": [rule.body for rule in self.rules]}


def load_rules(root: Path, folder: Path) -> tuple[tuple[Group, ...], list[Finding]]:
    """Read every rule file of `folder` below the repository's `root`."""
    groups: list[Group] = []
    findings: list[Finding] = []
    for path in sorted(folder.glob("*.yaml")):
        file, problems = read_source(path.relative_to(root).as_posix(), path.read_bytes())
        problems = problems or list(_judge_file(file))
        findings += problems
        if not problems:
            groups += _groups(path.stem, file)
    return tuple(groups), findings + list(_repeated(groups))


def _groups(stem: str, file: SourceFile) -> Iterator[Group]:
    for number, group in enumerate(file.data["groups"]):
        rules = [_rule(row, file.place(("groups", number, "rules", index))) for index, row in enumerate(group["rules"])]
        yield Group(group["name"], tuple(rules), stem)


def _rule(row: Mapping[str, Any], place: Place) -> Rule:
    return Rule(
        record=row.get("record", ""),
        alert=row.get("alert", ""),
        expr=row["expr"],
        wait=row.get("for", ""),
        labels=row.get("labels", {}),
        annotations=row.get("annotations", {}),
        place=place,
    )


def _judge_file(file: SourceFile) -> Iterator[Finding]:
    groups = file.data.get("groups") if isinstance(file.data, dict) else None
    if not isinstance(groups, list) or set(file.data) != {"groups"}:
        yield _finding(file, (), "a rule file is a list `groups`, and nothing else")
        return
    for number, group in enumerate(groups):
        here: Where = ("groups", number)
        if not isinstance(group, dict) or set(group) != {"name", "rules"} or not isinstance(group["rules"], list):
            yield _finding(file, here, "a group has a `name` and `rules`; all are evaluated each minute")
            continue
        for index, row in enumerate(group["rules"]):
            yield from _judge_rule(file, (*here, "rules", index), row)


def _judge_rule(file: SourceFile, here: Where, row: Any) -> Iterator[Finding]:
    if not isinstance(row, dict) or ("record" in row) == ("alert" in row) or not isinstance(row.get("expr"), str):
        yield _finding(file, here, "a rule has either `record` or `alert`, and an `expr`")
        return
    known = ALERT_FIELDS if "alert" in row else RECORD_FIELDS
    for name in sorted(set(row) - known):
        hint = did_you_mean(name, known) or "fields: " + ", ".join(f"`{one}`" for one in sorted(known))
        yield _finding(file, (*here, name), f"`{name}` is no field that both kinds of Prometheus know", hint)
    try:
        read(row["expr"])
    except PromqlError as error:
        yield _finding(file, (*here, "expr"), f"not PromQL: {error}")
    if "alert" in row:
        yield from _judge_alert(file, here, row)


def _judge_alert(file: SourceFile, here: Where, row: Mapping[str, Any]) -> Iterator[Finding]:
    """An alert must tell the person whom it wakes how bad it is and what it means."""
    if (row.get("labels") or {}).get("severity") not in SEVERITIES:
        hint = "severities: " + ", ".join(f"`{one}`" for one in SEVERITIES)
        yield _finding(file, (*here, "labels"), f"alert `{row['alert']}` has no known severity", hint)
    if "for" in row and not WAIT.fullmatch(str(row["for"])):
        yield _finding(file, (*here, "for"), f"`{row['for']}` is no whole number of minutes, hours or days")
    for name in SENTENCES:
        if not (row.get("annotations") or {}).get(name):
            yield _finding(file, (*here, "annotations"), f"alert `{row['alert']}` has no {name}")


def _repeated(groups: list[Group]) -> Iterator[Finding]:
    """The runbook has one section for each alert, so a name means one thing."""
    seen: set[str] = set()
    for rule in (rule for group in groups for rule in group.rules if rule.alert):
        if rule.alert in seen:
            yield Finding(rule.place, "rules/repeated", f"two alerts are called `{rule.alert}`", "rename one")
        seen.add(rule.alert)


def _finding(file: SourceFile, here: Where, message: str, hint: str = "") -> Finding:
    return Finding(file.place(here), "rules/shape", message, hint)
