"""Placements in, documents out: which template makes which file. It picks templates and decides no content.

Pure: nothing is read from disk but the templates, no clock, no host. The one thing besides the catalog that a
rendering may depend on is passed in: the committed files of models that are held (`roll: manual`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from generator.document import Body, Document
from generator.finding import CannotRunError, Finding, Place, Severity
from generator.identity import identity_files
from generator.load import Catalog
from generator.monitoring.library import Library
from generator.monitoring.promises import promise_group
from generator.placement import ModelPlacement, Placement, RagPlacement, TuningPlacement
from generator.resolve import Resolution
from generator.resolve.application import Application, application
from generator.resolve.platform import POLICIES, Platform, build_platform
from generator.resolve.reconciler import ReconcilerView
from generator.resolve.watch import WatchView
from generator.revise import REVISION_LABEL, revise, under_revision
from generator.templating import Templates
from generator.watch import azure_files, base_folders, unit_objects

TEMPLATES = Path(__file__).parent / "templates"
CORE_SCHEMAS = (
    "https://raw.githubusercontent.com/yannh/kubernetes-json-schema/master/v{minor}.0-standalone-strict/{kind}.json"
)
"""For editors only: nothing here ever fetches it."""
CORE_KINDS = {
    "configmap": "configmap-v1",
    "namespace": "namespace-v1",
    "networkpolicy": "networkpolicy-networking-v1",
    "persistentvolume": "persistentvolume-v1",
    "persistentvolumeclaim": "persistentvolumeclaim-v1",
    "resourcequota": "resourcequota-v1",
    "service": "service-v1",
    "serviceaccount": "serviceaccount-v1",
}

PROJECTS = {"gitops/appproject.yaml.j2": "project", "gitops/appproject-root.yaml.j2": "root_project"}
"""The template of each of Argo CD's projects, and which of a cluster's names it has."""
KAITO_FILES = ("workspace.yaml", "inferenceset.yaml")
HELD_FILES = (*KAITO_FILES, "configmap.yaml", "persistentvolume.yaml", "persistentvolumeclaim.yaml")
"""What decides what runs: the KAITO object, its config, and the volume that it mounts by name."""


@dataclass(slots=True)
class Rendering:
    """Every file of every cluster, and what rendering itself has to say."""

    documents: list[Document] = field(default_factory=list)
    """The objects that GitOps applies, with their kustomizations."""
    resolution: Resolution = field(default_factory=Resolution)
    findings: list[Finding] = field(default_factory=list)
    attachments: list[Document] = field(default_factory=list)
    """What goes to Azure another way, as JSON below each cluster's `azure/`."""

    @property
    def tree(self) -> dict[str, str]:
        """Path relative to the repository → exact text."""
        return {document.path: document.text for document in (*self.documents, *self.attachments)}


def render(
    catalog: Catalog, resolution: Resolution, held: Mapping[str, str] | None = None, library: Library | None = None
) -> Rendering:
    """Render all placements and platforms.

    Args:
        catalog: What people wrote.
        resolution: The same, resolved.
        held: Committed texts by path, for models with `roll: manual`.
        library: Rules and dashboards; without them nothing watches.
    """
    platforms = {
        name: build_platform(entry, library, resolution.prices.get(name))
        for name, entry in sorted(catalog.clusters.items())
    }
    return _Renderer(catalog, platforms, held or {}).run(resolution)


