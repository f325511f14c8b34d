"""One object as KAITO's webhook looks at it: an InferenceSet counts as the Workspace that it would create.

A view holds the parts that rules ask for and where each part stands in the object, so that one rule serves the three
kinds and still names the field that a person wrote. A part of the wrong type reads as empty: types are the schema
check's business, and no rule may crash on them.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from generator.document import Document
from generator.finding import Finding, Place

Mapping = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the parts stand in the object."""

    annotations: str
    resource: str
    selector: str
    inference: str


WORKSPACE = Paths("metadata.annotations", "resource", "resource.labelSelector", "inference")
INFERENCE_SET = Paths(
    "spec.template.metadata.annotations", "spec.template.resource", "spec.labelSelector", "spec.template.inference"
)
RAG_ENGINE = Paths("metadata.annotations", "spec.compute", "spec.compute.labelSelector", "spec.inferenceService")


@dataclass(frozen=True, slots=True)
class View:
    kind: str
    name: str
    namespace: str
    cluster: str
    where: Place
    paths: Paths
    annotations: Mapping
    resource: Mapping
    selector: Mapping
    inference: Mapping | None
    tuning: Mapping | None
    spec: Mapping

    def finding(self, rule: str, field: str, text: str, hint: str) -> Finding:
        return Finding(self.where, f"webhook/{rule}", f"{self.kind} `{self.name}`: `{field}` {text}", hint)

    def under_inference(self, field: str) -> str:
        return f"{self.paths.inference}.{field}"

    @property
    def preset_name(self) -> str:
        """The preset to serve; empty where there is none."""
        name = mapping(mapping(self.inference).get("preset")).get("name")
        return name if isinstance(name, str) else ""

    @property
    def runtime(self) -> str:
        return "transformers" if self.annotations.get("kaito.sh/runtime") == "transformers" else "vllm"


def view_of(document: Document) -> View | None:
    """The view of a KAITO object that the webhook knows; None for any other object."""
    api_version, kind, namespace, name = document.identity
    if not api_version.startswith("kaito.sh/") or kind not in READERS:
        return None
    paths, read = READERS[kind]
    parts = read(document.body)
    return View(
        kind=kind,
        name=str(name),
        namespace=namespace,
        cluster=cluster_of(document),
        where=document.source,
        paths=paths,
        spec=mapping(document.body.get("spec")),
        **parts,
    )


def cluster_of(document: Document) -> str:
    """`dev` for `clusters/dev/...`: equal names on two clusters are two objects."""
    return PurePosixPath(document.path).parts[1]


def mapping(value: Any) -> Mapping:
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _optional(value: Any) -> Mapping | None:
    return None if value is None else mapping(value)


def _of_workspace(body: Mapping) -> dict[str, Any]:
    resource = mapping(body.get("resource"))
    return {
        "annotations": mapping(mapping(body.get("metadata")).get("annotations")),
        "resource": resource,
        "selector": mapping(resource.get("labelSelector")),
        "inference": _optional(body.get("inference")),
        "tuning": _optional(body.get("tuning")),
    }


def _of_inference_set(body: Mapping) -> dict[str, Any]:
    spec = mapping(body.get("spec"))
    template = mapping(spec.get("template"))
    return _of_workspace(template) | {"selector": mapping(spec.get("labelSelector")), "tuning": None}


def _of_rag_engine(body: Mapping) -> dict[str, Any]:
    compute = mapping(mapping(body.get("spec")).get("compute"))
    return _of_workspace({"metadata": body.get("metadata"), "resource": compute})


READERS = {
    "Workspace": (WORKSPACE, _of_workspace),
    "InferenceSet": (INFERENCE_SET, _of_inference_set),
    "RAGEngine": (RAG_ENGINE, _of_rag_engine),
}
