"""Does a real API server judge every example, and every rendered object, exactly as we do in process?

The policies run in a server of their own. Where the bindings warn, each policy that is broken says so; where they deny,
the answer names the first one only. Namespaces are the only objects that stay.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import pytest
import yaml

from generator.checks.build import build_units
from generator.policy import Admission, Judge, compile_policies, read_policies
from generator.policy.admission import ANYBODY
from generator.policy.compiler import CompiledPolicy
from generator.repository import Repository
from tests.apiserver import Api, ApiServer, Object, RefusedError, load_definitions, running_api_server
from tests.policies.examples import ROOT, parameters, read_examples
from tools.distill.sources import definitions, fetch

pytestmark = pytest.mark.slow

ADMISSIONS = {str(each): each.admission for each in read_examples()}
BINDING, POLICY = "ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"
SAID = re.compile(
    r"ValidatingAdmissionPolicy '(?P<name>[^']+)\.kaitops\.dev' with binding '[^']+'( denied request)?: (?P<text>.*)"
)
RBAC = "rbac.authorization.k8s.io"
GITOPS = "system:serviceaccount:argocd:argocd-application-controller"
SECONDS = 30

Verdict = list[tuple[str, str]]
"""Each policy that is broken, with what it says."""


def written() -> list[Object]:
    """The policies and their bindings, as they stand in the files."""
    files = sorted((ROOT / "policies").glob("*.yaml"))
    found = [each for file in files for each in yaml.load_all(file.read_text("utf-8"), yaml.CSafeLoader)]
    return [each for each in found if each["kind"] in (BINDING, POLICY)]


def bind(api: Api, action: str, limits: Object) -> None:
    for item in (limits, *written()):
        more = {"spec": {**item["spec"], "validationActions": [action]}} if item["kind"] == BINDING else {}
        api.apply({**item, **more})


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with running_api_server() as running:
        api = running.api()
        load_definitions(api, [crd for crd, _ in definitions(fetch())])
        make_namespaces(api, ("chat", "search", "kaitops-policies"))
        group = {"kind": "Group", "name": "system:serviceaccounts", "apiGroup": RBAC}
        role = {"kind": "ClusterRole", "name": "cluster-admin", "apiGroup": RBAC}
        grant = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "all"}}
        api.apply({**grant, "subjects": [group], "roleRef": role})
        yield running


@pytest.fixture(scope="module")
def policies() -> list[CompiledPolicy]:
    return compile_policies(read_policies(ROOT).policies, [])


def make_namespaces(api: Api, names: Iterable[str]) -> None:
    for name in names:
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def ours(policies: Sequence[CompiledPolicy], limits: Object, admissions: dict[str, Admission]) -> dict[str, Verdict]:
    judge = Judge(policies, limits)
    return {
        name: sorted((each.policy.name, each.message) for each in judge.refusals(admission))
        for name, admission in admissions.items()
    }


def theirs(api: Api, admissions: dict[str, Admission]) -> dict[str, Verdict]:
    return {name: sorted(ask(api, admission)) for name, admission in admissions.items()}


def ask(api: Api, admission: Admission) -> Iterator[tuple[str, str]]:
    user = "" if admission.user == ANYBODY else admission.user
    with existing(api, admission.old):
        try:
            said: Iterable[str] = api.apply(admission.body, dry_run=True, acting_as=user).warnings
        except RefusedError as error:
            said = [str(error)]
    for text in said:
        found = SAID.search(text)
        if found:
            yield found["name"], found["text"]
        elif not isinstance(said, tuple):
            yield "the server itself", text


@contextmanager
def existing(api: Api, old: Object | None) -> Iterator[None]:
    """The object as it is before an update, for as long as that takes."""
    if old is None:
        yield
        return
    api.apply(old)
    try:
        yield
    finally:
        api.delete(old)


def assert_same(compute: Callable[[], dict[str, Verdict]], expected: dict[str, Verdict]) -> None:
    """The server acts on a change of its policies a moment later: what counts is what it comes to."""
    deadline = time.monotonic() + SECONDS
    while (found := compute()) != expected and time.monotonic() < deadline:
        time.sleep(0.2)
    assert {name: (expected[name], found[name]) for name in expected if expected[name] != found[name]} == {}


def test_every_policy_is_accepted_as_it_is_written(server: ApiServer) -> None:
    """A default that the server adds inside a list would be a difference for ever to Argo CD."""
    api = server.api()
    bind(api, "Warn", parameters())
    for item in written():
        live = api.get(item)["spec"]
        rules = item["spec"].get("matchConstraints", {}).get("resourceRules")
        assert live.get("matchConstraints", {}).get("resourceRules") == rules
        lists = {name: value for name, value in item["spec"].items() if isinstance(value, list)}
        assert {name: live[name] for name in lists} | {"validationActions": 0} == lists | {"validationActions": 0}


def test_every_example_gets_the_same_warnings(server: ApiServer, policies: list[CompiledPolicy]) -> None:
    bind(server.api(), "Warn", parameters())
    expected = ours(policies, parameters(), ADMISSIONS)
    assert sum(map(bool, expected.values())) > len(expected) / 2
    assert_same(lambda: theirs(server.api(), ADMISSIONS), expected)


def test_every_refused_example_is_refused_and_no_accepted_one(
    server: ApiServer, policies: list[CompiledPolicy]
) -> None:
    bind(server.api(), "Deny", parameters())
    expected = {name: bool(found) for name, found in ours(policies, parameters(), ADMISSIONS).items()}
    refused = {name: [("refused", "")] if is_refused else [] for name, is_refused in expected.items()}
    assert_same(lambda: denied(server.api()), refused)


def denied(api: Api) -> dict[str, Verdict]:
    return {name: [("refused", "")] if is_denied(api, each) else [] for name, each in ADMISSIONS.items()}


def is_denied(api: Api, admission: Admission) -> bool:
    user = "" if admission.user == ANYBODY else admission.user
    with existing(api, admission.old):
        try:
            api.apply(admission.body, dry_run=True, acting_as=user)
        except RefusedError as error:
            return "denied request" in str(error)
    return False


@pytest.mark.parametrize("cluster", ["dev", "prod"])
def test_every_object_of_a_cluster_gets_the_same_verdict(
    server: ApiServer, policies: list[CompiledPolicy], cluster: str
) -> None:
    """By the cluster's own overlay: parameters, policies and bindings as kustomize builds them."""
    api = server.api()
    folders = sorted(path.parent for path in (ROOT / "clusters" / cluster).glob("*/kustomization.yaml"))
    units = build_units(Repository(ROOT), [folder.relative_to(ROOT).as_posix() for folder in folders])
    objects = {unit.unit.split("/")[2]: unit.objects for unit in units}
    own = {each["kind"]: each for each in objects["policies"]}
    assert own[BINDING]["spec"]["validationActions"] == [{"dev": "Warn", "prod": "Deny"}[cluster]]
    for item in objects["policies"]:
        api.apply(item)
    admissions = {
        f"{unit}/{each['kind']}/{each['metadata']['name']}": Admission(each, user=GITOPS)
        for unit, bodies in objects.items()
        for each in bodies
    }
    make_namespaces(api, {each.body["metadata"].get("namespace", "default") for each in admissions.values()})
    assert_same(lambda: theirs(api, admissions), ours(policies, own["ConfigMap"], admissions))


def test_a_deletion_under_way_goes_on(server: ApiServer) -> None:
    """An object that broke no policy when it was made can always be taken down by whoever cleans up after it."""
    api = server.api()
    bind(api, "Deny", parameters())
    workspace = ADMISSIONS["allowed-vm-sizes/accepted-listed"].body
    metadata = {**workspace["metadata"], "name": "leaving", "finalizers": ["example.com/cleanup"]}
    leaving = {**workspace, "metadata": metadata}
    assert_same(lambda: {"": sorted(ask(api, Admission(leaving)))}, {"": []})
    api.apply(leaving)
    api.delete(leaving)
    changed = {**leaving, "metadata": {**metadata, "finalizers": [], "labels": {"kaitops.dev/owner": "nobody"}}}
    assert list(ask(api, Admission(changed))) == []
    api.apply(changed)
