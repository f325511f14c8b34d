"""A plan as a comment on a pull request: at most as long as GitHub takes, details folded, dangers first."""

from collections.abc import Iterator

from generator.finding import Finding
from generator.plan import words
from generator.plan.change import ClusterPlan, ObjectChange, Plan, UnitChange

LIMIT = 65_536
"""Characters that GitHub accepts in a comment."""
MARGIN = 100
"""Left for the mark by which the workflow finds its comment again."""
CUT = "\n\n... cut here, since a comment holds no more; `kaitops plan` shows all of it.\n"
ESCAPED = str.maketrans({"|": "\\|", "<": "&lt;", ">": "&gt;", "\n": " ", "\r": " ", "@": "&#64;"})
"""What a value could do in a comment: end a cell, start HTML, or call somebody."""


def write_markdown(plan: Plan) -> str:
    """The comment; whole units are left out at its end where it would be too long."""
    parts = [*_head(plan), *(part for cluster in plan.clusters for part in _cluster(cluster))]
    text: list[str] = []
    length = 0
    for part in parts:
        if length + len(part) > LIMIT - MARGIN - len(CUT):
            return "".join(text) + CUT
        text.append(part)
        length += len(part)
    return "".join(text)


def _head(plan: Plan) -> Iterator[str]:
    yield f"## kaitops plan\n\n{_code(plan.base)} → {_code(plan.head)}\n"
    yield from (f"\n> {_safe(note)}\n" for note in plan.notes)
    if plan.empty:
        yield "\nNothing changes on any cluster.\n"
    yield from _findings(f"Danger ({len(plan.dangers)})", plan.dangers)
    yield from _findings(f"New findings ({len(plan.findings)})", plan.findings)


def _findings(title: str, findings: tuple[Finding, ...]) -> Iterator[str]:
    if findings:
        yield f"\n### {title}\n\n"
        for one in findings:
            hint = f" _{_safe(one.hint)}_" if one.hint else ""
            yield f"- **{one.severity.value}** {_code(str(one.where))} {_safe(one.message)}{hint} ({_code(one.rule)})\n"


def _cluster(cluster: ClusterPlan) -> Iterator[str]:
    if not cluster.units:
        return
    yield f"\n### {_safe(cluster.name)}: {words.counts(cluster)}\n\n"
    yield "| | what | because | people notice | nodes |\n|---|---|---|---|---|\n"
    for unit in cluster.units:
        because = "<br>".join(f"{_code(str(cause.where))} {_safe(cause.text)}" for cause in unit.causes)
        notice = "<br>".join(_safe(text) for text in (words.notice(unit), _endpoint(unit)) if text)
        nodes = "<br>".join(_safe(text) for text in (words.capacity(unit), words.headroom(unit)) if text)
        yield f"| **{unit.verb.value}** | {_code(unit.name)} | {because} | {notice} | {nodes} |\n"
    yield "\n| on the cluster | |\n|---|---|\n"
    yield from (f"| {_safe(row.what)} | {words.amount(row)} |\n" for row in cluster.amounts)
    for unit in cluster.units:
        yield _details(unit)


def _endpoint(unit: UnitChange) -> str:
    text = words.endpoint(unit)
    return f"endpoint {text}" if text else ""


def _details(unit: UnitChange) -> str:
    lines = [f"\n<details><summary>{_safe(unit.name)}: {len(unit.objects)} objects</summary>\n\n"]
    for change in unit.objects:
        lines += _object(change)
    return "".join([*lines, "\n</details>\n"])


def _object(change: ObjectChange) -> Iterator[str]:
    renamed = f"{_code(change.predecessor)} → " if change.predecessor else ""
    follows = " (follows)" if change.follows else ""
    yield f"- **{change.verb.value}** {_safe(change.kind)} {renamed}{_code(change.name)}{follows}\n"
    if not change.follows:
        for field in change.fields:
            yield f"  - {_code(field.path)}: {_value(field.before)} → {_value(field.after)}\n"


def _value(text: str) -> str:
    return _code(text) if text else "not set"


def _safe(text: str) -> str:
    return text.translate(ESCAPED)


def _code(text: str) -> str:
    """In a code span nothing but a backtick means anything; a cell still ends at a bar, and a row with its line."""
    return "`" + " ".join(text.replace("`", "'").split()).replace("|", "\\|") + "`"
