"""What people write: the catalog's kinds. Nothing here knows of files, clusters' state or rendering."""

from generator.model.base import API_VERSION, EXPLANATIONS, EntryBase
from generator.model.cluster import Cluster
from generator.model.model import Model
from generator.model.rag import RagEngine
from generator.model.tuning import Tuning

KINDS: dict[str, type[EntryBase]] = {
    "Model": Model,
    "Tuning": Tuning,
    "RagEngine": RagEngine,
    "Cluster": Cluster,
}
FOLDERS = {"Model": "models", "Tuning": "tuning", "RagEngine": "rag", "Cluster": "clusters"}
"""The folder below `catalog/` that holds each kind."""

__all__ = ["API_VERSION", "EXPLANATIONS", "FOLDERS", "KINDS", "Cluster", "EntryBase", "Model", "RagEngine", "Tuning"]
