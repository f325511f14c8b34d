"""`python -m tests.bench [--quick]`: one table of figures on standard output, progress on standard error."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .measure import BenchError, Cost, environment, say
from .ours import FULL, QUICK, Ours, Size, measure_ours
from .peers import ROOT, measure_kapitan, measure_kubeconform, measure_kustomize
from .table import Row, table

BYTECODE = ROOT / ".cache" / "bench" / "bytecode"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small fleet, to see whether the bench works")
    size = QUICK if parser.parse_args().quick else FULL
    folder = Path(tempfile.mkdtemp(prefix="kaitops-bench-"))
    try:
        sys.stdout.write(table(measure(folder, size, environment(BYTECODE))) + "\n")
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, size: Size, env: Mapping[str, str]) -> list[Row]:
    root, ours = measure_ours(folder, size, env)
    rows = _own_rows(ours, size)
    units, kustomize = measure_kustomize(root, size.models, env)
    rows.append(_peer(f"`kubectl kustomize` of {units} model units, two at a time, once", kustomize, ours.render))
    try:
        objects, conform = measure_kubeconform(folder / "schemas", root, size.runs, env)
        rows.append(_peer(f"`kubeconform` of {objects} files, schemas alone, to our validate", conform, ours.validate))
    except BenchError as error:
        say(str(error))
    try:
        files, kapitan = measure_kapitan(folder / "kapitan", root, size.models, size.runs, env)
    except BenchError as error:
        say(str(error))
        rows.append(Row("Kapitan", "could not be run, see above"))
    else:
        rows.append(_peer(f"`kapitan compile` of {files} files with the same bytes", kapitan, ours.render))
        rows.append(
            Row(
                "the same, peak memory",
                f"{kapitan.peak_mib:.0f} MiB",
                ratio=_ratio(kapitan.peak_mib, ours.render.peak_mib),
            )
        )
    return rows


def _own_rows(ours: Ours, size: Size) -> list[Row]:
    growth = _growth(size, ours.one.seconds, ours.render.seconds, ours.many.seconds)
    growth_cpu = _growth(size, ours.one.cpu_seconds, ours.render.cpu_seconds, ours.many.cpu_seconds)
    return [
        _own(f"render {size.models} models into an empty tree", ours.render, 0.5),
        _own("render, nothing changed", ours.again, None),
        _own("render --check, nothing changed, found clean before", ours.remembered, 0.3),
        _own("render --check --no-cache, nothing changed", ours.check, None),
        _own("validate --skip build: all embedded checks, fit and policies", ours.validate, 0.7),
        _own("plan --base HEAD, one entry edited", ours.plan, 1.0),
        _own("--help", ours.help, 0.08),
        _own("--version", ours.version, 0.08),
        Row("peak memory of the render", f"{ours.render.peak_mib:.0f} MiB", goal="<= 150 MiB"),
        _own("render one model into an empty tree", ours.one, None),
        _own(f"render {size.many_models} models, once", ours.many, None),
        Row("time per further model, many to few", f"{growth:.2f}", f"{growth_cpu:.2f}", goal="<= 1.1"),
    ]


def _growth(size: Size, one: float, few: float, many: float) -> float:
    """Time per model without the start, which would flatter the large fleet."""
    return (many - one) / (size.many_models - 1) / ((few - one) / (size.models - 1))


def _own(what: str, cost: Cost, goal: float | None) -> Row:
    return Row(what, _seconds(cost.seconds), _seconds(cost.cpu_seconds), goal=f"<= {_seconds(goal)}" if goal else "")


def _peer(what: str, peer: Cost, ours: Cost) -> Row:
    return Row(what, _seconds(peer.seconds), _seconds(peer.cpu_seconds), ratio=_ratio(peer.seconds, ours.seconds))


def _ratio(peer: float, ours: float) -> str:
    return f"{peer / ours:.1f} x ours"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"


if __name__ == "__main__":
    main()
