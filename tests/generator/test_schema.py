"""Objects that an API server takes whole, objects that it refuses or empties, and what we say about the latter."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema_rs import Draft202012Validator

from generator.checks.schema import check, core
from generator.checks.schema.duplicates import duplicates, lists_of
from generator.checks.schema.wording import spell
from generator.document import Document
from generator.finding import Finding, Place
from generator.kinds import SCHEMAS

ROOT = Path(__file__).parents[2]
CRDS = ROOT / "tools" / "crds"
SOURCE = Place("catalog/models/phi.yaml", 3)
MINOR = "1.34"
Body = dict[str, Any]

WORKSPACE = """
apiVersion: kaito.sh/v1beta1
kind: Workspace
metadata: {name: phi, namespace: chat, labels: {app: phi}, annotations: {kaito.sh/runtime: vllm}}
resource: {instanceType: Standard_NC24ads_A100_v4, labelSelector: {matchLabels: {app: phi}}}
inference:
  preset: {name: phi-4-mini-instruct, presetOptions: {modelAccessSecret: hf}}
  config: phi-config
  adapters: [{source: {name: a, volumeSource: {persistentVolumeClaim: {claimName: a}}}, strength: "0.5"}]
"""
CUSTOM = """
apiVersion: kaito.sh/v1beta1
kind: Workspace
metadata: {name: own, namespace: chat}
resource: {labelSelector: {matchLabels: {app: own}}}
inference:
  template:
    metadata: {labels: {app: own}}
    spec:
      containers:
        - name: main
          image: registry.example.com/own:1
          env: [{name: A, value: a}, {name: B, value: b}]
          ports: [{name: http, containerPort: 5000}]
          resources: {limits: {cpu: 4, memory: 16Gi}}
        - name: side
          image: registry.example.com/side:1
          livenessProbe: {httpGet: {path: /health, port: http}}
      volumes: [{name: shm, emptyDir: {medium: Memory}}]
"""
TUNING = """
apiVersion: kaito.sh/v1beta1
kind: Workspace
metadata: {name: tune, namespace: chat}
resource: {labelSelector: {matchLabels: {app: tune}}}
tuning:
  preset: {name: phi-3-mini-4k-instruct}
  method: qlora
  input: {urls: ["https://data.example.com/a.parquet"]}
  output: {image: registry.example.com/adapter:1, imagePushSecret: push}
"""
INFERENCE_SET = """
apiVersion: kaito.sh/v1beta1
kind: InferenceSet
metadata: {name: phi, namespace: chat}
spec:
  replicas: 0
  labelSelector: {matchLabels: {app: phi}}
  template:
    metadata: {annotations: {kaito.sh/runtime: vllm}}
    resource: {instanceType: Standard_NC24ads_A100_v4}
    inference: {preset: {name: phi-4-mini-instruct}}
  updateStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 1}}
  autoUpgrade: {enabled: true, strategy: Surge, maintenanceWindow: {schedule: "0 2 * * 6"}}
"""
RAG = """
apiVersion: kaito.sh/v1beta1
kind: RAGEngine
metadata: {name: docs, namespace: chat}
spec:
  compute: {labelSelector: {matchLabels: {app: docs}}}
  storage: {persistentVolume: {persistentVolumeClaim: docs}, vectorDB: {engine: qdrant, url: "http://qdrant:6333"}}
  embedding: {local: {modelID: BAAI/bge-small-en-v1.5}}
  inferenceService: {url: "http://phi/v1/completions", contextWindowSize: 8192}
  guardrails: {enabled: true, configMapRef: {name: rules}}
"""
ROLES = """
apiVersion: kaito.sh/v1alpha1
kind: MultiRoleInference
metadata: {name: split, namespace: chat}
spec:
  labelSelector: {matchLabels: {app: split}}
  model: {name: org/model}
  roles: [{type: prefill, instanceType: a}, {type: decode, instanceType: b, replicas: 2}]
