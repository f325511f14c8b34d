"""The port to the API server: what we write, what we watch, and what may come of each."""

from reconciler.kube.port import ConflictError, GoneError, Kube, KubeError

__all__ = ["ConflictError", "GoneError", "Kube", "KubeError"]
