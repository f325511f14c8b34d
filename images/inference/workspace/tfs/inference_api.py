"""KAITO's entry point for the transformers runtime; the manifests start it through `accelerate launch`."""

from inference.transformers_server import leave, main

if __name__ == "__main__":
    leave(main())
