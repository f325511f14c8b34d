"""What should a person have meant? Everything of a plan that stops, moves, deletes or opens something; worst first."""

import re
from collections.abc import Iterator, Sequence

from generator.compile import Compiled
from generator.finding import Finding, Place, Severity
from generator.load import Entry
from generator.model import Cluster
from generator.plan.causes import REMOVED
from generator.plan.change import Amount, ClusterPlan, FieldChange, ObjectChange, UnitChange, Verb
from generator.plan.objects import KAITO

STORAGE = frozenset({"PersistentVolumeClaim", "PersistentVolume"})
GUARDS = frozenset({"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"})
NARROWED = re.compile(r"spec\.(validations|matchConstraints\.resourceRules)\.\d+")
"""What a policy looks at and demands, item by item: one fewer lets something in."""
EXEMPTED = re.compile(r"spec\.(matchConditions\.\d+|matchConstraints\.excludeResourceRules.*|matchResources.*)")
"""What a policy leaves out, and where a binding holds: more of it lets something in."""
STEPS = "an entry goes in two steps: `retired: true` first, and its file when nobody asks for it any more"
BESIDE = "`rollout: BlueGreen` keeps the old one up, for as many more GPUs"
MOVE = "to stay up, add it there under another name, and take this entry down when its clients have moved"
SHARE = 0.25
"""More of a cluster's running units than this, rolled though nobody edited them, is a surprise."""


def dangers(clusters: Sequence[ClusterPlan], before: Compiled | None, after: Compiled) -> list[Finding]:
    """The dangers of a change, by severity of what they cost."""
    found = [finding for cluster in clusters for finding in _of_cluster(cluster, after)]
    if before is not None:
        for name, entry in after.catalog.clusters.items():
            old = before.catalog.clusters.get(name)
            found += _exposed(old, entry) if old else []
    order = [rule for rule, _ in RULES]
    return sorted(found, key=lambda finding: (order.index(finding.rule), finding))


RULES = (
    ("plan/refused", "Kubernetes or KAITO will not take the edit"),
    ("plan/data", "storage is deleted"),
    ("plan/exposed", "the gateway opens"),
    ("plan/policy", "a policy no longer denies"),
    ("plan/deleted", "something that runs is deleted"),
    ("plan/downtime", "requests fail for a while"),
    ("plan/endpoint", "clients must change their URL"),
    ("plan/limit", "more is needed than the cluster has"),
    ("plan/surprise", "models roll that nobody edited"),
)
"""The worst first."""


def _of_cluster(cluster: ClusterPlan, after: Compiled) -> Iterator[Finding]:
    for unit in cluster.units:
        yield from _of_unit(unit)
    entry = after.catalog.clusters.get(cluster.name)
    if entry is None:
        return
    yield from (finding for amount in cluster.amounts for finding in _over(entry, amount))
    surprised = [unit for unit in cluster.units if unit.by_surprise]
    running = sum(1 for placement in after.resolution.models if placement.cluster == cluster.name and placement.running)
    if len(surprised) > SHARE * max(running, 1):
        message = f"{len(surprised)} of {running} models on `{cluster.name}` roll though their entries are as they were"
        hint = "`roll: manual` holds an entry at its revision until `kaitops roll NAME`"
        yield _danger(surprised[0].causes[0].where, "plan/surprise", message, hint)


def _of_unit(unit: UnitChange) -> Iterator[Finding]:
    where = unit.causes[0].where if unit.causes else Place(unit.objects[0].path)
    what = f"`{unit.name}` on `{unit.cluster}`"
    for change in unit.objects:
        yield from _of_object(unit, change, where)
    if unit.verb is Verb.RECREATE:
        message = f"{what} is down from the end of its old revision until the new one has a node and its weights"
        yield _danger(where, "plan/downtime", message, MOVE if _moves(unit) else BESIDE)
    if unit.verb is Verb.RESTART:
        message = f"{what} restarts in place: requests fail until it has loaded its weights again"
        yield _danger(where, "plan/downtime", message, BESIDE)
    if unit.gone_endpoints and unit.endpoints_after:
        gone, new = ", ".join(unit.gone_endpoints), ", ".join(unit.new_endpoints) or unit.endpoints_after[0]
        yield _danger(where, "plan/endpoint", f"{what} is no longer at {gone}", f"clients find it at {new}")


