"""The generator: catalog in, committed and checked Kustomize overlays out."""
