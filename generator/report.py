"""Findings as people and machines read them: text, JSON, SARIF and GitHub annotations, from one list."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from generator.finding import Finding, Severity

FORMATS = ("text", "json", "sarif", "github")
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def write_findings(findings: Sequence[Finding], style: str) -> str:
    """The findings in one of `FORMATS`, without a final newline."""
    return {"text": _text, "json": _json, "sarif": _sarif, "github": _github}[style](findings)


def summary(findings: Sequence[Finding]) -> str:
    """Counts in words: `2 errors, 1 warning`."""
    counts = Counter(finding.severity for finding in findings)
    parts = [_count(counts[severity], severity.value) for severity in Severity if counts[severity]]
    return ", ".join(parts) or "no findings"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _text(findings: Sequence[Finding]) -> str:
    return "\n".join(line for finding in findings for line in _lines(finding))


def _lines(finding: Finding) -> list[str]:
    first = f"{finding.where}: {finding.severity.value}: {finding.message} [{finding.rule}]"
    return [first, f"  hint: {finding.hint}"] if finding.hint else [first]


def _json(findings: Sequence[Finding]) -> str:
    return json.dumps([_record(finding) for finding in findings], indent=2)


def _record(finding: Finding) -> dict[str, Any]:
    return {
        "file": finding.where.file,
        "line": finding.where.line,
        "column": finding.where.column,
        "severity": finding.severity.value,
        "rule": finding.rule,
        "message": finding.message,
        "hint": finding.hint,
    }


def _sarif(findings: Sequence[Finding]) -> str:
    rules = [{"id": rule} for rule in sorted({finding.rule for finding in findings})]
    run = {
        "tool": {"driver": {"name": "kaitops", "rules": rules}},
        "results": [_sarif_result(finding) for finding in findings],
    }
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _sarif_result(finding: Finding) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": finding.where.file}}
    if finding.where.line:
        location["region"] = {"startLine": finding.where.line, "startColumn": finding.where.column or 1}
    return {
        "ruleId": finding.rule,
        "level": LEVELS[finding.severity],
        "message": {"text": finding.message + (f"; {finding.hint}" if finding.hint else "")},
        "locations": [{"physicalLocation": location}],
    }


def _github(findings: Sequence[Finding]) -> str:
    return "\n".join(_annotation(finding) for finding in findings)


def _annotation(finding: Finding) -> str:
    level = {"note": "notice"}.get(finding.severity.value, finding.severity.value)
    fields = {"file": finding.where.file, "line": finding.where.line, "col": finding.where.column}
    properties = ",".join(f"{name}={_escape(str(value), property_=True)}" for name, value in fields.items() if value)
    message = finding.message + (f"; {finding.hint}" if finding.hint else "")
    return f"::{level} {properties},title={_escape(finding.rule, property_=True)}::{_escape(message)}"


ESCAPES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
PROPERTY_ESCAPES = ESCAPES | {":": "%3A", ",": "%2C"}


def _escape(value: str, *, property_: bool = False) -> str:
    """GitHub's workflow commands escape more in a property than in the message."""
    return "".join((PROPERTY_ESCAPES if property_ else ESCAPES).get(sign, sign) for sign in value)
