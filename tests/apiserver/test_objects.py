"""Does a real API server take every CRD that our schemas are made of, and every object that the clusters get?

Each unit is built by kustomize and each of its objects is applied server-side as a dry run, where a field that the kind
does not know is an error. Namespaces are the only objects that are really made: the others need theirs.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from generator.checks.build import build_units
from generator.repository import Repository
from tests.apiserver import Api, ApiServer, Object, RefusedError
from tools.distill.sources import definitions, fetch

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "generator" / "schemas"


def objects_of(cluster: str) -> list[Object]:
    """Every object of a cluster, as kustomize builds it."""
    units = sorted(path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "clusters" / cluster).glob("*/kust*"))
    built = build_units(Repository(ROOT), units)
    assert [unit.error for unit in built if unit.error] == []
    return [body for unit in built for body in unit.objects]


def make_namespaces(api: Api, objects: Sequence[Object]) -> None:
    names = {each["metadata"].get("namespace", "default") for each in objects}
    for name in sorted(names):
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def refusals(api: Api, objects: Sequence[Object]) -> list[str]:
    found = []
    for each in objects:
        try:
            api.apply(each, dry_run=True)
        except RefusedError as error:
            found.append(f"{each['kind']} {each['metadata']['name']}: {error}")
    return found


def test_every_definition_is_accepted_and_established(loaded_server: ApiServer) -> None:
    api = loaded_server.api()
    live = [api.get(crd) for crd, _ in definitions(fetch())]
    conditions = {
        crd["metadata"]["name"]: {each["type"]: each["status"] for each in crd["status"]["conditions"]} for crd in live
    }
    assert {name: known["Established"] for name, known in conditions.items() if known["Established"] != "True"} == {}
    assert [name for name, known in conditions.items() if known.get("NonStructuralSchema") == "True"] == []


def test_every_kind_with_a_schema_of_ours_is_served(loaded_server: ApiServer) -> None:
    api = loaded_server.api()
    schemas = [path for path in SCHEMAS.glob("*/*.json") if path.parent.name != "kustomize.config.k8s.io"]
    wanted = {f"{path.parent.name}/{path.stem}" for path in schemas}
    served = set()
    for group, version in {(path.parent.name, path.stem.split("_")[1]) for path in schemas}:
        resources = api.request("GET", f"/apis/{group}/{version}").body["resources"]
        served |= {f"{group}/{each['kind'].lower()}_{version}" for each in resources}
    assert wanted - served == set()


@pytest.mark.parametrize("cluster", ["dev", "prod"])
def test_every_object_of_a_cluster_is_accepted(loaded_server: ApiServer, cluster: str) -> None:
    api, objects = loaded_server.api(), objects_of(cluster)
    make_namespaces(api, objects)
    assert {each["kind"] for each in objects} >= {"Workspace", "HTTPRoute", "Gateway", "Application", "Namespace"}
    assert refusals(api, objects) == []


def test_an_unknown_field_is_refused_in_every_kind(loaded_server: ApiServer) -> None:
    """The test above sees something: a misspelt field of any kind does not pass."""
    api, objects = loaded_server.api(), objects_of("dev")
    make_namespaces(api, objects)
    kinds = {(each["apiVersion"], each["kind"]): each for each in objects}
    wrong = [{**each, "kaitopsMisspelt": 1} for each in kinds.values()]
    assert len(refusals(api, wrong)) == len(kinds)
