"""Does `validate --context` say what a real cluster would refuse, where and why, and does it change nothing?

The cluster is a real API server with our definitions. Of the namespaces that the catalog's `dev` wants, `search` is
missing, which the rendering would make, and `argocd`, which it would not.
"""

import copy
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from generator.checks.server import Target, check
from generator.checks.server.definitions import differences, published_schema
from generator.checks.server.served import Kind, find_resources
from generator.cli import main
from generator.cli.sync import compare
from generator.compile import compile_catalog
from generator.document import Document
from generator.finding import CannotRunError, Finding, Place
from generator.kinds import SCHEMAS, custom_schema
from generator.kube import Kube, connect
from generator.repository import Repository
from tests.apiserver import ADMIN, GUEST, Api, ApiServer, Object, RefusedError, load_definitions, running_api_server
from tools.distill.sources import definitions, fetch
from tools.distill.structural import distill

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MADE = ("bloomz", "chat", "gateway", "research", "policed")
WHERE = Place("catalog/clusters/dev.yaml", 17, 3)
SECONDS = 30


@dataclass(frozen=True, slots=True)
class Result:
    code: int
    findings: list[Object]
    err: str

    def of(self, rule: str) -> list[Object]:
        return [each for each in self.findings if each["rule"] == rule]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ApiServer]:
    """A server of this module's own: its definitions are changed here."""
    with running_api_server() as server:
        load_definitions(server.api(), [crd for crd, _ in definitions(fetch())])
        for name in MADE:
            server.api().apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield server


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The committed catalog, rendered."""
    root = tmp_path_factory.mktemp("repository")
    for folder in ("catalog", "clusters", "policies"):
        shutil.copytree(ROOT / folder, root / folder)
    return Repository(root)


Validate = Callable[..., Result]


@pytest.fixture
def validate(cluster: ApiServer, repository: Repository, capsys: pytest.CaptureFixture[str]) -> Validate:
    def run(*words: str, context: str = ADMIN) -> Result:
        where = ("--kubeconfig", str(cluster.kubeconfig), "--context", context, "--cluster", "dev")
        with pytest.raises(SystemExit) as stop:
            main(["-C", str(repository.root), "validate", "--select", "server", "-o", "json", *where, *words])
        captured = capsys.readouterr()
        code = stop.value.code if isinstance(stop.value.code, int) else -1
        return Result(code, json.loads(captured.out or "[]"), captured.err)

    return run


@pytest.fixture(scope="module")
def documents(repository: Repository) -> list[Document]:
    """What is rendered for dev, but for the kustomizations."""
    rendering = compile_catalog(repository).rendering
    assert rendering
    found = [each for each in rendering.documents if each.path.startswith("clusters/dev/")]
    return [each for each in found if each.body["kind"] != "Kustomization"]


def ask(cluster: ApiServer, documents: list[Document], user: str = ADMIN, minor: str = "1.35") -> list[Finding]:
    return list(check(documents, Target("dev", WHERE, minor, connect(user, cluster.kubeconfig))))


def config_map(name: str, namespace: str = "policed") -> Document:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}
    return Document(f"clusters/dev/{name}/configmap.yaml", "", body, Place(f"catalog/models/{name}.yaml", 7, 3))


def until(found: Callable[[], bool]) -> None:
    """A server learns of its own new rules and definitions within a second or so."""
    deadline = time.monotonic() + SECONDS
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# ---- the whole fleet


def test_a_cluster_that_takes_everything(cluster: ApiServer, validate: Validate) -> None:
    result = validate()
    assert result.code == 0
    assert {each["rule"] for each in result.findings} == {"server/version", "server/namespace"}
    [version] = result.of("server/version")
    assert version["message"] == "cluster `admin` runs Kubernetes 1.35, and the catalog says 1.34"
    assert version["file"] == "catalog/clusters/dev.yaml"
    text = (ROOT / version["file"]).read_text().splitlines()
    assert text[version["line"] - 1].strip().startswith("kubernetes:")
    absent = {each["message"].split("`")[3]: each["severity"] for each in result.of("server/namespace")}
    assert (absent["argocd"], absent["search"]) == ("warning", "note")
    assert not absent.keys() & {*MADE}
    for kind in ("apis/kaito.sh/v1beta1/workspaces", "apis/gateway.networking.k8s.io/v1/httproutes", "api/v1/services"):
        items = cluster.api().request("GET", f"/{kind}").body["items"]
        assert [item["metadata"]["name"] for item in items if item["metadata"]["name"] != "kubernetes"] == []


def test_no_schema_of_ours_differs_from_the_definition_that_it_is_made_of(cluster: ApiServer) -> None:
    kube = connect(ADMIN, cluster.kubeconfig)
    compared = 0
    for crd, versions in definitions(fetch()):
        for version in versions:
            kind = (f"{crd['spec']['group']}/{version}", crd["spec"]["names"]["kind"])
            ours, theirs = custom_schema(*kind), published_schema(kube, kind)
            assert ours
            assert theirs
            assert (kind, list(differences(ours, theirs))) == (kind, [])
            compared += 1
    assert compared == len([*SCHEMAS.glob("*/*.json")]) - len([*SCHEMAS.glob("kustomize.config.k8s.io/*.json")])


# ---- another definition than ours


@contextmanager
def changed(cluster: ApiServer, name: str, change: Callable[[Object], None], kind: Kind) -> Iterator[None]:
    """A definition as another release has it, and then again as it was."""
    api, kube = cluster.api(), connect(ADMIN, cluster.kubeconfig)
    before = next(crd for crd, _ in definitions(fetch()) if crd["metadata"]["name"] == name)
    after = copy.deepcopy(before)
    change(after)
    known = served(kube, kind)
    api.apply(after)
    try:
        until(lambda: served(kube, kind) != known)
        yield
    finally:
        api.apply(before)
        until(lambda: served(kube, kind) == known)


def served(kube: Kube, kind: Kind) -> object:
    """What a server says of a kind, in its discovery and in its OpenAPI."""
    return find_resources(kube, [kind]), published_schema(kube, kind)


def properties(crd: Object, version: str) -> Object:
    found = next(each for each in crd["spec"]["versions"] if each["name"] == version)
    below: Object = found["schema"]["openAPIV3Schema"]["properties"]
    return below


WORKSPACE = ("workspaces.kaito.sh", ("kaito.sh/v1beta1", "Workspace"))


def test_a_field_that_the_cluster_does_not_know(cluster: ApiServer, documents: list[Document]) -> None:
    def change(crd: Object) -> None:
        del properties(crd, "v1beta1")["inference"]["properties"]["config"]

    wanted = [each for each in documents if each.body["kind"] == "Workspace"]
    configured = [each for each in wanted if "config" in each.body.get("inference", {})]
    name, kind = WORKSPACE
    with changed(cluster, name, change, kind):
        found = ask(cluster, wanted)
    refused = [each for each in found if each.rule == "server/refused"]
    assert configured
    assert {each.where for each in refused} == {each.source for each in configured}
    assert {each.hint for each in refused} == {
        "its `Workspace` is not the one that we know: it knows no `inference.config`"
    }
    assert all(
        "cluster `admin` refuses it: .inference.config: field not declared in schema" in each.message
        for each in refused
    )
    assert {each.rule for each in found} == {"server/refused"} | {
        each.rule for each in found if "namespace" in each.rule
    }


def test_a_value_that_the_cluster_does_not_take(cluster: ApiServer, documents: list[Document]) -> None:
    def change(crd: Object) -> None:
        properties(crd, "v1beta1")["tuning"]["properties"]["method"]["enum"] = ["lora"]

    tuned = [each for each in documents if each.body["kind"] == "Workspace" and "tuning" in each.body]
    qlora = [each for each in tuned if each.body["tuning"]["method"] == "qlora"]
    name, kind = WORKSPACE
    with changed(cluster, name, change, kind):
        found = ask(cluster, tuned)
    [refused] = [each for each in found if each.rule == "server/refused"]
    assert [refused.where] == [each.source for each in qlora]
    assert 'Unsupported value: "qlora": supported values: "lora"' in refused.message
    assert refused.hint.endswith("it takes only `lora` in `tuning.method`")


def test_a_difference_that_nothing_rendered_meets_is_a_note(cluster: ApiServer, documents: list[Document]) -> None:
    def change(crd: Object) -> None:
        del properties(crd, "v1beta1")["inference"]["properties"]["adapters"]

    plain = [
        each for each in documents if each.body["kind"] == "Workspace" and each.body["metadata"]["namespace"] == "chat"
    ]
    name, kind = WORKSPACE
    with changed(cluster, name, change, kind):
        [note] = ask(cluster, plain)
    assert (note.rule, note.severity, note.where) == ("server/definition", "note", WHERE)
    assert note.message.endswith("is not the one that we know: it knows no `inference.adapters`")


def test_a_version_that_the_cluster_does_not_serve(cluster: ApiServer, documents: list[Document]) -> None:
    def change(crd: Object) -> None:
        for each in crd["spec"]["versions"]:
            each["served"] = each["name"] == "v1alpha1"

    engines = [each for each in documents if each.body["kind"] == "RAGEngine"]
    with changed(cluster, "ragengines.kaito.sh", change, ("kaito.sh/v1beta1", "RAGEngine")):
        [missing] = ask(cluster, engines)
    assert (missing.rule, missing.where) == ("server/missing-kind", engines[0].source)
    assert f"`RAGEngine` of `kaito.sh/v1beta1`: {len(engines)} objects" in missing.message
    assert missing.hint == "it serves that kind as `kaito.sh/v1alpha1`"


# ---- policies, and objects that wait for others


@contextmanager
def policy(cluster: ApiServer, action: str, message: str) -> Iterator[None]:
    """A policy against every ConfigMap named `guarded…` in the namespace `policed`."""
    api, group, name = cluster.api(), "admissionregistration.k8s.io/v1", {"name": "guard"}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    expression = "!object.metadata.name.startsWith('guarded')"
    objects: list[Object] = [
        {
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": name,
            "spec": {
                "matchConstraints": {"resourceRules": [rule]},
                "validations": [{"expression": expression, "message": message}],
            },
        },
        {
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": name,
            "spec": {"policyName": "guard", "validationActions": [action]},
        },
    ]
    for item in objects:
        api.apply(item)
    try:
        until(lambda: objected(api, config_map("guarded").body))
        yield
    finally:
        for item in reversed(objects):
            api.delete(item)
        until(lambda: not objected(api, config_map("guarded").body))


def objected(api: Api, item: Object) -> bool:
    try:
        return bool(api.apply(item, dry_run=True).warnings)
    except RefusedError:
        return True


def test_a_policy_of_the_cluster_that_denies(cluster: ApiServer) -> None:
    with policy(cluster, "Deny", "ask the platform team"):
        [finding] = ask(cluster, [config_map("guarded"), config_map("free")])
    assert (finding.rule, finding.severity, finding.where.line) == ("server/refused", "error", 7)
    assert finding.where.file == "catalog/models/guarded.yaml"
    assert finding.message.startswith("clusters/dev/guarded/configmap.yaml: cluster `admin` refuses it: ")
    assert finding.message.endswith("denied request: ask the platform team")


def test_a_policy_of_the_cluster_that_warns(cluster: ApiServer) -> None:
    with policy(cluster, "Warn", 'no "quotes" here'):
        [finding] = ask(cluster, [config_map("guarded"), config_map("free")])
    assert (finding.rule, finding.severity) == ("server/warning", "warning")
    assert finding.message.endswith('no "quotes" here')


def test_an_object_that_waits_for_another_of_ours_is_not_refused(cluster: ApiServer) -> None:
    """As KAITO's webhook answers while the config that a Workspace names is not there yet."""
    with policy(cluster, "Deny", 'configmaps "settings" not found'):
        [alone] = ask(cluster, [config_map("guarded")])
        [waiting] = ask(cluster, [config_map("guarded"), config_map("settings")])
        [elsewhere] = ask(cluster, [config_map("guarded"), config_map("settings", "chat")])
    assert (alone.rule, elsewhere.rule) == ("server/refused", "server/refused")
    assert (waiting.rule, waiting.severity) == ("server/waits", "note")
    assert 'configmaps "settings" not found' in waiting.message


