"""One cluster with everything that its tree needs to be rolled out for real, put together."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.apiserver import ApiServer, Object, load_definitions, running_api_server
from tests.apiserver.definitions import read_definitions
from tests.apiserver.server import program
from tests.e2e import argocd
from tests.e2e.argocd import NAMESPACE, running_argocd
from tests.e2e.journal import Event, Journal
from tests.e2e.kube import PATHS, Kube
from tests.e2e.operators import Operators
from tests.e2e.processes import free_port, running
from tests.e2e.publishing import Publisher
from tools.distill.sources import crds, fetch

CONTROLLERS = (
    "disruption-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "resourcequota-controller",
)
"""Kubernetes' own, without which nothing is pruned for good, and no quota and no disruption budget has a status."""
OPERATORS_OWN = {"dev": ("monitoring",), "prod": ()}
"""Namespaces that an operator's installation has made: the Prometheus Operator's own."""
REFRESH = {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}}


@dataclass(frozen=True, slots=True)
class Environment:
    cluster: str
    kube: Kube
    journal: Journal
    operators: Operators
    publisher: Publisher
    first_sync: list[Event] = field(default_factory=list)
    """What happened until everything was rolled out for the first time."""

    def application(self, unit: str) -> Object:
        return self.journal.now("Application", NAMESPACE, f"{self.cluster}-{unit}")

    def operation(self, unit: str) -> dict[str, Any]:
        """What the Application's sync is doing, or did last."""
        found: dict[str, Any] = self.application(unit).get("status", {}).get("operationState", {})
        return found

    def publish(self, message: str) -> str:
        """Commit what the catalog renders now, and tell Argo CD, as a webhook would."""
        commit = self.publisher.publish(message)
        self.refresh()
        return commit

    def refresh(self) -> None:
        for application in self.journal.all("Application").values():
            self.kube.merge(application, REFRESH)

    def change(self, item: Object, change: Object) -> None:
        """Change an object behind Argo CD's back, and wait until the journal has it."""
        version = self.kube.merge(item, change)["metadata"]["resourceVersion"]
        self.journal.until(lambda: self.journal.has(version), f"the journal knows of {item['metadata']['name']}")

    def wait(self, unit: str, commit: str, seconds: float = 120) -> None:
        """Until the commit is rolled out."""
        self.journal.until(lambda: is_done(self.application(unit), commit), f"`{unit}` rolled out", seconds)

    def rollout(self, unit: str, message: str) -> str:
        commit = self.publish(message)
        self.wait(unit, commit)
        return commit

    def units(self) -> list[str]:
        folder = self.publisher.checkout / "clusters" / self.cluster
        return sorted(path.parent.name for path in folder.glob("*/kustomization.yaml"))

    def kaito(self, unit: str) -> Object:
        """The unit's KAITO object as rendered now."""
        for path, text in self.publisher.render().items():
            if re.fullmatch(rf"clusters/{self.cluster}/{unit}/(workspace|inferenceset|ragengine)\.yaml", path):
                found: Object = yaml.safe_load(text)
                return found
        raise AssertionError(f"`{unit}` has no KAITO object")

    def start(self) -> str:
        """Do what a person does once: apply the root and its project; everything else comes by them."""
        commit = self.publisher.publish("first")
        folder = self.publisher.checkout / "clusters" / self.cluster / "gitops"
        for file in (f"appproject-kaitops-{self.cluster}-root.yaml", "application-gitops.yaml"):
            self.kube.api.apply(yaml.safe_load((folder / file).read_text()))
        return commit


def is_done(application: Object, commit: str) -> bool:
    """Less than all four lies: sync and health may speak of the commit before."""
    status = application.get("status", {})
    sync = status.get("sync", {})
    seen = (
        sync.get("status"),
        sync.get("revision"),
        status.get("health", {}).get("status"),
        status.get("operationState", {}).get("phase"),
    )
    return seen == ("Synced", commit, "Healthy", "Succeeded")


@contextmanager
def running_environment(folder: Path, cluster: str) -> Iterator[Environment]:
    """A cluster with Argo CD in it and nothing of ours yet."""
    with ExitStack() as stack:
        server = stack.enter_context(running_api_server())
        kube = stack.enter_context(closing(Kube(server)))
        load_definitions(kube.api, definitions())
        argocd.install(kube.api)
        for name in OPERATORS_OWN[cluster]:
            kube.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        stack.enter_context(_running_controllers(folder, server))
        journal = Journal(kube)
        operators = Operators(kube, journal)
        operators.start()
        journal.follow(PATHS)
        stack.enter_context(running_argocd(folder / "argocd", server.kubeconfig))
        yield Environment(cluster, kube, journal, operators, Publisher(folder))


@contextmanager
def _running_controllers(folder: Path, server: ApiServer) -> Iterator[None]:
    """Started after the CRDs: a collector that does not know a kind leaves its pruned objects hanging."""
    port = free_port()
    command = [
        *(str(program("kube-controller-manager")), "--kubeconfig", str(server.kubeconfig), "--leader-elect=false"),
        *("--bind-address", "127.0.0.1", "--secure-port", str(port), "--cert-dir", str(folder / "manager")),
        *("--controllers", ",".join(CONTROLLERS)),
    ]
    with running(command, folder / "manager.log", os.environ, port):
        yield


def definitions() -> list[Object]:
    """The CRDs of every kind that we render, and Argo CD's own."""
    folders = fetch()
    found = {crd["spec"]["names"]["plural"] + "." + crd["spec"]["group"]: crd for crd, _ in crds(folders)}
    ours = [{**crd, "metadata": {**crd["metadata"], "name": name}} for name, crd in found.items()]
    sets = folders["github.com/argoproj/argo-cd/v3"] / "manifests" / "crds" / "applicationset-crd.yaml"
    return [*ours, *read_definitions([sets])]
