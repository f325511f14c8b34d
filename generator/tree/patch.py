"""What would a write change, line by line, in the form that `git apply` and `patch` read?"""

from collections.abc import Iterator
from difflib import unified_diff

from generator.tree.changes import Changes, FileChange


def diff(changes: Changes) -> Iterator[str]:
    """Give the lines of a unified diff, each with its line break; the indexes are left out, being mere hashes."""
    for change in changes.files:
        yield from _diff_file(change)


def _diff_file(change: FileChange) -> Iterator[str]:
    old = "/dev/null" if change.before is None else f"a/{change.path}"
    new = "/dev/null" if change.after is None else f"b/{change.path}"
    try:
        before, after = _lines(change.before), _lines(change.after)
    except UnicodeDecodeError:
        yield f"Binary files {old} and {new} differ\n"
        return
    for line in unified_diff(before, after, old, new):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(data: bytes | None) -> list[str]:
    """Split at line feeds alone: `str.splitlines` also breaks at characters that YAML and diff keep in a line."""
    lines = (data or b"").decode().split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