class _Renderer:
    def __init__(self, catalog: Catalog, platforms: dict[str, Platform], held: Mapping[str, str]) -> None:
        self.templates = Templates(TEMPLATES)
        self.catalog = catalog
        self.platforms = platforms
        self.held = held
        self.result = Rendering()
        self.waiting: set[tuple[str, str]] = set()
        self.kubernetes = {name: _core_schemas(platform.kubernetes) for name, platform in platforms.items()}

    def run(self, resolution: Resolution) -> Rendering:
        revised = revise(resolution, self.draw)
        revised.models = [self._hold(model) for model in revised.models]
        self.result.resolution = revised
        applications: dict[str, list[Application]] = {name: [] for name in self.platforms}
        canaries = {(one.cluster, one.name): one for one in revised.models if one.canary}
        for placement in (*revised.tunings, *revised.models, *revised.rag_engines):
            if placement.canary:
                continue
            files = self._unit(placement) + self._canary(placement, canaries.get((placement.cluster, placement.name)))
            if files:
                self._kustomization(placement, sorted(files))
                applications[placement.cluster].append(self._application(placement))
        for platform in self.platforms.values():
            self._policies(platform, revised.limits[platform.name])
            self._platform(platform, applications[platform.name])
            mine = (model for model in revised.models if model.cluster == platform.name and not model.canary)
            self.result.attachments += [*azure_files(platform, mine), *identity_files(platform)]
        self.result.documents.sort(key=lambda document: document.path)
        return self.result

    def draw(self, placement: Placement) -> Body:
        """The KAITO object of a placement."""
        return self.templates.render(kaito_template(placement), {"m": placement}).body()

    def _hold(self, model: ModelPlacement) -> ModelPlacement:
        """A held model stays as it is committed, under that kind and revision; what waits for a roll is said."""
        committed = self._committed(model) if model.held and model.running else None
        if committed is None:
            return model
        current, kind = str(committed["metadata"]["labels"][REVISION_LABEL]), str(committed["kind"])
        drawn = self.draw(model)
        if current == model.revision and committed.get("inference") == drawn.get("inference"):
            return model
        waits = "an edit that restarts it" if current == model.revision else f"`{model.revision}`"
        message = f"`{model.name}` is held at revision `{current}` on cluster `{model.cluster}`; {waits} waits"
        hint = f"`kaitops roll {model.name}` moves it on"
        self.result.findings.append(Finding(Place(model.source), "catalog/held", message, hint, Severity.NOTE))
        self.waiting.add((model.cluster, model.name))
        return under_revision(replace(model, kind=kind), current)

    def _committed(self, model: ModelPlacement) -> Body | None:
        """The committed KAITO object of a held model, of whichever kind it was then."""
        for path in kaito_paths(model)[: len(KAITO_FILES)]:
            if path in self.held:
                return _read_held(path, self.held[path])
        return None

    def _unit(self, placement: Placement) -> list[str]:
        """Render one placement's objects; the names of the files made."""
        values: dict[str, Any] = {"m": placement, "kubernetes": self.kubernetes[placement.cluster]}
        made = []
        for file, template, more in _objects(placement, self.platforms[placement.cluster]):
            self._add(placement.cluster, f"{placement.unit}/{file}", placement.source, template, values | more)
            made.append(file)
        if isinstance(placement, ModelPlacement) and placement.held:
            made = self._keep_held(placement, made)
        return sorted(made)

    def _canary(self, serving: Placement, canary: ModelPlacement | None) -> list[str]:
        """The canary's objects in the same unit; one that KAITO could not tell from what serves is a mistake."""
        if canary is None:
            return []
        if canary.object_name == serving.object_name and canary.running:
            message = f"the canary of `{serving.name}` on cluster `{serving.cluster}` is what serves already"
            hint = "what it changes does not reach KAITO's object: try something else, or leave it out"
            where = self.catalog.models[serving.name].place("clusters", serving.cluster, "canary")
            self.result.findings.append(Finding(where, "catalog/canary", message, hint))
            return []
        return self._unit(canary)

    def _keep_held(self, model: ModelPlacement, made: list[str]) -> list[str]:
        """Put the committed files that decide what runs back where a held model differs from today's."""
        if (model.cluster, model.name) not in self.waiting:
            return made
        paths = {_path(model, file): file for file in HELD_FILES}
        self.result.documents = [document for document in self.result.documents if document.path not in paths]
        found = []
        for path, file in paths.items():
            if path in self.held:
                body = _read_held(path, self.held[path])
                self.result.documents.append(Document(path, self.held[path], body, Place(model.source)))
                found.append(file)
        return [file for file in made if file not in HELD_FILES] + found

    def _kustomization(self, placement: Placement, files: list[str]) -> None:
        values = {"source": placement.source, "resources": files}
        path = f"{placement.unit}/kustomization.yaml"
        self._add(placement.cluster, path, placement.source, "shared/kustomization.yaml.j2", values)

    def _application(self, placement: Placement) -> Application:
        """An old revision is pruned last, unless `Recreate` wants its GPUs free before the new one asks for them."""
        recreate = isinstance(placement, ModelPlacement) and placement.rollout == "Recreate"
        platform = self.platforms[placement.cluster]
        return application(platform, placement.unit, placement.source, placement.namespace, prune_last=not recreate)

    def _platform(self, platform: Platform, models: Iterable[Application]) -> None:
        self._namespaces(platform)
        values = {"c": platform, "kubernetes": self.kubernetes[platform.name]}
        for file in ("kustomization.yaml", "configmap.yaml"):
            self._add(platform.name, f"gateway/{file}", platform.source, f"gateway/{file}.j2", values)
        parts = [
            application(platform, unit, platform.source, namespace, prune_last=True)
            for unit, namespace in (
                ("gitops", platform.gitops.namespace),
                ("namespaces", platform.gateway.namespace),
                ("policies", POLICIES),
                ("gateway", platform.gateway.namespace),
            )
        ]
        if platform.watch:
            self._monitoring(platform, platform.watch)
            namespace = platform.watch.namespace
            parts.append(application(platform, "monitoring", platform.source, namespace, prune_last=True))
        if platform.reconciler:
            self._reconciler(platform, platform.reconciler)
            namespace = platform.reconciler.namespace
            parts.append(application(platform, "reconciler", platform.source, namespace, prune_last=True))
        self._gitops(platform, [*parts, *models])

    def _namespaces(self, platform: Platform) -> None:
        files = ("kustomization.yaml", "namespace.yaml", "resourcequota.yaml")
        for namespace in platform.namespaces:
            values = {"c": platform, "n": namespace, "kubernetes": self.kubernetes[platform.name]}
            for file in files:
                path = f"namespaces/{namespace.name}/{file}"
                self._add(platform.name, path, platform.source, f"namespaces/{file}.j2", values)
        values = {"source": platform.source, "resources": [namespace.name for namespace in platform.namespaces]}
        path = "namespaces/kustomization.yaml"
        self._add(platform.name, path, platform.source, "shared/kustomization.yaml.j2", values)

    def _monitoring(self, platform: Platform, watch: WatchView) -> None:
        files = list(base_folders(watch))
        for file, template, values in unit_objects(platform, watch):
            more = {"kubernetes": self.kubernetes[platform.name]}
            self._add(platform.name, f"monitoring/{file}", platform.source, template, values | more)
            files.append(file)
        values = {"c": platform, "resources": sorted(files)}
        path = "monitoring/kustomization.yaml"
        self._add(platform.name, path, platform.source, "monitoring/kustomization.yaml.j2", values)

    def _reconciler(self, platform: Platform, view: ReconcilerView) -> None:
        values = {"c": platform, "kubernetes": self.kubernetes[platform.name]}
        files = ["kustomization.yaml", *(["configmap.yaml"] if view.prices else [])]
        for file in files:
            self._add(platform.name, f"reconciler/{file}", platform.source, f"reconciler/{file}.j2", values)

    def _policies(self, platform: Platform, limits: dict[str, str]) -> None:
        """The parameters, and an overlay over the hand-written policies that says what breaking one leads to."""
        kubernetes = self.kubernetes[platform.name]
        values = {"c": platform, "name": POLICIES, "limits": limits, "kubernetes": kubernetes}
        for file in ("kustomization.yaml", "configmap.yaml"):
            self._add(platform.name, f"policies/{file}", platform.source, f"policies/{file}.j2", values)

    def _gitops(self, platform: Platform, applications: list[Application]) -> None:
        files = []
        for template, project in PROJECTS.items():
            files.append(f"appproject-{getattr(platform.gitops, project)}.yaml")
            self._add(platform.name, f"gitops/{files[-1]}", platform.source, template, {"c": platform})
        for one in applications:
            file = f"application-{one.labels['kaitops.dev/unit']}.yaml"
            files.append(file)
            self._add(platform.name, f"gitops/{file}", one.source, "gitops/application.yaml.j2", {"a": one})
        values = {"c": platform, "resources": sorted(files)}
        path = "gitops/kustomization.yaml"
        self._add(platform.name, path, platform.source, "gitops/kustomization.yaml.j2", values)

    def _add(self, cluster: str, file: str, source: str, template: str, values: dict[str, Any]) -> None:
        drawn = self.templates.render(template, values)
        self.result.documents.append(Document(f"clusters/{cluster}/{file}", drawn.text, drawn.body, Place(source)))


