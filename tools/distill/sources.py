"""Which CRDs make up our schemas, and where does each one come from?

Go modules are pinned by `tools/crd-modules/go.mod` and checked by its `go.sum`; the rest is in `tools/crds/`. Where
clusters run several releases we take the oldest, since a later one only adds fields: Gateway API v1.3.0, which AKS
installs with Kubernetes 1.34, and Istio 1.29.
"""

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from generator.finding import CannotRunError
from tools.build import parse_go_mod
from tools.toolchain import complaint, environment, find_go, local_site

TOOLS = Path(__file__).resolve().parent.parent
GO_MOD = TOOLS / "crd-modules" / "go.mod"
TIMEOUT = 600
HINT = "if the modules cannot be reached, set `GOPROXY` to a mirror that you can reach, then run `make schemas`"


@dataclass(frozen=True, slots=True)
class Source:
    """Some kinds of one file; an empty module means a file in `tools/crds/`."""

    module: str
    file: str
    versions: dict[str, tuple[str, ...]]
    """The versions wanted of each kind."""
    group: str = ""
    """The group to use instead of the CRD's own, for a copy of the kind that another vendor serves."""


OPERATOR = "github.com/prometheus-operator/prometheus-operator"
MONITORS = "example/prometheus-operator-crd/monitoring.coreos.com_{}.yaml"
GATEWAY = "config/crd/standard/gateway.networking.k8s.io_{}.yaml"
FLUX = "github.com/fluxcd/{}-controller"
SOURCE = "config/crd/bases/source.toolkit.fluxcd.io_{}.yaml"
AZURE = "azmonitoring.coreos.com"
"""Azure's managed Prometheus serves the operator's monitors under this group, with the same fields."""

SOURCES = (
    Source("", "kaito.sh_workspaces.yaml", {"Workspace": ("v1alpha1", "v1beta1")}),
    Source("", "kaito.sh_inferencesets.yaml", {"InferenceSet": ("v1alpha1", "v1beta1")}),
    Source("", "kaito.sh_ragengines.yaml", {"RAGEngine": ("v1alpha1", "v1beta1")}),
    Source("", "kaito.sh_multiroleinferences.yaml", {"MultiRoleInference": ("v1alpha1",)}),
    Source("", "kaito.sh_modelmirrors.yaml", {"ModelMirror": ("v1alpha1",)}),
    Source("", "inference.networking.k8s.io_inferencepools.yaml", {"InferencePool": ("v1",)}),
    Source("sigs.k8s.io/gateway-api", GATEWAY.format("gateways"), {"Gateway": ("v1",)}),
    Source("sigs.k8s.io/gateway-api", GATEWAY.format("httproutes"), {"HTTPRoute": ("v1",)}),
    Source("sigs.k8s.io/gateway-api", GATEWAY.format("grpcroutes"), {"GRPCRoute": ("v1",)}),
    Source("sigs.k8s.io/gateway-api", GATEWAY.format("referencegrants"), {"ReferenceGrant": ("v1beta1",)}),
    Source(OPERATOR, MONITORS.format("podmonitors"), {"PodMonitor": ("v1",)}),
    Source(OPERATOR, MONITORS.format("servicemonitors"), {"ServiceMonitor": ("v1",)}),
    Source(OPERATOR, MONITORS.format("prometheusrules"), {"PrometheusRule": ("v1",)}),
    Source(OPERATOR, MONITORS.format("podmonitors"), {"PodMonitor": ("v1",)}, AZURE),
    Source(OPERATOR, MONITORS.format("servicemonitors"), {"ServiceMonitor": ("v1",)}, AZURE),
    Source("github.com/argoproj/argo-cd/v3", "manifests/crds/application-crd.yaml", {"Application": ("v1alpha1",)}),
    Source("github.com/argoproj/argo-cd/v3", "manifests/crds/appproject-crd.yaml", {"AppProject": ("v1alpha1",)}),
    Source(
        "github.com/external-secrets/external-secrets",
        "config/crds/bases/external-secrets.io_externalsecrets.yaml",
        {"ExternalSecret": ("v1",)},
    ),
    Source(
        "istio.io/api",
        "kubernetes/customresourcedefinitions.gen.yaml",
        {
            "AuthorizationPolicy": ("v1",),
            "DestinationRule": ("v1",),
            "PeerAuthentication": ("v1",),
            "RequestAuthentication": ("v1",),
            "Telemetry": ("v1",),
        },
    ),
    Source(FLUX.format("source"), SOURCE.format("gitrepositories"), {"GitRepository": ("v1",)}),
    Source(FLUX.format("source"), SOURCE.format("helmrepositories"), {"HelmRepository": ("v1",)}),
    Source(FLUX.format("source"), SOURCE.format("ocirepositories"), {"OCIRepository": ("v1",)}),
    Source(
        FLUX.format("kustomize"),
        "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",
        {"Kustomization": ("v1",)},
    ),
    Source("sigs.k8s.io/karpenter", "pkg/apis/crds/karpenter.sh_nodeclaims.yaml", {"NodeClaim": ("v1",)}),
    Source("sigs.k8s.io/karpenter", "pkg/apis/crds/karpenter.sh_nodepools.yaml", {"NodePool": ("v1",)}),
    Source(
        "github.com/kedacore/keda/v2", "config/crd/bases/keda.sh_scaledobjects.yaml", {"ScaledObject": ("v1alpha1",)}
    ),
    Source(
        "github.com/kedacore/keda/v2",
        "config/crd/bases/keda.sh_triggerauthentications.yaml",
        {"TriggerAuthentication": ("v1alpha1",)},
    ),
)


