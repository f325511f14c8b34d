"""Does kubeconform, which knows nothing of ours, accept every committed file, and every object that the units build to?

Nothing is skipped and nothing is fetched: a kind without a schema is a failure, and so is an object that was built but
not counted. Kubernetes' own kinds are judged by the schemas of the cluster's minor, the others by `generator/schemas`.
"""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubeconform import KUBECONFORM, NO_NETWORK, kubeconform, write_core_schemas

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KUBECTL = Path(sys.executable).parent / "kubectl"
TIMEOUT = 60

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Report:
    """What kubeconform counted, and its complaints as `kind name: message`."""

    exit_status: int
    counts: Mapping[str, int]
    complaints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fleet:
    """What kustomize wrote for each unit of a cluster, and the folder with the schemas of its Kubernetes."""

    cluster: str
    units: Mapping[str, str]
    schemas: Path

    @property
    def objects(self) -> list[Object]:
        documents = [each for text in self.units.values() for each in yaml.load_all(text, yaml.CSafeLoader)]
        return [each for each in documents if each]

    @property
    def one_of_each_kind(self) -> list[Object]:
        return list({(each["apiVersion"], each["kind"]): each for each in self.objects}.values())


@pytest.fixture(scope="module", params=["dev", "prod"])
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    cluster: str = request.param
    units = sorted(path.parent for path in (ROOT / "clusters" / cluster).glob("*/kustomization.yaml"))
    assert units, f"`clusters/{cluster}` holds no unit: run `make render`"
    with ThreadPoolExecutor(max_workers=2) as pool:
        built = dict(zip((unit.name for unit in units), pool.map(build, units), strict=True))
    entry = yaml.safe_load((ROOT / "catalog" / "clusters" / f"{cluster}.yaml").read_text())
    schemas = tmp_path_factory.mktemp(f"schemas-{cluster}")
    write_core_schemas(entry["spec"]["kubernetes"], schemas)
    return Fleet(cluster, built, schemas)


def build(unit: Path) -> str:
    done = subprocess.run(
        [str(KUBECTL), "kustomize", str(unit)], capture_output=True, text=True, check=False, timeout=TIMEOUT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def conform(files: Iterable[Path], core: Path) -> Report:
    if not KUBECONFORM.is_file():
        pytest.fail("`.cache/tools/bin/kubeconform` is not built: run `make tools`")
    done = subprocess.run(
        [*kubeconform(core), "-output", "json", *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
        env=os.environ | NO_NETWORK,
    )
    assert done.stdout, done.stderr
    answer = json.loads(done.stdout)
    complaints = tuple(f"{each['kind']} {each['name']}: {each['msg']}" for each in answer["resources"])
    return Report(done.returncode, answer["summary"], complaints)


def committed(clusters: Path, cluster: str) -> list[Path]:
    """The files of a cluster and of what its units build on, without those that kustomize reads as something else."""
    files = [file for part in (cluster, "base", "components") for file in (clusters / part).rglob("*.yaml")]
    roots = [file for file in files if file.name == "kustomization.yaml"]
    others = {(root.parent / path).resolve() for root in roots for path in other_paths(root)}
    written = clusters / "base" / "monitoring"
    rules = {file for folder in ("rules", "tests", "dashboards") for file in (written / folder).glob("*")}
    return sorted(file for file in files if file.resolve() not in others and file not in rules)


def other_paths(kustomization: Path) -> list[str]:
    """Patches, and files that become the content of a ConfigMap."""
    body = yaml.safe_load(kustomization.read_text())
    generated = [file.rpartition("=")[2] for one in body.get("configMapGenerator", ()) for file in one.get("files", ())]
    return [patch["path"] for patch in body.get("patches", ()) if "path" in patch] + generated


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(text)
    return file


def write_objects(folder: Path, objects: Iterable[Object]) -> Path:
    """JSON documents are YAML documents."""
    return write(folder, "objects", "\n---\n".join(json.dumps(each) for each in objects))


def test_every_object_of_every_unit_conforms(fleet: Fleet, tmp_path: Path) -> None:
    files = [write(tmp_path, unit, text) for unit, text in fleet.units.items()]
    report = conform(files, fleet.schemas)
    assert report.complaints == ()
    assert report.counts == {"valid": len(fleet.objects), "invalid": 0, "errors": 0, "skipped": 0}
    assert report.exit_status == 0


def test_every_committed_file_conforms(fleet: Fleet) -> None:
    files = committed(ROOT / "clusters", fleet.cluster)
    documents = [each for file in files for each in yaml.load_all(file.read_text(), yaml.CSafeLoader) if each]
    assert {each["kind"] for each in documents} >= {"Kustomization", "Component"}
    report = conform(files, fleet.schemas)
    assert report.complaints == ()
    assert report.counts == {"valid": len(documents), "invalid": 0, "errors": 0, "skipped": 0}


def test_only_what_kustomize_reads_as_a_patch_is_no_object(tmp_path: Path) -> None:
    unit, base = tmp_path / "dev" / "phi", tmp_path / "base" / "gateway"
    for folder in (unit, base):
        folder.mkdir(parents=True)
        (folder / "patch.yaml").write_text("spec: {}\n")
    (unit / "kustomization.yaml").write_text("patches: [{path: patch.yaml}, {patch: '- op: remove'}]\n")
    assert committed(tmp_path, "dev") == [base / "patch.yaml", unit / "kustomization.yaml"]


def test_a_misspelt_field_is_reported_in_every_kind(fleet: Fleet, tmp_path: Path) -> None:
    wrong = [each for one in fleet.one_of_each_kind for each in misspelt(one)]
    report = conform([write_objects(tmp_path, wrong)], fleet.schemas)
    assert report.counts == {"valid": 0, "invalid": len(wrong), "errors": 0, "skipped": 0}
    assert all("lables" in complaint for complaint in report.complaints)
    assert report.exit_status == 1


def misspelt(right: Object) -> Iterable[Object]:
    """Copies with a field that no schema knows: in the object, in its metadata and, where there is one, in its spec."""
    for place in ("", "metadata", "spec"):
        wrong = copy.deepcopy(right)
        target = wrong.get(place) if place else wrong
        if isinstance(target, dict):
            target["lables"] = {}
            yield wrong


@pytest.mark.parametrize(
    "signature",
    [("kaito.sh/v1beta1", "Workspaces"), ("v1", "Services"), ("unknown.example/v1", "Workspace")],
    ids="/".join,
)
def test_a_kind_without_a_schema_is_an_error(fleet: Fleet, tmp_path: Path, signature: tuple[str, str]) -> None:
    api_version, kind = signature
    unknown = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "sample"}}
    report = conform([write_objects(tmp_path, [unknown])], fleet.schemas)
    assert report.counts == {"valid": 0, "invalid": 0, "errors": 1, "skipped": 0}
    assert report.complaints == (f"{kind} sample: could not find schema for {kind}",)
    assert report.exit_status == 1


def test_a_key_that_is_there_twice_is_an_error(fleet: Fleet, tmp_path: Path) -> None:
    twice = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sample}\ndata: {a: one}\ndata: {a: two}\n"
    report = conform([write(tmp_path, "twice", twice)], fleet.schemas)
    assert report.counts == {"valid": 0, "invalid": 0, "errors": 1, "skipped": 0}
    assert "already set in map" in report.complaints[0]
