"""The same work by tools that people would use instead: `kustomize build` of each unit, and Kapitan.

Kapitan gets the kindest reading of our job: one target per model and cluster, Jinja2 templates that are our own
rendered files with a hole where the name stands, text copied to text, nothing decided, nothing checked.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.kubeconform import KUBECONFORM, NO_NETWORK, kubeconform, write_core_schemas

from .fleet import CLUSTERS, SHAPES, model
from .measure import BenchError, Cost, medians, run, run_all, say

HERE = Path(sys.executable).parent
LOCK = Path(__file__).parents[2] / "requirements" / "bench.txt"
ROOT = Path(__file__).parents[2]
KAPITAN_HOME = ROOT / ".cache" / "bench" / "kapitan"
HOLE = "{{ inventory.parameters.name }}"


def measure_kustomize(root: Path, models: int, env: Mapping[str, str]) -> tuple[int, Cost]:
    """Build every model's unit once, a process each, two at a time."""
    units = [root / "clusters" / cluster / name for cluster in CLUSTERS for name in _names(models)]
    say(f"kubectl kustomize: {len(units)} units, two at a time")
    return len(units), run_all([(HERE / "kubectl", "kustomize", unit) for unit in units], env)


def measure_kubeconform(folder: Path, root: Path, runs: int, env: Mapping[str, str]) -> tuple[int, Cost]:
    """Judge every object of both clusters by its schema, and by nothing else; returns how many there were.

    Raises:
        BenchError: it is not built, or refuses an object.
    """
    if not KUBECONFORM.is_file():
        raise BenchError("kubeconform is not built: `make tools` builds it")
    folder.mkdir()
    write_core_schemas(_minor(root), folder)
    files = [path for cluster in CLUSTERS for path in (root / "clusters" / cluster).rglob("*.yaml")]
    say(f"kubeconform: {len(files)} files, {runs} runs after a warm-up")
    return len(files), medians(lambda: run((*kubeconform(folder), *files), {**env, **NO_NETWORK}), runs)


def _minor(root: Path) -> str:
    entry = yaml.safe_load((root / "catalog" / "clusters" / f"{CLUSTERS[0]}.yaml").read_text("utf-8"))
    return str(entry["spec"]["kubernetes"])


def measure_kapitan(folder: Path, root: Path, models: int, runs: int, env: Mapping[str, str]) -> tuple[int, Cost]:
    """Compile as many files of the same bytes; returns how many there were.

    Raises:
        BenchError: Kapitan cannot be installed, or does not compile them all.
    """
    kapitan = install_kapitan(env)
    wanted = write_inventory(folder, root, models)
    say(f"kapitan: {models * len(CLUSTERS)} targets, {wanted} files, {runs} runs after a warm-up")
    cost = medians(lambda: run((kapitan, "compile"), env, folder), runs)
    made = sum(path.is_file() for path in (folder / "compiled").rglob("*"))
    if made != wanted:
        raise BenchError(f"kapitan compiled {made} files, not {wanted}")
    return wanted, cost


def install_kapitan(env: Mapping[str, str]) -> Path:
    """Kapitan in an environment of its own, kept for as long as the lock stays the same."""
    mark = KAPITAN_HOME / "lock.txt"
    if not mark.is_file() or mark.read_bytes() != LOCK.read_bytes():
        say(f"installing Kapitan into {KAPITAN_HOME.relative_to(ROOT)} (once)")
        _uv("venv", "-q", "--clear", "--python", sys.executable, KAPITAN_HOME, env=env)
        python = KAPITAN_HOME / "bin" / "python"
        _uv("pip", "install", "-q", "--python", python, "--require-hashes", "-r", LOCK, env=env)
        mark.write_bytes(LOCK.read_bytes())
    return KAPITAN_HOME / "bin" / "kapitan"


def _uv(*words: str | Path, env: Mapping[str, str]) -> None:
    result = subprocess.run([str(HERE / "uv"), *map(str, words)], env=env, capture_output=True, text=True, check=False)
    if result.returncode:
        raise BenchError(f"Kapitan cannot be installed: {result.stderr.strip()[-2000:]}")


def write_inventory(folder: Path, root: Path, models: int) -> int:
    """A Kapitan inventory that makes the files of our rendered tree; returns how many."""
    files = 0
    for part in ("inventory/classes", "inventory/targets", "templates"):
        (folder / part).mkdir(parents=True)
    for cluster in CLUSTERS:
        sizes = [_write_class(folder, root, cluster, number) for number in range(min(len(SHAPES), models))]
        for index, name in enumerate(_names(models)):
            kind = index % len(SHAPES)
            target = f"classes: [{cluster}-{kind}]\nparameters:\n  name: {name}\n"
            (folder / "inventory" / "targets" / f"{cluster}-{name}.yml").write_text(target, "utf-8")
            files += sizes[kind]
    return files


def _write_class(folder: Path, root: Path, cluster: str, number: int) -> int:
    """Make templates of the files of the first model of a shape; returns how many."""
    name = _name(number)
    templates = folder / "templates" / f"{cluster}-{number}"
    templates.mkdir()
    application = root / "clusters" / cluster / "gitops" / f"application-{name}.yaml"
    files = [*sorted((root / "clusters" / cluster / name).iterdir()), application]
    for file in files:
        text = file.read_text("utf-8").replace("{{", "{{ '{{' }}").replace(name, HOLE)
        (templates / file.name.replace(f"-{name}", "")).write_text(text, "utf-8")
    (folder / "inventory" / "classes" / f"{cluster}-{number}.yml").write_text(
        "parameters:\n  kapitan:\n    vars:\n      target: ${_reclass_:name:short}\n    compile:\n"
        "      - output_path: .\n        input_type: jinja2\n        output_type: plain\n"
        f"        input_paths: [templates/{cluster}-{number}]\n",
        "utf-8",
    )
    return len(files)


def _names(models: int) -> list[str]:
    return [_name(index) for index in range(models)]


def _name(index: int) -> str:
    name: str = model(index)["metadata"]["name"]
    return name
