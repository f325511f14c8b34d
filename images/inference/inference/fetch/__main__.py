"""`python -m inference.fetch`, for where the command `fetch-weights` is not on the path."""

from inference.fetch.cli import run

run()
