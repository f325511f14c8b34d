"""KAITO's entry point for the transformers runtime; the manifests start it through `accelerate launch`."""

from inference.process import leave
from inference.transformers_server import main

if __name__ == "__main__":
    leave(main())