def kaito_template(placement: Placement) -> str:
    """The template of a placement's KAITO object."""
    if isinstance(placement, TuningPlacement):
        return "tuning/workspace.yaml.j2"
    if isinstance(placement, RagPlacement):
        return "rag/ragengine.yaml.j2"
    if isinstance(placement, ModelPlacement) and not placement.pod:
        return f"model/{placement.kind.lower()}.yaml.j2"
    return "model/workspace-template.yaml.j2"


def kaito_file(placement: Placement) -> str:
    if isinstance(placement, RagPlacement):
        return "ragengine.yaml"
    if isinstance(placement, ModelPlacement):
        return f"{placement.kind.lower()}{'-canary' if placement.canary else ''}.yaml"
    return "workspace.yaml"


def kaito_paths(placement: Placement) -> tuple[str, ...]:
    """Where the files of a model are that decide what runs: the KAITO object first, of either kind."""
    return tuple(_path(placement, file) for file in HELD_FILES)


def _read_held(path: str, text: str) -> Body:
    """A committed file that a held model goes by.

    Raises:
        CannotRunError: it is not as a rendering left it, so that nobody knows what runs.
    """
    try:
        body: Body = yaml.load(text, yaml.CSafeLoader)
        if path.endswith(KAITO_FILES):
            body["metadata"]["labels"][REVISION_LABEL]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        hint = f"restore it (`git checkout -- {path}`), or resolve its conflict"
        raise CannotRunError(f"`{path}` is not as it was rendered, and its model is held at it", hint) from error
    return body


