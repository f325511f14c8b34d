"""How fast the server is beside others on the same processors: `make bench-inference`."""
