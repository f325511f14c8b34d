"""What do the units with a hand-written base build to on both sides? Only those whose inputs differ are built."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from generator.checks.build import Built, build_units
from generator.finding import CannotRunError
from generator.plan.objects import Item
from generator.plan.sides import After, Before
from generator.repository import Repository

BASES = ("clusters/base", "clusters/components", "policies")
Items = tuple[list[Item], list[Item]]
"""The objects before and after."""


@dataclass(frozen=True, slots=True)
class Builds:
    """What kustomize makes of units on both sides."""

    items: Mapping[str, Items]
    broken: tuple[str, ...]
    """What it says about units of the base that it cannot build: their objects seem new."""


def build_both(before: Before, after: After, rendered: Mapping[str, str], units: Iterable[str]) -> Builds:
    """The built objects of the named units (`clusters/dev/gateway`) on both sides.

    Raises:
        CannotRunError: kustomize cannot build a unit of the head.
    """
    wanted = sorted(units)
    old = [unit for unit in wanted if f"{unit}/kustomization.yaml" in before.snapshot.blobs]
    new = [unit for unit in wanted if f"{unit}/kustomization.yaml" in rendered]
    if old:
        before.snapshot.export(before.repository.root, before.snapshot.below(*old))
    was = build_units(before.repository, old, after.repository.cache)
    head = _written(before.repository.root.with_name("built"), after.repository, rendered, new)
    now = build_units(head, new, after.repository.cache)
    failed = next((built for built in now if built.error), None)
    if failed:
        raise CannotRunError(
            f"kustomize cannot build `{failed.unit}` of {after.label}: {failed.error}", "see `kaitops validate`"
        )
    olds, news = ({built.unit: _items(built) for built in side} for side in (was, now))
    items = {unit: (olds.get(unit, []), news.get(unit, [])) for unit in wanted}
    return Builds(items, tuple(f"`{built.unit}`: {built.error}" for built in was if built.error))


def edited_by_hand(before: Before, after: After) -> tuple[str, ...]:
    """The hand-written files that differ: every unit over them may be another one."""
    old, new = _contents(before.repository.root), _contents(after.repository.root)
    return tuple(sorted(path for path in {*old, *new} if old.get(path) != new.get(path)))


def beneath(unit: str, edited: Iterable[str], rendered: Mapping[str, str]) -> tuple[str, ...]:
    """Those of the edited files that the unit's kustomizations stand on."""
    lists = [
        text for path, text in rendered.items() if path.startswith(f"{unit}/") and path.endswith("kustomization.yaml")
    ]
    return tuple(path for path in edited if any(f"../{_folder(path)}" in text for text in lists))


def _folder(path: str) -> str:
    """The folder that a kustomization names: `base/gateway`, or `policies`."""
    parts = path.split("/")
    return "/".join(parts[1:3]) if parts[0] == "clusters" else parts[0]


def _contents(root: Path) -> dict[str, bytes]:
    files = (path for base in BASES for path in sorted((root / base).rglob("*")))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files if path.is_file()}


def _written(folder: Path, source: Repository, rendered: Mapping[str, str], units: Sequence[str]) -> Repository:
    """The rendered units beside a copy of the bases: what is committed may be older than what the catalog says."""
    for base in BASES:
        if (source.root / base).is_dir():
            shutil.copytree(source.root / base, folder / base)
    inside = tuple(f"{unit}/" for unit in units)
    for path, text in rendered.items():
        if path.startswith(inside):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, "utf-8")
    return Repository(folder)


def _items(built: Built) -> list[Item]:
    return [Item(f"{built.unit}/{_file(body)}", body) for body in built.objects]


def _file(body: Mapping[str, object]) -> str:
    metadata = body.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    return f"{body.get('kind', '')}-{name}.yaml".lower()
