"""Reading one catalog file: strict YAML in, plain data and the place of every value out.

The catalog is YAML 1.2's core schema and less: no anchors, no tags, one document, no duplicate keys, and nothing that
YAML 1.1 and 1.2 read differently (`yes`, `010`). Positions are kept per path, so that every later complaint can name
the line that a person has to change.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import yaml

from generator.finding import Finding, Place
from generator.yamlout import UNCARRIED

MAX_BYTES = 256 * 1024
"""No catalog entry comes near this; a file beyond it is a mistake or an attack."""
MAX_DEPTH = 32
MAX_DIGITS = 18
MAX_ANCHORS = 10
"""As many complaints as help a person; a file made to be hostile holds thousands."""
DEEP = re.compile(r"^ {40}|([-?][ \t]+){4}", re.MULTILINE)
"""Only a file that matches, or is full of brackets, can nest deeper than `MAX_DEPTH`."""

WORDS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL"), None),
}
BOOLEANS_OF_YAML_1_1 = frozenset({"y", "n", "yes", "no", "on", "off"})
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
ODD_NUMBER = re.compile(
    r"[-+]?0[0-9_]+|0[xob][0-9a-fA-F_]+|[-+]?[0-9][0-9_]*_[0-9_]*|[-+]?[0-9]+(:[0-5]?[0-9])+|[-+]?\.(inf|nan)",
    re.IGNORECASE,
)
DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?")

Path = tuple[str | int, ...]


@dataclass(slots=True)
class SourceFile:
    """One file's data with the place of each key and item."""

    name: str
    data: Any = None
    places: dict[Path, Place] = field(default_factory=dict)
    text: str = ""

    def place(self, path: Path) -> Place:
        """The place of the value at `path`, or of the nearest one above it that is written down."""
        for length in range(len(path), 0, -1):
            found = self.places.get(path[:length])
            if found:
                return found
        return self.places.get((), Place(self.name, 1, 1))


def read_source(name: str, raw: bytes) -> tuple[SourceFile, list[Finding]]:
    """Parse the bytes of the file `name` (relative to the repository)."""
    file = SourceFile(name)
    text, findings = _decode(name, raw)
    if text is None:
        return file, findings
    file.text = text
    try:
        findings = [*_too_deep(name, text), *islice(_anchors(name, text), MAX_ANCHORS)]
        node = None if findings else _only_document(text)
    except yaml.YAMLError as error:
        return file, [_syntax(name, text, error)]
    if node is None:
        return file, findings or [_empty(name)]
    reader = _Reader(name)
    file.data = reader.value(node, ())
    file.places = reader.places
    if file.data is None and not reader.findings:
        return file, [_empty(name)]
    return file, reader.findings


def _finding(where: Place, rule: str, message: str, hint: str = "") -> Finding:
    return Finding(where, rule, message, hint)


def _empty(name: str) -> Finding:
    hint = "an entry starts with `apiVersion`, `kind`, `metadata` and `spec`"
    return _finding(Place(name, 1, 1), "yaml/empty", "the file holds no entry", hint)


def _decode(name: str, raw: bytes) -> tuple[str | None, list[Finding]]:
    if len(raw) > MAX_BYTES:
        message = f"the file is larger than the {MAX_BYTES:,} bytes that an entry may have"
        return None, [_finding(Place(name), "yaml/too-large", message, "weights and data never lie in the catalog")]
    try:
        return raw.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return None, [_finding(Place(name, line), "yaml/encoding", "the file is not UTF-8", "save it as UTF-8")]


class _NodeLoader(yaml.CSafeLoader):
    """Composes nodes without guessing their types: that is done here by the rules of the catalog, and once."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:  # noqa: ARG002 - the composer's signature
        return ""


def _only_document(text: str) -> yaml.Node | None:
    loader = _NodeLoader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _too_deep(name: str, text: str) -> Iterator[Finding]:
    """Nesting is bounded before anything recurses; shallow files, nearly all, pay one search."""
    if not DEEP.search(text) and text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                where = _place(name, event.start_mark)
                hint = "no field of an entry is that deep; look for a bracket or an indentation too many"
                yield _finding(where, "yaml/too-deep", f"nested deeper than {MAX_DEPTH} levels", hint)
                return
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _anchors(name: str, text: str) -> Iterator[Finding]:
    """Anchors are found by the scanner's tokens, before a composed tree would show aliases as copies."""
    if not any(sign in text for sign in "&*!"):
        return
    words = {yaml.AnchorToken: "an anchor", yaml.AliasToken: "an alias", yaml.TagToken: "a tag"}
    for token in yaml.scan(text, Loader=yaml.CSafeLoader):
        if type(token) in words:
            message = f"{words[type(token)]} is not part of the catalog's YAML"
            hint = "leave it out, or quote the text" if type(token) is yaml.TagToken else "write the value out"
            yield _finding(_place(name, token.start_mark), "yaml/alias", message, hint)


def _place(name: str, mark: Any) -> Place:
    return Place(name, mark.line + 1, mark.column + 1)


def _syntax(name: str, text: str, error: yaml.YAMLError) -> Finding:
    mark = _mark(error)
    where = Place(name, mark.line + 1, mark.column + 1) if mark else Place(name, *_bad_character(text, error))
    if "expected a single document" in str(error):
        return _finding(where, "yaml/documents", "the file holds more than one document", "one entry per file")
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read")
    if mark and _is_about_a_tab(problem, _line(text, mark.line)):
        return _finding(where, "yaml/tab", "a tab stands where YAML wants spaces", "indent with spaces")
    known, hint = SYNTAX.get(problem, (problem, ""))
    return _finding(where, "yaml/syntax", f"not valid YAML: {known}", hint)


