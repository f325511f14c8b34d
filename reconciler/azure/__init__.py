"""The port to Azure: what we ask of AKS, in five requests, and what may come of each."""

from reconciler.azure.port import AgentPools, AzureError, LostError

__all__ = ["AgentPools", "AzureError", "LostError"]
