"""What a check looks at: the compiled catalog, its documents, and the objects that kustomize builds from them."""

from collections.abc import Sequence
from dataclasses import dataclass

from generator.compile import Compiled
from generator.document import Document
from generator.repository import Repository

Units = dict[str, list[Document]]


@dataclass(frozen=True, slots=True)
class Subject:
    repository: Repository
    compiled: Compiled
    documents: Sequence[Document]

    @property
    def objects(self) -> list[Document]:
        """The documents that a cluster gets: everything but the kustomizations."""
        return [document for document in self.documents if not document.path.endswith("/kustomization.yaml")]

    def minor(self, document: Document) -> str:
        """The Kubernetes minor of the cluster that a document is for."""
        return self.compiled.catalog.clusters[document.path.split("/")[1]].value.spec.kubernetes