def _mark(error: yaml.YAMLError) -> Any:
    """What is never closed is noticed at the end of the file; the mistake is where it was opened."""
    problem = str(getattr(error, "problem", None))
    if problem == "found unexpected end of stream" or " or '" in problem:
        return getattr(error, "context_mark", None)
    return getattr(error, "problem_mark", None)


SYNTAX = {
    "mapping values are not allowed in this context": (
        "a `:` stands where no field can begin",
        "quote a text that holds `: `; else look for a missing `:` or a wrong indentation on the line before",
    ),
    "could not find expected ':'": ("a field has no `:`", "write `name: value`"),
    "did not find expected key": ("no field begins here", "look at the indentation of this line and the one before"),
    "did not find expected '-' indicator": (
        "a list goes on without `- `",
        "look at the indentation of this line and the one before",
    ),
    "did not find expected ',' or ']'": ("a list in `[ ]` is not closed, or lacks a comma", "close it with `]`"),
    "did not find expected ',' or '}'": ("a mapping in `{ }` is not closed, or lacks a comma", "close it with `}`"),
    "found unexpected end of stream": ("the file ends inside a quoted text", "close the quotes"),
    "found character that cannot start any token": (
        "no value can start with this character",
        "quote a text that starts with `@`, a backtick or `%`",
    ),
    "block sequence entries are not allowed in this context": (
        "a list cannot begin here",
        "put the first `- ` on a line of its own",
    ),
    "control characters are not allowed": ("a control character", "remove it; most editors can show it"),
}
"""The library's complaints that people meet, in words that name the way out."""


def _is_about_a_tab(problem: str, line: str) -> bool:
    """A tab in a quoted text or a comment of the same line is not to blame."""
    return "\t" in line and ("tab" in problem or "cannot start any token" in problem)


def _line(text: str, number: int) -> str:
    lines = text.split("\n")
    return lines[number] if number < len(lines) else ""


def _bad_character(text: str, error: yaml.YAMLError) -> tuple[int, int]:
    """The reader counts bytes."""
    before = text.encode()[: int(getattr(error, "position", 0) or 0)]
    return before.count(b"\n") + 1, 0


class _Reader:
    """Walks the node tree once, building values, places and findings."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[Path, Place] = {}
        self.findings: list[Finding] = []

    def value(self, node: yaml.Node, path: Path) -> Any:
        if path not in self.places:
            self.places[path] = _place(self.name, node.start_mark)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._mapping(node, path)

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            where = _place(self.name, key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self._say(where, "yaml/key", "a key must be one word or a quoted string", "quote the key")
                continue
            key = key_node.value
            if key == "<<" and not key_node.style:
                self._say(where, "yaml/merge", "merge keys are not part of the catalog", "write the fields out")
                continue
            child = (*path, key)
            if key in result:
                first = self.places[child].line
                message = f"`{key}` is written twice; the first is on line {first}"
                self._say(where, "yaml/duplicate", message, "delete one of them")
                continue
            self.places[child] = where
            result[key] = self.value(value_node, child)
        return result

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        word: str = node.value
        if UNCARRIED.search(word):
            message = "holds a control character that does not survive the way to the cluster"
            self._say(self.places[path], "yaml/character", message, "remove it")
            return ""
        if node.style:
            return word
        return self._plain(word, self.places[path])

    def _plain(self, word: str, where: Place) -> Any:
        if word[:1].isalpha():
            return self._word(word, where)
        if word in {"", "~"}:
            return None
        if INTEGER.fullmatch(word):
            return self._integer(word, where)
        if ODD_NUMBER.fullmatch(word):
            hint = f'write the decimal number, or quote it: "{word}"'
            self._say(where, "yaml/number", f"`{word}` is a number to some YAML readers and another to the next", hint)
            return word
        if DATE.fullmatch(word):
            message = f"`{word}` is a date to some YAML readers and text to others"
            self._say(where, "yaml/date", message, f'quote it: "{word}"')
            return word
        return self._float(word, where) if FLOAT.fullmatch(word) else word

    def _integer(self, word: str, where: Place) -> Any:
        """Readers differ on what they do beyond 64 bits; a long number is nearly always an id."""
        if len(word.lstrip("+-")) <= MAX_DIGITS:
            return int(word)
        return self._too_large(word, where)

    def _float(self, word: str, where: Place) -> Any:
        """A commit of digits and one `e` is a number to YAML, and an infinite one to Python."""
        if math.isfinite(number := float(word)):
            return number
        return self._too_large(word, where)

    def _too_large(self, word: str, where: Place) -> str:
        self._say(where, "yaml/number", f"`{word}` is too large for a number", f'quote it if it is text: "{word}"')
        return word

    def _word(self, word: str, where: Place) -> Any:
        if word in WORDS:
            return WORDS[word]
        lower = word.lower()
        if lower in BOOLEANS_OF_YAML_1_1:
            truth = "true" if lower in {"y", "yes", "on"} else "false"
            hint = f'write `{truth}`, or quote it: "{word}"'
            self._say(where, "yaml/boolean", f"`{word}` is a boolean to some YAML readers and text to others", hint)
        return word

    def _say(self, where: Place, rule: str, message: str, hint: str = "") -> None:
        self.findings.append(Finding(where, rule, message, hint))
