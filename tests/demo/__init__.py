"""A claim's whole life on a laptop: `make demo`."""
