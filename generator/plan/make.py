"""The plan of a change: a commit against the work tree, or against another commit."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from generator.assess import Assessor
from generator.checks import CHECKS, run_checks
from generator.compile import Compiled
from generator.document import Document
from generator.figures import load_fit_facts
from generator.finding import Finding, Place, Severity
from generator.history import History
from generator.plan.change import Amount, ClusterPlan, Figures, Plan, UnitChange
from generator.plan.compare import FilePair, changed_files, clusters_of
from generator.plan.danger import dangers
from generator.plan.figures import amounts, figures_of, headroom, of_cluster
from generator.plan.platform import beneath, build_both, edited_by_hand
from generator.plan.sides import After, Before, both_sides
from generator.plan.units import Side, UnitKey, grouped, is_platform, placements_of, unit_changes
from generator.render import Rendering
from generator.repository import Repository

POLICIES = "policies"
"""The unit that holds what policies are measured with."""
WHOLE = frozenset({"catalog", "fit", "budget"})
"""Checks of the catalog, made for both sides."""
PARTS = frozenset(CHECKS) - WHOLE - {"drift", "build"}
"""Checks of objects, made for those that differ; kustomize has built what it must by then."""

FIGURE = re.compile(r"[0-9][0-9,.]*")


class BrokenHeadError(Exception):
    """The head's catalog has errors, so nothing can be rendered or planned."""

    def __init__(self, label: str, findings: Sequence[Finding]) -> None:
        super().__init__(label)
        self.label = label
        self.findings = findings


def make_plan(repository: Repository, history: History, base: str, head: str | None = None) -> Plan:
    """Plan the change from commit `base` to the work tree, or to commit `head`.

    Raises:
        BrokenHeadError: the head's catalog has errors.
        CannotRunError: a revision is not there, or cannot be read.
    """
    with both_sides(repository, history, base, head) as (before, after):
        if after.compiled.rendering is None:
            raise BrokenHeadError(after.label, after.compiled.findings)
        pairs = changed_files(before.snapshot, after.compiled.rendering.tree)
        edited = edited_by_hand(before, after)
        units, broken = _units(before, after, after.compiled.rendering, pairs, edited)
        clusters = _clusters(before, after, units)
        return Plan(
            base=before.snapshot.name,
            head=after.label,
            clusters=clusters,
            dangers=tuple(dangers(clusters, before.compiled, after.compiled)),
            findings=tuple(_new_findings(before, after, pairs, other_bases=bool(edited))),
            notes=tuple(_notes(history, before, after, broken)),
        )


def _units(
    before: Before, after: After, rendering: Rendering, pairs: Sequence[FilePair], edited: Sequence[str]
) -> tuple[list[UnitChange], tuple[str, ...]]:
    """The units that change, and why some of the base cannot be built."""
    old = _side(before.compiled, before.snapshot.blobs)
    new = _side(after.compiled, rendering.tree)
    groups = grouped(pairs, {*old.placements, *new.placements})
    paths = _every_platform_unit(before, rendering) if edited else _platform_units(groups)
    new = replace(new, edited={_key(unit): beneath(unit, edited, rendering.tree) for unit in paths})
    builds = build_both(before, after, rendering.tree, paths)
    by_key = {_key(unit): items for unit, items in builds.items.items()}
    changes = [*unit_changes(groups, by_key, old, new)]
    if not changes:
        return [], builds.broken
    was, now = _judge(before.compiled, before.repository), _judge(after.compiled, after.repository)
    keys = [(unit.cluster, unit.name) for unit in changes]
    judged = [
        replace(unit, before=was(key, unit.before), after=now(key, unit.after))
        for key, unit in zip(keys, changes, strict=True)
    ]
    return judged, builds.broken


def _side(compiled: Compiled | None, paths: Iterable[str]) -> Side:
    units = {_key(path) for path in paths if path.startswith("clusters/")}
    if compiled is None:
        return Side(None, {}, {}, units)
    return Side(compiled.catalog, placements_of(compiled.resolution), figures_of(compiled), units)


def _platform_units(groups: Mapping[UnitKey, list[FilePair]]) -> set[str]:
    """Units over a base that differ in more than the list of whole objects beside it."""
    return {f"clusters/{key[0]}/{key[1]}" for key in groups if is_platform(key) and key[1] != "gitops"}


def _every_platform_unit(before: Before, rendering: Rendering) -> set[str]:
    """All units over the bases, of both sides."""
    keys = {_key(document.path) for document in rendering.documents}
    keys |= {_key(path) for name in clusters_of(before.snapshot) for path in before.snapshot.below(f"clusters/{name}")}
    return {f"clusters/{cluster}/{unit}" for cluster, unit in keys if is_platform((cluster, unit))}


