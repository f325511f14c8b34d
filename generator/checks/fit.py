"""Does each model and each tuning run fit where its entry puts it, and would KAITO plan the nodes that it takes?"""

from collections.abc import Iterator

from generator.assess import Assessor, is_little
from generator.canary import entry_of
from generator.checks.subject import Subject
from generator.figures import load_fit_facts
from generator.finding import Finding, Place, Severity
from generator.fit.shape import UnknownShapeError
from generator.fit.verdict import Fit
from generator.load import Entry
from generator.model import Cluster, Model, Tuning
from generator.placement import ModelPlacement, TuningPlacement
from generator.skus import Sku


def check(subject: Subject) -> Iterator[Finding]:
    compiled = subject.compiled
    facts = compiled.facts
    assessor = Assessor(facts.kaito, facts.skus, load_fit_facts(subject.repository.facts, facts.kaito))
    clusters = compiled.catalog.clusters
    for placement in compiled.resolution.models:
        model = entry_of(compiled.catalog.models[placement.name], placement)
        yield from _model(assessor, model, clusters[placement.cluster], placement)
    for run in compiled.resolution.tunings:
        yield from _tuning(assessor, compiled.catalog.tunings[run.name], clusters[run.cluster], run)


def _model(
    assessor: Assessor, entry: Entry[Model], cluster: Entry[Cluster], placement: ModelPlacement
) -> Iterator[Finding]:
    spec = entry.value.spec
    name = placement.cluster
    sku = assessor.skus.sizes.get(spec.clusters[name].sku or "")
    if not placement.running:
        return
    if sku is None:
        why = f"cluster `{name}` runs it on nodes of your own, whose size is not written"
        yield _unknown(entry.place("clusters", name), why, "name their VM size in `sku`")
        return
    try:
        fit = assessor.model(spec, cluster.value.spec, name, sku)
    except UnknownShapeError as why:
        hint = "describe it in `architecture`" if spec.architecture is None else "leave the flag out"
        yield _unknown(entry.place("source"), str(why), hint)
        return
    if not fit.fits:
        hint = _way_out(assessor, entry, cluster, name, fit)
        yield Finding(
            _asked(entry, name), "fit/memory", f"does not fit on `{sku.name}`: {'; '.join(fit.reasons)}", hint
        )
        return
    yield from _warnings(entry, name, fit, sku)


def _asked(entry: Entry[Model], cluster: str) -> Place:
    """Where the context is written that does not fit; the size where none is."""
    if entry.value.spec.clusters[cluster].context is not None:
        return entry.place("clusters", cluster, "context")
    return entry.place("clusters", cluster, "sku")


def _way_out(assessor: Assessor, entry: Entry[Model], cluster: Entry[Cluster], name: str, refused: Fit) -> str:
    """The longest context that fits here, and the cheapest allowed size on which all of it does."""
    ways = [f"at most {refused.max_context:,} tokens of context fit here"] if refused.max_context else []
    fitting = []
    for other in cluster.value.spec.skus:
        sku = assessor.skus.sizes.get(other)
        if sku and bool(sku.gpus) == bool(refused.gpus) and other != refused.sku:
            fit = assessor.model(entry.value.spec, cluster.value.spec, name, sku)
            fitting += [fit] if fit.fits else []
    if fitting:
        best = cheapest(fitting)
        ways.append(f"`{best.sku}` holds it" + (f" on {best.planned} nodes" if best.planned > 1 else ""))
    return ", or ".join(ways) or "no size that the cluster allows holds it: take a smaller or a quantized model"


def cheapest(fits: list[Fit]) -> Fit:
    """The one that costs least; sizes without a known price come last, by GPUs."""
    return min(fits, key=lambda fit: (fit.usd_per_hour is None, fit.usd_per_hour or 0.0, fit.gpus, fit.sku))


def _warnings(entry: Entry[Model], cluster: str, fit: Fit, sku: Sku) -> Iterator[Finding]:
    spec = entry.value.spec
    where = entry.place("clusters", cluster, "sku")
    if is_little(fit):
        unit = "GPU" if sku.gpus else "pod"
        message = f"little headroom: {fit.headroom_gib:.1f} GiB are left on a {unit} of `{sku.name}`"
        hint = f"another release of the engine may need them; {fit.max_context:,} tokens are the most that fit"
        yield Finding(where, "fit/headroom", message, hint, Severity.WARNING)
    if fit.nodes and fit.kaito_nodes and fit.nodes < fit.kaito_nodes:
        message = f"KAITO plans {fit.kaito_nodes} nodes of `{sku.name}`, where {fit.nodes} would do"
        hint = "it counts more cache than the model keeps: a size with more memory may cost less (`kaitops fit`)"
        yield Finding(where, "fit/nodes", message, hint, Severity.WARNING)
    wanted = spec.serving.max_concurrency
    if wanted and fit.max_sequences < wanted:
        message = f"of {wanted} sequences {fit.max_sequences} fit at full length at once on `{sku.name}`"
        hint = "the others wait their turn or start anew; ask for less `context` or fewer, or add replicas"
        yield Finding(entry.place("serving", "maxConcurrency"), "fit/concurrency", message, hint, Severity.WARNING)


def _tuning(
    assessor: Assessor, entry: Entry[Tuning], cluster: Entry[Cluster], run: TuningPlacement
) -> Iterator[Finding]:
    sku = assessor.skus.sizes.get(run.instance_type)
    if sku is None:
        return
    try:
        fit = assessor.tuning(entry.value.spec, cluster.value.spec, sku)
    except UnknownShapeError as why:
        yield _unknown(entry.place("preset"), str(why), "watch the first run's memory")
        return
    where = entry.place("clusters", run.cluster, "sku")
    if not fit.fits:
        hint = "a smaller `per_device_train_batch_size`, `gradient_checkpointing: true`, or `method: qlora` take less"
        yield Finding(where, "fit/memory", f"does not fit on `{sku.name}`: {fit.reasons[0]}", hint)
    elif is_little(fit):
        message = f"little headroom: {fit.headroom_gib:.1f} GiB are left on a GPU of `{sku.name}`"
        yield Finding(where, "fit/headroom", message, "longer samples may need them", Severity.WARNING)


def _unknown(where: Place, why: str, hint: str) -> Finding:
    return Finding(where, "fit/unknown", f"cannot tell whether it fits: {why}", hint, Severity.NOTE)