"""
MIRROR = """
apiVersion: kaito.sh/v1alpha1
kind: ModelMirror
metadata: {name: a1b2c3}
spec: {source: {registry: huggingface, modelID: org/model}, storage: {size: 100Gi, storageClassName: blob}}
"""
POOL = """
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: phi-inferencepool, namespace: chat}
spec:
  selector: {matchLabels: {app: phi}}
  targetPorts: [{number: 5000}]
  endpointPickerRef: {name: phi-epp, port: {number: 9002}, failureMode: FailOpen}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: phi, namespace: chat}
spec: {selector: {app: phi}, ports: [{name: http, port: 80, targetPort: 5000}, {port: 81, targetPort: ray}]}
"""
ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: phi, namespace: chat}
spec:
  parentRefs: [{name: gateway, namespace: gateway}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /phi}}]
      backendRefs: [{name: phi, port: 80, weight: 1}]
      timeouts: {request: 0s}
"""
MONITOR = """
apiVersion: azmonitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: phi, namespace: chat}
spec:
  labelLimit: 63
  selector: {matchLabels: {app: phi}}
  podMetricsEndpoints: [{portNumber: 5000, interval: 30s, relabelings: [{action: replace, targetLabel: model}]}]
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: phi, namespace: chat}
spec: {host: phi-epp, trafficPolicy: {tls: {mode: DISABLE}}}
"""
TELEMETRY = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: access, namespace: gateway}
spec: {accessLogging: [{providers: [{name: envoy}]}]}
"""
GIT = """
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: flux-system}
spec: {interval: 1m, url: "https://git.example.com/fleet", ref: {branch: main}}
"""
SYNC = """
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: phi, namespace: flux-system}
spec:
  interval: 10m
  path: ./clusters/dev/phi
  prune: true
  sourceRef: {kind: GitRepository, name: fleet}
  dependsOn: [{name: namespaces}]
  healthCheckExprs: [{apiVersion: kaito.sh/v1beta1, kind: Workspace, current: "has(status.conditions)"}]
