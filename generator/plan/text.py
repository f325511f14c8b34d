"""A plan for a terminal: dangers first, then cluster by cluster what changes, why, and what people will notice."""

from collections.abc import Iterator

from generator.plan import words
from generator.plan.change import ClusterPlan, ObjectChange, Plan, UnitChange, Verb
from generator.report import summary, write_findings

SIGN = {
    Verb.REFUSED: "!!",
    Verb.DELETE: "- ",
    Verb.RECREATE: "-+",
    Verb.RESTART: "~!",
    Verb.BLUE_GREEN: "+-",
    Verb.CREATE: "+ ",
    Verb.LIVE: "~ ",
}
"""Beside the word, never instead of it."""
FIELDS = 6
"""Fields of an object that are shown."""


def write_text(plan: Plan) -> str:
    return "\n".join(_lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    yield f"{plan.base} → {plan.head}"
    yield from (f"note: {note}" for note in plan.notes)
    if plan.dangers:
        yield f"\nDANGER ({len(plan.dangers)})"
        yield write_findings(plan.dangers, "text")
    if plan.findings:
        yield f"\nNEW FINDINGS ({summary(plan.findings)})"
        yield write_findings(plan.findings, "text")
    for cluster in plan.clusters:
        yield from _cluster(cluster)


def _cluster(cluster: ClusterPlan) -> Iterator[str]:
    yield f"\nCLUSTER {cluster.name}: {words.counts(cluster)}"
    for unit in cluster.units:
        yield from _unit(unit)
    if cluster.units:
        width = max((len(row.what) for row in cluster.amounts), default=0)
        yield from (f"  {row.what.ljust(width)}  {words.amount(row)}" for row in cluster.amounts)


def _unit(unit: UnitChange) -> Iterator[str]:
    yield f"  {SIGN[unit.verb]} {unit.name}: {unit.verb.value}" + (f" ({unit.kind})" if unit.kind != "Model" else "")
    yield from (f"       because   {cause.where}: {cause.text}" for cause in unit.causes)
    facts = {
        "notice": words.notice(unit),
        "endpoint": words.endpoint(unit),
        "nodes": words.capacity(unit),
        "fit": words.headroom(unit),
    }
    yield from (f"       {name.ljust(9)} {text}" for name, text in facts.items() if text)
    leading = [change for change in unit.objects if not change.follows]
    for change in leading:
        yield from _object(change)
    following = len(unit.objects) - len(leading)
    if following:
        yield f"       follow    {', '.join(sorted({c.kind for c in unit.objects if c.follows}))}"


def _object(change: ObjectChange) -> Iterator[str]:
    renamed = f"{change.predecessor} → " if change.predecessor else ""
    yield f"       {change.verb.value.ljust(9)} {change.kind} {renamed}{change.name}"
    for field in change.fields[:FIELDS]:
        yield f"                   {field.path}: {field.before or 'not set'} → {field.after or 'not set'}"
    if len(change.fields) > FIELDS:
        yield f"                   and {len(change.fields) - FIELDS} more fields"
