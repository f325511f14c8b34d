"""How fast is the generator, beside the tools that people would use instead? `python -m tests.bench` prints a table."""