"""
KUSTOMIZATION = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [workspace.yaml]
components: [../../components/a]
patches: [{path: a.yaml, target: {kind: Service}}, {patch: "- op: remove", options: {allowNameChange: true}}]
"""
ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "kaitops:reader"}
rules: [{apiGroups: [kaito.sh], resources: [workspaces], verbs: [get]}]
"""
GOOD = {
    "workspace": WORKSPACE,
    "custom": CUSTOM,
    "tuning": TUNING,
    "inference set": INFERENCE_SET,
    "rag engine": RAG,
    "roles": ROLES,
    "mirror": MIRROR,
    "pool": POOL,
    "service": SERVICE,
    "route": ROUTE,
    "monitor": MONITOR,
    "destination rule": RULE,
    "telemetry": TELEMETRY,
    "git repository": GIT,
    "flux kustomization": SYNC,
    "kustomization": KUSTOMIZATION,
    "cluster role": ROLE,
}


@cache
def text(name: str) -> str:
    return json.dumps(yaml.safe_load(GOOD[name]))


def body(name: str) -> Body:
    found: Body = json.loads(text(name))
    return found


def changed(name: str, path: str, value: Any) -> Body:
    """The good object with one thing set; `...` removes it. Steps are separated by slashes."""
    found = body(name)
    *way, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    node: Any = found
    for step in way:
        node = node[step]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return found


def findings(found: Body, minor: str = MINOR) -> list[Finding]:
    return list(check([Document("clusters/dev/phi/object.yaml", "", found, SOURCE)], minor))


def said(found: Body) -> str:
    """The only message, without the file that starts it."""
    (finding,) = findings(found)
    return finding.message.removeprefix("clusters/dev/phi/object.yaml: ")


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_good_object_passes(name: str) -> None:
    assert findings(body(name)) == []


@pytest.mark.parametrize(
    ("name", "path", "value", "message"),
    [
        ("workspace", "inference/preset/nam", "phi", "`inference.preset.nam`: unknown field"),
        ("workspace", "spec", {}, "`spec`: unknown field"),
        ("workspace", "status", {}, "`status`: unknown field"),
        ("workspace", "resource/labelSelector", ..., "`resource.labelSelector`: missing"),
        ("workspace", "resource", ..., "`resource`: missing"),
        ("workspace", "resource/partition", {"mode": "mps"}, "`resource.partition.mode`: must be one of `mig`, "),
        ("workspace", "resource/partition", {"count": 0}, "`resource.partition.count`: must be at least `1`, not `0`"),
        ("workspace", "inference/adapters/0/strength", 0.5, "must be of type `string`, not `0.5`"),
        ("workspace", "inference/adapters/0/source/volumeSource/pvc", {}, "source.volumeSource.pvc`: unknown field"),
        ("workspace", "metadata/name", "Phi", "`metadata.name`: must match `"),
        ("workspace", "metadata/name", ..., "`metadata.name`: missing"),
        ("workspace", "metadata/labels/app", "x" * 64, "`metadata.labels.app`: must match"),
        ("workspace", "metadata/labels/a b", "x", '`metadata.labels["a b"]`: the key must match'),
        ("workspace", "metadata/annotations/a", True, "must be of type `string`, not `true`"),
        ("workspace", "metadata/creationTimestamp", None, "`metadata.creationTimestamp`: unknown field"),
        ("custom", "inference/template/spec/container", [], "`inference.template.spec.container`: unknown field"),
        ("custom", "inference/template/spec/containers", ..., "`inference.template.spec.containers`: missing"),
        ("custom", "inference/template/spec/volumes/0/emptyDir", None, "must be of type `object`, not `null`"),
        ("tuning", "tuning/output", ..., "`tuning.output`: missing"),
        ("tuning", "tuning/output/volumeSource", {"name": "a", "emptyDir": {}}, "volumeSource.name`: unknown field"),
        ("tuning", "tuning/input/url", "x", "`tuning.input.url`: unknown field"),
        ("inference set", "spec/replicas", -1, "`spec.replicas`: must be at least `0`, not `-1`"),
        ("inference set", "spec/autoUpgrade/strategy", "Rolling", "must be one of `InPlace`, `Surge`, not `Rolling`"),
        ("inference set", "spec/template/metadata/annotation", {}, "metadata.annotation`: unknown field"),
        ("inference set", "spec/template/resource/count", 1, "`spec.template.resource.count`: unknown field"),
        ("inference set", "spec/updateStrategy/typ", "x", "`spec.updateStrategy.typ`: unknown field"),
        ("rag engine", "spec/storage/persistentVolumeClaim", "docs", "persistentVolumeClaim`: unknown field"),
        ("rag engine", "spec/inferenceService/contextWindowSize", ..., "contextWindowSize`: missing"),
        ("roles", "spec/roles/1", ..., "`spec.roles`: must have at least 2 entries"),
        ("roles", "spec/roles/0/type", "router", "must be one of `prefill`, `decode`"),
        ("mirror", "metadata/namespace", "chat", "`metadata.namespace`: unknown field"),
        ("pool", "spec/targetPorts/0/number", 65536, "must be at most `65535`, not `65536`"),
        ("service", "spec/selectr", {}, "`spec.selectr`: unknown field"),
        ("service", "spec/ports/0/port", "80", "must be of type `integer`, not the text `80`"),
        ("service", "spec/type", None, "`spec.type`: must be of type `string`, not `null`"),
        ("service", "status", {}, "`status`: unknown field"),
        ("route", "spec/rules/0/timeouts/request", "10 minutes", "`spec.rules[0].timeouts.request`: must match"),
        ("route", "spec/rules/0/retry", {"attempts": 1}, "`spec.rules[0].retry`: unknown field"),
        ("monitor", "spec/selector", ..., "`spec.selector`: missing"),
        ("monitor", "spec/podMetricsEndpoints/0/relabelings/0/action", "replaced", "must be one of `replace`"),
        ("destination rule", "spec/trafficPolicy/tls/mode", "OFF", "must be one of `DISABLE`, `SIMPLE`"),
        ("telemetry", "spec/accessLoging", [], "`spec.accessLoging`: unknown field"),
        ("git repository", "spec/url", "git.example.com/fleet", "`spec.url`: must match `^(http|https|ssh)://.*$`"),
        ("flux kustomization", "spec/prune", ..., "`spec.prune`: missing"),
        (
            "flux kustomization",
            "spec/sourceRef/kind",
            "HelmRepository",
            "must be one of `OCIRepository`, `GitRepository`",
        ),
        ("kustomization", "commonLabels", {}, "`commonLabels`: unknown field"),
        ("kustomization", "patches/0/path", ..., "`patches[0]`: must have exactly one of the allowed forms"),
        ("cluster role", "rules/0/verbs", ..., "`rules[0].verbs`: missing"),
    ],
)
def test_a_wrong_object_is_refused_in_words(name: str, path: str, value: Any, message: str) -> None:
    found = changed(name, path, value)
    (finding,) = findings(found)
    assert finding.rule == "schema/invalid"
    assert finding.where == SOURCE
    assert message in finding.message
    assert finding.message.startswith("clusters/dev/phi/object.yaml: `")


def test_an_unknown_field_names_the_nearest_known_one() -> None:
    (finding,) = findings(changed("workspace", "inference/preset/presetOption", {}))
    assert finding.hint == "did you mean `presetOptions`?"


def test_the_known_fields_are_found_behind_references() -> None:
    found = changed("custom", "inference/template/spec/containers/0/env/1/vlue", "x")
    (finding,) = findings(found)
    assert "`inference.template.spec.containers[0].env[1].vlue`" in finding.message
    assert "`value`" in finding.hint


def test_every_fault_of_an_object_is_said() -> None:
    found = changed("workspace", "inference/preset/nam", "x")
    del found["inference"]["preset"]["name"]
    found["resource"]["count"] = "1"
    assert len(findings(found)) == 3


def test_a_kind_without_schema_is_an_error() -> None:
    (finding,) = findings({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}})
    assert finding.rule == "schema/missing"
    assert "`Thing` of `example.com/v1`" in finding.message
    assert "tools/distill/sources.py" in finding.hint


def test_a_wrong_version_names_the_known_ones() -> None:
    (finding,) = findings(body("workspace") | {"apiVersion": "kaito.sh/v1"})
    assert finding.rule == "schema/missing"
    assert finding.hint == "`Workspace` is known in `kaito.sh/v1alpha1`, `kaito.sh/v1beta1`"


def test_an_object_without_kind_is_an_error() -> None:
    assert [finding.rule for finding in findings({})] == ["schema/missing"]


@pytest.mark.parametrize(
    ("name", "path", "value", "message"),
    [
        (
            "custom",
            "inference/template/spec/containers/1/name",
            "main",
            "containers[1]`: an earlier entry has the same name",
        ),
        (
            "custom",
            "inference/template/spec/containers/0/env/1/name",
            "A",
            "env[1]`: an earlier entry has the same name `A`",
        ),
        (
            "service",
            "spec/ports/1",
            {"name": "http", "port": 81},
            "`spec.ports[1]`: an earlier entry has the same name",
        ),
        (
            "service",
            "spec/ports/1",
            {"name": "ray", "port": 80},
            "`spec.ports[1]`: an earlier entry has the same port `80`",
        ),
    ],
)
def test_an_entry_that_repeats_a_key_is_refused(name: str, path: str, value: Any, message: str) -> None:
    (finding,) = findings(changed(name, path, value))
    assert finding.rule == "schema/duplicate"
    assert message in finding.message


@pytest.mark.parametrize("written", [{"protocol": "TCP"}, {}])
def test_a_port_without_protocol_is_the_one_with_the_default(written: Body) -> None:
    ports = [{"name": "a", "port": 53}, {"name": "b", "port": 53, **written}]
    assert said(changed("service", "spec/ports", ports)) == (
        "`spec.ports[1]`: an earlier entry has the same port `53` and protocol `TCP`"
    )
    assert findings(changed("service", "spec/ports", [ports[0], {**ports[1], "protocol": "UDP"}])) == []


def test_a_definition_that_holds_itself_is_searched_to_an_end() -> None:
    holder = {"properties": {"inner": {"$ref": "#/$defs/Tree"}, "named": {"$ref": "#/$defs/Named"}}}
    named = {"items": {"type": "object"}, "x-kubernetes-list-map-keys": ["name"]}
    lists = lists_of({"$ref": "#/$defs/Tree", "$defs": {"Tree": holder, "Named": named}})
    assert list(duplicates(lists, {"named": [{"name": "a"}, {"name": "a"}]})) == [(("named", 1), {"name": "a"})]


def test_one_port_with_two_protocols_is_no_duplicate() -> None:
    ports = [{"name": "a", "port": 53, "protocol": "TCP"}, {"name": "b", "port": 53, "protocol": "UDP"}]
    assert findings(changed("service", "spec/ports", ports)) == []


@pytest.mark.parametrize("written", ["data: {1: x}", "data: {a: 2024-01-01}"])
def test_what_json_cannot_hold_is_said_not_raised(written: str) -> None:
    found = yaml.safe_load(f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: a}}, {written}}}")
    (finding,) = findings(found)
    assert finding.rule == "schema/invalid"
    assert finding.hint == "quote the value or the key"


def test_a_core_kind_is_judged_by_the_clusters_minor() -> None:
    claim = yaml.safe_load("""
        {apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: a}, spec: {spec: {}}}
    """)
    assert findings(claim, "1.34") == []
    assert [finding.rule for finding in findings(claim, "1.33")] == ["schema/missing"]


def test_minors_are_in_the_order_of_their_numbers() -> None:
    found = core.minors()
    assert MINOR in found
    assert found == sorted(found, key=lambda minor: int(minor.partition(".")[2]))


def test_a_definition_comes_with_all_that_it_refers_to() -> None:
    schema = core.schema_of(MINOR, "io.k8s.api.core.v1.PodTemplateSpec")
    assert "description" not in json.dumps(schema)
    assert "null" not in json.dumps(schema)
    Draft202012Validator(schema)


@pytest.mark.parametrize("file", sorted(SCHEMAS.rglob("*.json")), ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_schema_compiles_and_holds_no_prose(file: Path) -> None:
    schema = json.loads(file.read_text("utf-8"))
    Draft202012Validator(schema)
    assert schema["additionalProperties"] is False
    if file.parent != SCHEMAS:
        kind, version = file.stem.split("_")
        assert schema["properties"]["kind"]["const"].lower() == kind
        assert schema["properties"]["apiVersion"]["const"] == f"{file.parent.name}/{version}"
        assert "status" not in schema["properties"]


@pytest.mark.parametrize("file", sorted(CRDS.glob("*.yaml")), ids=lambda file: file.stem)
def test_our_crds_are_crds(file: Path) -> None:
    crd = yaml.safe_load(file.read_text("utf-8"))
    assert findings(crd) == []
    names = crd["spec"]["names"]
    assert crd["metadata"]["name"] == f"{names['plural']}.{crd['spec']['group']}"
    assert [version["storage"] for version in crd["spec"]["versions"]].count(True) == 1


@pytest.mark.parametrize(
    ("path", "spelt"),
    [
        (("spec", "ports", 0, "port"), "spec.ports[0].port"),
        (("metadata", "labels", "a.b/c"), 'metadata.labels["a.b/c"]'),
        ((), ""),
    ],
)
def test_a_path_is_spelt_as_a_person_would(path: tuple[str | int, ...], spelt: str) -> None:
    assert spell(path) == spelt