def _moves(unit: UnitChange) -> bool:
    """Whether the unit goes to another namespace, which no rollout bridges: the objects have the same names there."""
    return any(field.path == "metadata.namespace" for change in unit.objects for field in change.fields)


def _of_object(unit: UnitChange, change: ObjectChange, where: Place) -> Iterator[Finding]:
    name = f"{change.kind} `{change.name}` on `{unit.cluster}`"
    if change.verb is Verb.REFUSED:
        fields = ", ".join(f"`{field.path}`" for field in change.fields)
        hint = "put it back, or let it go under a name of its own"
        yield _danger(where, "plan/refused", f"{name} cannot change {fields} where it stands", hint, Severity.ERROR)
    elif change.verb is Verb.DELETE and change.kind in STORAGE:
        yield _danger(where, "plan/data", f"{name} is deleted, and what it holds with it", "copy what must stay first")
    elif change.verb is Verb.DELETE and change.kind == "Namespace":
        yield _danger(where, "plan/data", f"{name} is deleted, and everything in it", "move what must stay first")
    elif change.kind in GUARDS and _loosened(change):
        hint = "what it refused is let in from then on: put it back, or mean it"
        yield _danger(where, "plan/policy", f"{name} no longer denies what it did", hint)
    elif change.verb is Verb.DELETE and change.kind in KAITO and not (change.is_canary and unit.after.nodes):
        removed = any(cause.text == REMOVED for cause in unit.causes)
        hint = STEPS if removed else "its clients get errors from then on; taking the edit back makes it anew"
        yield _danger(where, "plan/deleted", f"{name} is deleted, and its nodes with it", hint)


def _loosened(change: ObjectChange) -> bool:
    return change.verb is Verb.DELETE or any(_lets_in(field) for field in change.fields)


def _lets_in(field: FieldChange) -> bool:
    """Whether an edit of a policy or its binding lets in what was refused, as far as its form shows.

    What an expression means is not read: a validation that says less is held against the fleet, as any edit is.
    """
    if field.path.startswith("spec.validationActions"):
        return "Deny" in field.before
    if field.path == "spec.failurePolicy":
        return field.after == "Ignore"
    if NARROWED.fullmatch(field.path):
        return not field.after
    return EXEMPTED.fullmatch(field.path) is not None and not field.before


def _over(entry: Entry[Cluster], amount: Amount) -> Iterator[Finding]:
    """A limit that the rollout passes; one that is passed at rest is the budget's finding, and not said twice."""
    if amount.limit is None or amount.during <= amount.limit or amount.after > amount.limit:
        return
    message = f"while this rolls out, `{entry.name}` takes {amount.during:g} {amount.what} of {amount.limit:g}"
    hint = "new nodes will wait for old ones that wait for them; merge in parts, or set `rollout: Recreate`"
    yield _danger(entry.place("quota"), "plan/limit", message, hint)


def _exposed(old: Entry[Cluster], new: Entry[Cluster]) -> Iterator[Finding]:
    before, after = old.value.spec.gateway, new.value.spec.gateway
    if (before.exposure, after.exposure) == ("internal", "public"):
        message = f"the gateway of `{new.name}` becomes reachable from the internet"
        yield _danger(new.place("gateway", "exposure"), "plan/exposed", message, "with TLS and auth, and on purpose")
    elif before.exposure != after.exposure:
        message = f"the gateway of `{new.name}` is no longer reachable from the internet, and has another address"
        hint = "clients outside the network lose every model; those inside need the new address in DNS"
        yield _danger(new.place("gateway", "exposure"), "plan/endpoint", message, hint)
    for name in ("tls", "auth"):
        if getattr(before, name) is not None and getattr(after, name) is None:
            message = f"the gateway of `{new.name}` loses its `{name}`"
            yield _danger(new.place("gateway"), "plan/exposed", message, f"put `{name}` back")


def _danger(where: Place, rule: str, message: str, hint: str, severity: Severity = Severity.WARNING) -> Finding:
    return Finding(where, rule, message, hint, severity)
