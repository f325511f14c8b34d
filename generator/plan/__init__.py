"""What will a change do: to each object of each cluster, to the people who use it, and to what it costs?

`compare` finds the files that differ between a commit and what is rendered now, `objects` judges each object by the
verdict table, `causes` finds the lines of the catalog, `figures` counts GPUs and money, `danger` says what a person
should have meant, and `make` puts it together. `text`, `markdown` and `machine` write it down.
"""

from generator.plan.change import Plan
from generator.plan.make import make_plan

__all__ = ["Plan", "make_plan"]