def _key(path: str) -> UnitKey:
    parts = path.split("/")
    return parts[1], parts[2] if len(parts) > len(("clusters", "dev")) else ""


def _judge(compiled: Compiled | None, repository: Repository) -> Callable[[UnitKey, Figures], Figures]:
    """Adds a unit's headroom to its figures; the facts are read once, and only where something changed."""
    if compiled is None:
        return lambda _key, figures: figures
    facts, placements = compiled.facts, placements_of(compiled.resolution)
    assessor = Assessor(facts.kaito, facts.skus, load_fit_facts(repository.facts, facts.kaito))
    return lambda key, figures: (
        replace(figures, headroom_gib=headroom(assessor, compiled, placements.get(key))) if figures.gpus else figures
    )


def _clusters(before: Before, after: After, units: Sequence[UnitChange]) -> tuple[ClusterPlan, ...]:
    old = figures_of(before.compiled) if before.compiled else None
    new = figures_of(after.compiled)
    known = after.compiled.catalog.clusters
    plans = []
    for name in sorted({*known, *(unit.cluster for unit in units)}):
        here = tuple(unit for unit in units if unit.cluster == name)
        sums: tuple[Amount, ...] = ()
        if name in known:
            was = None if old is None else of_cluster(old, name)
            sums = amounts(known[name].value.spec, was, of_cluster(new, name), here)
        plans.append(ClusterPlan(name, here, sums))
    return tuple(plans)


def _new_findings(before: Before, after: After, pairs: Iterable[FilePair], *, other_bases: bool) -> list[Finding]:
    """What only the head's checks say; a finding that moved to another line, or has other figures, is not new."""
    differing = {pair.path for pair in pairs}
    rendering = after.compiled.rendering or Rendering()
    documents = [document for document in rendering.documents if document.path in differing]
    unchanged = [document for document in rendering.documents if document.path not in differing]
    # An object that stays as it is may break a policy that it did not break before.
    judged_anew = unchanged if other_bases or _measures_differ(differing) else []
    now = _checked(after.repository, after.compiled, [*documents, *judged_anew])
    if before.compiled is None:
        return now
    known_clusters = before.compiled.catalog.clusters
    same = [document for document in judged_anew if document.path.split("/")[1] in known_clusters]
    was = _checked(before.repository, before.compiled, [*_committed(before, pairs), *same])
    known = {_gist(finding) for finding in was}
    return [finding for finding in now if _gist(finding) not in known]


def _gist(finding: Finding) -> tuple[str, str, str]:
    return finding.where.file, finding.rule, FIGURE.sub("#", finding.message)


def _measures_differ(paths: Iterable[str]) -> bool:
    """Whether policies measure with other figures now."""
    return any(path.split("/")[2] == POLICIES for path in paths)


def _checked(repository: Repository, compiled: Compiled, documents: Sequence[Document]) -> list[Finding]:
    resolution = compiled.rendering.resolution if compiled.rendering else compiled.resolution
    seen = replace(compiled, rendering=Rendering(list(documents), resolution))
    return run_checks(repository, seen, WHOLE | PARTS).findings


def _committed(before: Before, pairs: Iterable[FilePair]) -> Iterable[Document]:
    clusters = before.compiled.catalog.clusters if before.compiled else {}
    for pair in pairs:
        for item in pair.items()[0]:
            if pair.cluster in clusters:
                yield Document(pair.path, "", item.body, _source(pair))


def _source(pair: FilePair) -> Place:
    """The entry that a committed file was rendered from, as its second line says."""
    head = (pair.before or b"").split(b"\n", 2)[:2]
    words = head[-1].decode(errors="replace").split()
    named = next((word for word in words if word.startswith("catalog/")), pair.path)
    return Place(named)


def _notes(history: History, before: Before, after: After, broken: Iterable[str]) -> Iterable[str]:
    if before.compiled is None:
        name = before.snapshot.name
        yield f"the catalog of the base `{name}` does not load, so the figures before are unknown: {before.why}"
    if after.stale:
        yield (
            f"{after.stale} committed files are not as the catalog of {after.label} renders them: "
            "`kaitops render` and commit, or this plan is not what will be synced"
        )
    for why in broken:
        yield f"kustomize cannot build a unit of the base `{before.snapshot.name}`, whose objects seem new here: {why}"
    missing = history.missing_from(before.snapshot, after.revision)
    if missing:
        yield (
            f"the base has {missing} commits that the head lacks: what they did shows here as undone; "
            "compare with the merge base instead"
        )
    held = [f for f in after.compiled.findings if f.rule == "catalog/held" and f.severity is Severity.NOTE]
    yield from (f"{finding.message}; {finding.hint}" for finding in held)
