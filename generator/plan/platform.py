"""What do the units with a hand-written base build to on both sides? Only those whose inputs differ are built."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from generator.checks.build import build_units
from generator.finding import CannotRunError
from generator.plan.objects import Item
from generator.plan.sides import After, Before
from generator.repository import Repository

BASES = ("clusters/base", "clusters/components", "policies")
Items = tuple[list[Item], list[Item]]
"""The objects before and after."""


def built_items(before: Before, after: After, rendered: Mapping[str, str], units: Iterable[str]) -> dict[str, Items]:
    """The built objects of the named units (`clusters/dev/gateway`) on both sides.

    Raises:
        CannotRunError: kustomize cannot build a unit of the head.
    """
    wanted = sorted(units)
    old = [unit for unit in wanted if f"{unit}/kustomization.yaml" in before.snapshot.blobs]
    new = [unit for unit in wanted if f"{unit}/kustomization.yaml" in rendered]
    if old:
        before.snapshot.export(before.repository.root, before.snapshot.below(*old))
    built = _build(before.repository, old, after.repository.cache, strict=False)
    head = _written(before.repository.root.with_name("built"), after.repository, rendered, new)
    now = _build(head, new, after.repository.cache, strict=True)
    return {unit: (built.get(unit, []), now.get(unit, [])) for unit in wanted}


def bases_differ(before: Before, after: After) -> bool:
    """Whether the hand-written bases are other ones: then every unit over them may be."""
    return _contents(before.repository.root) != _contents(after.repository.root)


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


def _build(repository: Repository, units: Sequence[str], cache: Path, *, strict: bool) -> dict[str, list[Item]]:
    found = {}
    for built in build_units(repository, units, cache):
        if built.error and strict:
            raise CannotRunError(f"kustomize cannot build `{built.unit}`: {built.error}", "see `kaitops validate`")
        found[built.unit] = [Item(f"{built.unit}/{_file(body)}", body) for body in built.objects]
    return found


def _file(body: Mapping[str, object]) -> str:
    metadata = body.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    return f"{body.get('kind', '')}-{name}.yaml".lower()