def crds(folders: dict[str, Path], sources: Iterable[Source] = SOURCES) -> Iterator[tuple[dict[str, Any], str]]:
    """Each wanted CRD with a wanted version; `folders` says where each module lies."""
    for crd, versions in definitions(folders, sources):
        yield from ((crd, version) for version in versions)


def definitions(
    folders: dict[str, Path], sources: Iterable[Source] = SOURCES
) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Each wanted CRD once, whole, as an API server takes it, with the versions wanted."""
    for source in sources:
        text = (folders[source.module] / source.file).read_text("utf-8")
        found = {crd["spec"]["names"]["kind"]: crd for crd in yaml.load_all(text, yaml.CSafeLoader) if crd}
        for kind, versions in source.versions.items():
            yield _in_group(found[kind], source.group), versions


def _in_group(crd: dict[str, Any], group: str) -> dict[str, Any]:
    """The CRD as another vendor serves it; its name must follow its group."""
    if not group:
        return crd
    name = f"{crd['spec']['names']['plural']}.{group}"
    return {**crd, "metadata": {**crd["metadata"], "name": name}, "spec": {**crd["spec"], "group": group}}


def fetch() -> dict[str, Path]:
    """The folder of each module in Go's cache, downloaded where it is not there yet.

    Raises:
        CannotRunError: no Go, no network, or a sum that does not match.
    """
    go_mod = GO_MOD.read_text("utf-8")
    go = find_go(local_site(), parse_go_mod(go_mod).go, GO_MOD.parent.name)
    folders = {"": TOOLS / "crds"}
    for module in _documents(_download(go, [f"{name}@{version}" for name, version in pinned(go_mod).items()])):
        if "Error" in module:
            raise CannotRunError(f"cannot download `{module['Path']}`: {module['Error']}", HINT)
        folders[module["Path"]] = Path(module["Dir"])
    return folders


def _download(go: str, modules: list[str]) -> str:
    """What Go says of each module as JSON; that of a module which failed is there as well, so it is no failure yet."""
    done = subprocess.run(
        [go, "mod", "download", "-json", *modules],
        cwd=GO_MOD.parent,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if not done.stdout:
        raise CannotRunError(f"`go mod download` failed: {complaint(done.stderr)}", HINT)
    return done.stdout


def pinned(go_mod: str) -> dict[str, str]:
    """Module and version of each `require`. Named with its version, a module is loaded without its dependencies."""
    return dict(re.findall(r"^\t(\S+) (v\S+)$", go_mod, re.MULTILINE))


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """The objects of a stream of JSON, one after the other without a separator."""
    decoder = json.JSONDecoder()
    at = 0
    while at < len(text.rstrip()):
        document, end = decoder.raw_decode(text, at)
        yield document
        at = end + len(text[end:]) - len(text[end:].lstrip())
