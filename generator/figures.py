"""The facts that a fit counts with, read from `catalog/facts/`: engines' figures, and the shapes of KAITO's presets.

Apart from the facts that rendering needs, since only `fit`, `add` and one check read them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from generator.facts import KaitoFacts, read_facts
from generator.fit.config import shape_of
from generator.fit.engine import Engine
from generator.fit.shape import Shape, UnknownShapeError
from generator.fit.verdict import Figures


@dataclass(frozen=True, slots=True)
class Shapes:
    """The shapes of presets that somebody has read."""

    kaito: KaitoFacts
    rows: Mapping[str, Mapping[str, Any]]
    _made: dict[str, Shape] = field(default_factory=dict, repr=False)

    def of_preset(self, name: str) -> Shape:
        """The shape of the preset of this hub id or short name.

        Raises:
            UnknownShapeError: KAITO has no such preset, or nobody has read its config.
        """
        preset = self.kaito.preset(name)
        if preset is None:
            raise UnknownShapeError(f"`{name}` is no preset of KAITO that the facts know")
        if preset.name not in self.rows:
            raise UnknownShapeError(f"the facts do not hold the layers of `{preset.name}`")
        if preset.name not in self._made:
            row = self.rows[preset.name]
            shape = shape_of(row, row.get("weightsGiB", preset.weights_gib), preset.context_limit)
            self._made[preset.name] = replace(shape, kaito_gib=preset.weights_gib)
        return self._made[preset.name]


@dataclass(frozen=True, slots=True)
class FitFacts:
    figures: Figures
    shapes: Shapes


def load_fit_facts(folder: Path, kaito: KaitoFacts) -> FitFacts:
    """Read `engines.yaml` and `shapes.yaml`; a malformed file of ours is a bug and left to crash."""
    engine = _engine(read_facts(folder / "engines.yaml"))
    rows = read_facts(folder / "shapes.yaml")["presets"]["rows"]
    return FitFacts(Figures(engine, kaito.estimator), Shapes(kaito, rows))


def _engine(data: dict[str, Any]) -> Engine:
    row, large = data["vllm"], data["vllm"]["large"]
    return Engine(
        utilization=row["gpuMemoryUtilization"],
        utilization_of=row["gpuMemoryUtilizationByFamily"],
        own_utilization=row["ownGpuMemoryUtilization"],
        overhead_gib=row["overheadGiB"],
        weights_factor=row["weightsFactor"],
        block=row["blockTokens"],
        batched_tokens=row["batchedTokens"],
        sequences=row["sequences"],
        large_gpu_gib=large["gpuMemoryGiB"],
        large_batched_tokens=large["batchedTokens"],
        large_sequences=large["sequences"],
        small_batch_families=frozenset(large["exceptFamilies"]),
        half_gpu=row["halfGpu"],
        lora_rank=row["loraRank"],
        process_gib=data["host"]["processGiB"],
    )
