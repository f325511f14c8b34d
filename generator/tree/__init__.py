"""How does the rendered tree get onto the disk, and does what lies there still match it?

A `Tree` is text by path. The generator owns `clusters/<cluster>/` whole, but deletes and overwrites only what it
can prove to have written: each cluster folder holds a committed index of its files with their hashes. Tools that
clean their output folder delete people's files, and tools that never clean it leave stale manifests that a GitOps
engine goes on applying; the index is the way between.

    plan      reads, and says what differs            (`compare`, over `disk` and `index`)
    findings  turns that into `render --check`        (`report`)
    diff      turns that into `render --diff`         (`patch`)
    Ours      says whether a file is as we wrote it   (`ours`)
    write     makes it so, unless `refusals` objects  (`writer`, `guard`)

Nothing here knows what a model, a YAML document or a template is.
"""

from generator.tree.changes import Changes, ClusterChanges, FileChange, Obstacle, State, Tree
from generator.tree.compare import plan
from generator.tree.guard import refusals
from generator.tree.ours import Ours
from generator.tree.patch import diff
from generator.tree.report import findings
from generator.tree.writer import RefusedError, write

__all__ = [
    "Changes",
    "ClusterChanges",
    "FileChange",
    "Obstacle",
    "Ours",
    "RefusedError",
    "State",
    "Tree",
    "diff",
    "findings",
    "plan",
    "refusals",
    "write",
]