# ---- rights, and clusters that do not answer


@contextmanager
def granted(cluster: ApiServer, *verbs: str) -> Iterator[None]:
    """The guest may do this with ConfigMaps."""
    api, group = cluster.api(), "rbac.authorization.k8s.io"
    role = {"kind": "ClusterRole", "name": "some", "apiGroup": group}
    objects: list[Object] = [
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "some"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": [*verbs]}],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "some"},
            "roleRef": role,
            "subjects": [{"kind": "User", "name": GUEST, "apiGroup": group}],
        },
    ]
    for item in objects:
        api.apply(item)
    last = verbs[-1]
    try:
        until(lambda: may(api, last))
        yield
    finally:
        for item in reversed(objects):
            api.delete(item)
        until(lambda: not may(api, last))


def may(api: Api, verb: str) -> bool:
    question = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {"name": ""},
        "spec": {"user": GUEST, "resourceAttributes": {"verb": verb, "resource": "configmaps", "namespace": "chat"}},
    }
    allowed: bool = api.create(question).body["status"]["allowed"]
    return allowed


def test_a_user_who_may_try_nothing(validate: Validate) -> None:
    result = validate(context=GUEST)
    assert (result.code, result.findings) == (2, [])
    assert "kaitops: cluster `guest` lets us try nothing: `guest` may not patch `" in result.err
    assert "hint: a dry run needs the rights `patch` and `create`" in result.err


