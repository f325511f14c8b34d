"""What `kaitops fit` found, for people and for machines."""

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from generator.cli.fit_answer import Answer, Row
from generator.fit.verdict import Fit

UNKNOWN = "unknown"
HEAD = ("SKU", "NODES", "KAITO", "FITS", "HEADROOM", "CONTEXT", "SEQUENCES", "USD/H")
LEFT = frozenset({"SKU", "FITS"})


def as_json(answers: Sequence[Answer], priced: date) -> str:
    """One object where one VM size was asked about, else a list of them."""
    records = [_record(answer, row, priced) for answer in answers for row in answer.rows]
    single = len(records) == 1 and answers[0].single
    return json.dumps(records[0] if single else records, indent=2)


def _record(answer: Answer, row: Row, priced: date) -> dict[str, Any]:
    fit = row.fit
    head = {
        "model": answer.subject,
        "cluster": answer.cluster or None,
        "sku": row.sku.name,
        "context": answer.context or None,
        "concurrency": answer.concurrency,
        "kaitoNodes": row.kaito_nodes,
        "priceRegion": answer.region or None,
        "priceDate": priced.isoformat(),
    }
    if fit is None:
        empty = dict.fromkeys(("fits", "nodes", "maxContext", "maxSequences", "headroomGiB", "usdPerHour"))
        return head | empty | {"reasons": [f"cannot tell: {row.why}"]}
    return head | _verdict(fit)


def _verdict(fit: Fit) -> dict[str, Any]:
    return {
        "fits": fit.fits,
        "reasons": list(fit.reasons),
        "nodes": fit.nodes,
        "plannedNodes": fit.planned,
        "gpus": fit.gpus,
        "maxContext": fit.max_context,
        "maxSequences": fit.max_sequences,
        "headroomGiB": round(fit.headroom_gib, 2),
        "usdPerHour": fit.usd_per_hour,
        "perGPU": {
            "availableGiB": round(fit.available_gib, 2),
            "weightsGiB": round(fit.parts.weights, 2),
            "cacheGiB": round(fit.parts.cache, 2),
            "activationsGiB": round(fit.parts.activations, 2),
            "trainingGiB": round(fit.parts.training, 2),
            "engineGiB": round(fit.parts.overhead, 2),
        },
        "layout": {
            "tensorParallel": fit.layout.tensor,
            "pipelineParallel": fit.layout.pipeline,
            "copies": fit.layout.copies,
        },
    }


def as_text(answers: Sequence[Answer], priced: date) -> str:
    return "\n\n".join(_one(answer, priced) for answer in answers)


def _one(answer: Answer, priced: date) -> str:
    if answer.unknown:
        return _cannot_tell(answer)
    if len(answer.rows) == 1 and answer.single:
        return _sheet(answer, answer.rows[0], priced)
    return "\n".join([_title(answer), *_table(answer), *_reasons(answer), *_foot(answer, priced)])


def _title(answer: Answer) -> str:
    where = f" on {answer.cluster}" if answer.cluster else ""
    if answer.training:
        return f"{answer.subject}{where}"
    many = f", {answer.concurrency} sequences at once" if answer.concurrency > 1 else ""
    return f"{answer.subject}{where}: {answer.context:,} tokens of context{many}"


def _cannot_tell(answer: Answer) -> str:
    lines = [_title(answer), f"  cannot tell whether it fits: {next(row.why for row in answer.rows if row.why)}"]
    planned = [(row.sku.name, row.kaito_nodes) for row in answer.rows if row.kaito_nodes]
    lines += [f"  KAITO would plan {_nodes(nodes)} of {name}" for name, nodes in planned]
    return "\n".join(lines)


def _table(answer: Answer) -> list[str]:
    cells = [HEAD, *(_cells(answer, row, row.fit) for row in answer.rows if row.fit)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
    return ["  ".join(_aligned(name, cell, width) for name, cell, width in zip(HEAD, row, widths, strict=True)).rstrip()
            for row in cells]  # fmt: skip


def _aligned(column: str, cell: str, width: int) -> str:
    return cell.ljust(width) if column in LEFT else cell.rjust(width)


def _cells(answer: Answer, row: Row, fit: Fit) -> tuple[str, ...]:
    mark = "* " if answer.own else ""
    return (
        (mark if row.sku.name == answer.own else " " * len(mark)) + row.sku.name,
        str(fit.nodes or "-"),
        str(fit.kaito_nodes or "-"),
        "yes" if fit.fits else "no",
        f"{fit.headroom_gib:.1f} GiB",
        f"{fit.max_context:,}",
        f"{fit.max_sequences:,}",
        UNKNOWN if fit.usd_per_hour is None else f"{fit.usd_per_hour:.2f}",
    )


def _reasons(answer: Answer) -> list[str]:
    """Why sizes were refused; a reason that several share is said once."""
    refused: dict[str, list[str]] = {}
    for row in answer.rows:
        for reason in row.fit.reasons if row.fit else ():
            refused.setdefault(reason, []).append(row.sku.name)
    return [f"  {', '.join(names)}: {reason}" for reason, names in refused.items()]


def _foot(answer: Answer, priced: date) -> list[str]:
    own = ["* the size that the entry asks for"] if answer.own else []
    count = "NODES is our count, KAITO its plan; headroom on one GPU, context, sequences and price are for the plan"
    return [*own, count, f"USD/H: {_prices(answer, priced)}"]


def _prices(answer: Answer, priced: date) -> str:
    return f"list price of {priced}" + (f" in {answer.region}" if answer.region else "")


def _sheet(answer: Answer, row: Row, priced: date) -> str:
    fit = row.fit
    if fit is None:
        return _cannot_tell(answer)
    parts = fit.parts
    verdict = f"fits on {_nodes(fit.planned)}" if fit.fits else "does not fit"
    price = UNKNOWN if fit.usd_per_hour is None else f"{fit.usd_per_hour:.2f} USD per hour"
    training = f" + adapter {parts.training:.1f}" if parts.training else ""
    taken = (
        f"weights {parts.weights:.1f} + cache {parts.cache:.1f} + activations {parts.activations:.1f}{training} + "
        f"engine {parts.overhead:.1f} = {parts.total:.1f} of {fit.available_gib:.1f} GiB"
    )
    facts = [
        ("nodes", f"{fit.nodes or 'no number'} by our count, KAITO plans {fit.kaito_nodes or 'none'}"),
        ("on one GPU" if row.sku.gpus else "in the pod", taken),
        ("headroom", f"{fit.headroom_gib:.1f} GiB"),
        ("longest", f"{fit.max_context:,} tokens" + (" a sample" if answer.training else " of context")),
        ("at once", f"{fit.max_sequences:,} of that length" if answer.training else _sequences(fit, answer.context)),
        ("price", f"{price}, {_prices(answer, priced)}"),
    ]
    lines = [_title(answer), f"{row.sku.name}: {verdict}", *(f"  because {reason}" for reason in fit.reasons)]
    return "\n".join([*lines, *(f"  {name:<10}  {text}" for name, text in facts)])


def _sequences(fit: Fit, context: int) -> str:
    return f"{_count(fit.max_sequences, 'sequence')} of {context:,} tokens"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _nodes(count: int | None) -> str:
    return "one node" if count == 1 else f"{count} nodes"