def _path(placement: Placement, file: str) -> str:
    return f"clusters/{placement.cluster}/{placement.unit}/{file}"


def _core_schemas(minor: str) -> dict[str, str]:
    return {name: CORE_SCHEMAS.format(minor=minor, kind=kind) for name, kind in CORE_KINDS.items()}


Object = tuple[str, str, dict[str, Any]]
"""File name, template, and values besides the placement."""


def _objects(placement: Placement, platform: Platform) -> Iterator[Object]:
    """The objects of one placement; a suspended one keeps its storage and secrets only."""
    yield from _kept_objects(placement)
    if not placement.running:
        return
    yield kaito_file(placement), kaito_template(placement), {}
    if isinstance(placement, ModelPlacement) and placement.canary:
        yield from _canary_objects(placement, platform)
        return
    if placement.config:
        yield "configmap.yaml", "shared/configmap.yaml.j2", {}
    if isinstance(placement, ModelPlacement):
        yield from _model_objects(placement, platform)
    elif isinstance(placement, RagPlacement):
        yield "service.yaml", "rag/service.yaml.j2", {}


def _canary_objects(model: ModelPlacement, platform: Platform) -> Iterator[Object]:
    """What a canary does not share with the one that serves: its config, its Service, and who watches it."""
    if model.config and not model.config_is_shared:
        yield "configmap-canary.yaml", "shared/configmap.yaml.j2", {}
    yield "service-canary.yaml", "model/service.yaml.j2", {}
    if model.metrics:
        flavor = "-azure" if platform.azure_monitoring else ""
        yield "podmonitor-canary.yaml", f"model/podmonitor{flavor}.yaml.j2", {}


def _kept_objects(placement: Placement) -> Iterator[Object]:
    yield from _numbered("externalsecret", "secret", placement.external_secrets)
    yield from _numbered("persistentvolumeclaim", "claim", placement.claims)
    if isinstance(placement, ModelPlacement):
        if placement.blob_pv:
            yield "persistentvolume.yaml", "model/persistentvolume.yaml.j2", {}
        if placement.service_account:
            yield "serviceaccount.yaml", "model/serviceaccount.yaml.j2", {}


def _numbered(kind: str, variable: str, things: tuple[Any, ...]) -> Iterator[Object]:
    """One file named after the kind; two of a kind carry their names as well."""
    for thing in things:
        file = f"{kind}.yaml" if len(things) == 1 else f"{kind}-{thing.name}.yaml"
        yield file, f"shared/{kind}.yaml.j2", {variable: thing}


def _model_objects(model: ModelPlacement, platform: Platform) -> Iterator[Object]:
    yield "service.yaml", "model/service.yaml.j2", {}
    if model.route:
        yield "httproute.yaml", "model/httproute.yaml.j2", {}
    if model.metrics:
        flavor = "-azure" if platform.azure_monitoring else ""
        yield "podmonitor.yaml", f"model/podmonitor{flavor}.yaml.j2", {}
    if platform.watch and not platform.azure_monitoring:
        yield "prometheusrule.yaml", "model/prometheusrule.yaml.j2", {"group": promise_group(model.promise)}
    if model.restricted:
        yield "networkpolicy.yaml", "model/networkpolicy.yaml.j2", {}