def test_what_a_user_may_not_try_is_said_and_not_passed(
    cluster: ApiServer, validate: Validate, documents: list[Document]
) -> None:
    with granted(cluster, "patch", "create"):
        result, strict = validate(context=GUEST), validate("--strict", context=GUEST)
    assert (result.code, strict.code) == (0, 1)
    said = [each["message"] for each in result.of("server/forbidden")]
    workspaces = sum(each.body["kind"] == "Workspace" for each in documents)
    assert f"`guest` may not patch `workspaces` on cluster `guest`: {workspaces} objects not tried" in said
    assert not any("`configmaps`" in message for message in said)


def test_the_right_to_patch_alone_is_not_enough(cluster: ApiServer) -> None:
    with granted(cluster, "patch"), pytest.raises(CannotRunError, match="`guest` may not create `configmaps`"):
        ask(cluster, [config_map("one")], GUEST)


def test_a_quota_is_no_lack_of_rights(cluster: ApiServer) -> None:
    """Both are answered with 403."""
    hard = {"count/configmaps": "0"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": "bloomz"}}
    status = {**quota, "spec": {"hard": hard}, "status": {"hard": hard, "used": {"count/configmaps": "0"}}}
    api = cluster.api()
    api.apply({**quota, "spec": {"hard": hard}})
    # A controller would count; here there is none.
    api.request("PATCH", f"{api.path(quota)}/status", status, content_type="application/merge-patch+json")
    try:
        until(lambda: objected(api, config_map("one", "bloomz").body))
        [finding] = ask(cluster, [config_map("one", "bloomz")])
    finally:
        api.delete(quota)
        until(lambda: not objected(api, config_map("one", "bloomz").body))
    assert finding.rule == "server/refused"
    assert "exceeded quota: none" in finding.message


def test_a_cluster_that_stops_between_two_questions() -> None:
    with running_api_server() as server:
        kube = connect(ADMIN, server.kubeconfig)
        server.kill("kube-apiserver")
        with pytest.raises(CannotRunError, match=r"does not answer: .*Connection refused"):
            list(check([config_map("one")], Target("dev", WHERE, "1.35", kube)))


def test_it_is_found_which_cluster_of_the_catalog_a_context_is(
    cluster: ApiServer, repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads(cluster.kubeconfig.read_text())
    for name, context in (("kaitops-dev", config["contexts"][0]), ("prod", config["contexts"][1])):
        context["name"] = name
    (tmp_path / "config").write_text(json.dumps(config))
    where = ("-C", str(repository.root), "validate", "--select", "server", "--kubeconfig", str(tmp_path / "config"))
    for words, code, said in (
        (("--context", "kaitops-dev"), 0, "checked"),
        (("--context", "prod"), 2, "cluster `prod` lets us try nothing"),
        (("--context", "prod", "--cluster", "dve"), 2, "did you mean `dev`?"),
        ((), 2, "a cluster is asked only where `--context` names one"),
    ):
        with pytest.raises(SystemExit) as stop:
            main([*where, *words])
        assert (words, stop.value.code) == (words, code)
        assert said in capsys.readouterr().err


# ---- taking the real definitions


def test_the_definitions_of_a_cluster_are_taken_where_they_differ(
    cluster: ApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(crd: Object) -> None:
        inference = properties(crd, "v1beta1")["inference"]["properties"]
        del inference["adapters"]
        inference["speculation"] = {"type": "object", "properties": {"model": {"type": "string"}}}

    def sync(*words: str, context: str = ADMIN) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(
                [
                    "-C",
                    str(tmp_path),
                    "schemas",
                    "sync",
                    "--kubeconfig",
                    str(cluster.kubeconfig),
                    "--context",
                    context,
                    *words,
                ]
            )
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    (tmp_path / "catalog" / "clusters").mkdir(parents=True)
    shutil.copytree(ROOT / "tools" / "crds", tmp_path / "tools" / "crds")
    file = tmp_path / "tools" / "crds" / "kaito.sh_workspaces.yaml"
    before = file.read_text()
    assert sync()[:2] == (0, "")
    name, kind = WORKSPACE
    with changed(cluster, name, change, kind):
        code, said, _ = sync("--check")
        assert (code, file.read_text()) == (1, before)
        assert said.splitlines() == [
            "tools/crds/kaito.sh_workspaces.yaml: v1beta1: the cluster's knows no `inference.adapters`",
            "tools/crds/kaito.sh_workspaces.yaml: v1beta1: ours knows no `inference.speculation`",
        ]
        code, again, words = sync()
        assert (code, again) == (0, said)
        assert words == "1 of 6 definitions taken; now run `make schemas`\n"
        taken = yaml.safe_load(file.read_text())
        assert [*compare(taken, cluster.api().get(taken))] == []
        assert sync("--check") == (0, "", "0 of 6 definitions differ\n")
    metadata = json.loads((SCHEMAS / "metadata.json").read_text())
    assert distill(taken, "v1alpha1", metadata) == custom_schema("kaito.sh/v1alpha1", "Workspace")
    cluster.api().apply({**taken, "metadata": {"name": name}}, dry_run=True)
    code, _, words = sync(context=GUEST)
    assert code == 2
    assert "reading definitions needs the right `get` on `customresourcedefinitions`" in words
