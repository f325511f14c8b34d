"""The sentences and figures that every form of a plan shares."""

from generator.plan.change import Amount, ClusterPlan, Figures, UnitChange, Verb

NOTICE = {
    Verb.REFUSED: "the edit is refused where it stands",
    Verb.DELETE: "it stops, and its nodes go",
    Verb.RECREATE: "down from the end of the old revision until the new one has a node and its weights",
    Verb.RESTART: "its pod restarts: down until the weights are loaded again",
    Verb.BLUE_GREEN: "no downtime: the old revision serves until the new one is healthy",
    Verb.CREATE: "new",
    Verb.LIVE: "edited in place, nothing restarts",
}
"""What people notice of a unit that runs."""


def notice(unit: UnitChange) -> str:
    if unit.kind == "platform" and unit.verb is Verb.DELETE:
        return "it goes"
    if unit.kind == "Tuning" and unit.verb is Verb.BLUE_GREEN:
        return "the run starts anew under a new revision, and its output gets a new tag"
    if unit.promotes:
        return "no downtime: the canary, which is up, gets every request, and the old revision goes"
    if unit.verb is Verb.LIVE and unit.canary_before.nodes != unit.canary_after.nodes:
        return f"what serves stays as it is; its canary {'starts' if unit.canary_after.nodes else 'goes'}"
    return NOTICE[unit.verb]


def endpoint(unit: UnitChange) -> str:
    """Where clients find it, and whether that changed."""
    if not unit.endpoints_after:
        return f"gone: {', '.join(unit.endpoints_before)}" if unit.endpoints_before else ""
    if not unit.endpoints_before:
        return f"new: {', '.join(unit.endpoints_after)}"
    if unit.gone_endpoints or unit.new_endpoints:
        return f"moved: {', '.join(unit.endpoints_before)} → {', '.join(unit.endpoints_after)}"
    return f"unchanged: {unit.endpoints_after[0]}"


def capacity(unit: UnitChange) -> str:
    """VM size, nodes and GPUs, before and after where they differ, and what stays up meanwhile."""
    text = _moved(unit.before, unit.after)
    canary = _moved(unit.canary_before, unit.canary_after)
    if not text:
        return ""
    text += f"; canary: {canary}" if canary else ""
    surge = unit.surge
    more = _count(surge.gpus, "GPU") if surge.gpus else _count(surge.nodes, "node")
    return f"{text}; {more} more while both run" if surge.nodes else text


def _moved(before: Figures, after: Figures) -> str:
    was, now = _nodes(before), _nodes(after)
    if was == now:
        return was
    return f"{was or 'nothing'} → {now or 'nothing'}"


def _nodes(figures: Figures) -> str:
    if not figures.nodes:
        return ""
    gpus = f" ({_count(figures.gpus, 'GPU')})" if figures.gpus else ""
    return f"{figures.nodes} x {figures.sku}{gpus}"


def _count(number_of: int, noun: str) -> str:
    return f"{number_of} {noun}" + ("" if number_of == 1 else "s")


def headroom(unit: UnitChange) -> str:
    before, after = unit.before.headroom_gib, unit.after.headroom_gib
    if after is None:
        return ""
    if before is None or round(before, 1) == round(after, 1):
        return f"{after:.1f} GiB free on the fullest GPU"
    return f"{before:.1f} → {after:.1f} GiB free on the fullest GPU"


def counts(cluster: ClusterPlan) -> str:
    """`1 delete, 2 blue-green, 3 live`, the worst first."""
    parts = [f"{cluster.count(verb)} {verb.value}" for verb in Verb if cluster.count(verb)]
    return ", ".join(parts) or "nothing changes"


def number(value: float | None) -> str:
    return "?" if value is None else f"{value:,.2f}".rstrip("0").rstrip(".")


def amount(row: Amount) -> str:
    """`4 → 6 of 32, at most 8 while it rolls out`."""
    same = row.before == row.after
    text = number(row.after) if same else f"{number(row.before)} → {number(row.after)}"
    text += f" of {number(row.limit)}" if row.limit is not None else ""
    return text + (f", at most {number(row.during)} while it rolls out" if row.during > row.after else "")
