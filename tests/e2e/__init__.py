"""The rendered tree under a real Argo CD: `make e2e`."""
