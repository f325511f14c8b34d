"""Templates that are YAML themselves, rendered to text and to the object that the text holds, without parsing it again.

The dialect hides in YAML comments: `#{ value }#`, `#% if x %#`. Each hole is one whole scalar (or, with `block`, one
map, list or literal block), encoded by `yamlout`, so that a value can change neither structure nor type. Hence the
structure of a rendered document depends only on its literal parts: that *skeleton* is parsed once, and afterwards the
values are put into fresh copies of it. Parsing 3,000 documents would cost more than everything else together.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml

from generator import yamlout
from generator.document import Body

Skeleton = Callable[[list[Any]], Body]
"""Builds the object of one shape of document from the values of its holes."""
Skeletons = dict[tuple[str, ...], Skeleton]
"""By the template's name and the literal parts, which decide the structure."""


class TemplateError(Exception):
    """A mistake in a template of ours; never a user's."""


class Hole(str):
    """Encoded text that remembers the value it stands for."""

    __slots__ = ("value",)
    value: Any

    def __str__(self) -> str:
        """Jinja wraps each hole in `str()`, which must not lose the value."""
        return self


class CommentHole(Hole):
    """A hole in a comment: part of the text, not of the object."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a skeleton takes the value of a hole."""

    index: int


def _hole(text: str, value: Any, kind: type[Hole] = Hole) -> Hole:
    hole = kind(text)
    hole.value = value
    return hole


_known: dict[str, Hole] = {}
"""The holes of strings, most of which stand in many files."""


def _finalize(value: Any) -> Hole:
    """Jinja's last step for each hole: the auto-escape."""
    if type(value) is str:
        known = _known.get(value)
        if known is None:
            known = _known[value] = _hole(yamlout.scalar(value), value)
        return known
    if isinstance(value, Hole):
        return value
    try:
        return _hole(yamlout.scalar(value), value)
    except TypeError:
        str(value)  # for an unknown name this raises the error that says which one
        raise


def _block(value: Any, indent: int) -> Hole:
    return _hole(yamlout.block(value, indent), value)


def _comment(value: str) -> Hole:
    return _hole(yamlout.comment(value), value, CommentHole)


def _bytecode_cache(folder: Path) -> jinja2.BytecodeCache | None:
    """Compiled templates beside their sources, as Python keeps its own: compiling them takes longer than rendering.

    Jinja judges each by a hash of its source. Where the folder cannot be written, there is none.
    """
    kept = folder / "__pycache__"
    try:
        kept.mkdir(exist_ok=True)
    except OSError:
        return None
    return jinja2.FileSystemBytecodeCache(str(kept)) if os.access(kept, os.W_OK) else None


class Templates:
    """The templates below one folder; `render` names them by their path in it."""

    def __init__(self, folder: Path) -> None:
        self._environment = jinja2.Environment(  # noqa: S701 - the escape is YAML's, by `finalize`
            loader=jinja2.FileSystemLoader(folder),
            variable_start_string="#{",
            variable_end_string="}#",
            block_start_string="#%",
            block_end_string="%#",
            comment_start_string="#|",
            comment_end_string="|#",
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            undefined=jinja2.StrictUndefined,
            finalize=_finalize,
            auto_reload=False,
            bytecode_cache=_bytecode_cache(folder),
        )
        self._environment.filters = {"block": _block, "comment": _comment}
        self._known: dict[str, jinja2.Template] = {}
        self._skeletons: Skeletons = {}

    def render(self, name: str, values: dict[str, Any]) -> "Drawn":
        """Draw one document.

        Raises:
            TemplateError: the template is wrong: no single document, or a hole that is not a scalar of its own.
        """
        template = self._known.get(name)
        if template is None:
            template = self._known[name] = self._environment.get_template(name)
        # Shared: the values are the whole context. Jinja would copy them and its globals for each of 3,000 documents.
        context = template.new_context(values, shared=True)
        try:
            chunks = list(template.root_render_func(context))
        except TypeError as error:
            raise TemplateError(f"{name}: {error}") from error
        return Drawn(name, chunks, self._skeletons)


class Drawn:
    """One document as text, and on demand as the object that the text holds."""

    __slots__ = ("_chunks", "_name", "_skeletons")

    def __init__(self, name: str, chunks: list[str], skeletons: Skeletons) -> None:
        self._name = name
        self._chunks = chunks
        self._skeletons = skeletons

    @property
    def text(self) -> str:
        # A map or list begins on the next line; nothing else that we render ends a line with a space.
        return "".join(self._chunks).replace(" \n", "\n")

    def body(self) -> Body:
        """A new object that shares nothing with another document's.

        Raises:
            TemplateError: as `Templates.render`.
        """
        key = (self._name, *("" if isinstance(chunk, Hole) else chunk for chunk in self._chunks))
        skeleton = self._skeletons.get(key)
        if skeleton is None:
            skeleton = self._skeletons[key] = _skeleton(self._name, self._chunks)
        return skeleton([_fresh(chunk.value) for chunk in self._chunks if isinstance(chunk, Hole)])


def _skeleton(name: str, chunks: list[str]) -> Skeleton:
    """Parse the literal parts with a placeholder for each hole, and compile the result to a builder."""
    holes = [chunk for chunk in chunks if isinstance(chunk, Hole)]
    places = {f"kaitopsHole{index}x": Slot(index) for index in range(len(holes))}
    names = iter(places)
    text = "".join(next(names) if isinstance(chunk, Hole) else chunk for chunk in chunks)
    try:
        parsed = yaml.load(text, yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise TemplateError(f"{name}: not one YAML document: {error}") from error
    found: list[int] = []
    skeleton = _with_slots(parsed, places, found)
    wanted = [index for index, hole in enumerate(holes) if not isinstance(hole, CommentHole)]
    if sorted(found) != wanted or not isinstance(skeleton, dict):
        raise TemplateError(f"{name}: each hole must be one whole scalar of the document, and the document a map")
    builder: Skeleton = eval(f"lambda holes: {_source(skeleton)}")  # noqa: S307 - made of our own templates' literals
    return builder


def _with_slots(node: Any, places: Mapping[str, Slot], found: list[int]) -> Any:
    if isinstance(node, dict):
        return {_with_slots(key, places, found): _with_slots(value, places, found) for key, value in node.items()}
    if isinstance(node, list):
        return [_with_slots(item, places, found) for item in node]
    if isinstance(node, str) and node in places:
        found.append(places[node].index)
        return places[node]
    return node


def _source(node: Any) -> str:
    """A Python expression that builds the node anew from `holes`: four times as fast as walking it each time."""
    if isinstance(node, dict):
        return "{" + ", ".join(f"{_source(key)}: {_source(value)}" for key, value in node.items()) + "}"
    if isinstance(node, list):
        return "[" + ", ".join(_source(item) for item in node) + "]"
    if isinstance(node, Slot):
        return f"holes[{node.index}]"
    if node is None or isinstance(node, str | bool | int | float):
        return repr(node)
    raise TemplateError(f"a literal of type {type(node).__name__} has no place in a template; quote it")


def _fresh(value: Any) -> Any:
    """A copy that no other document shares."""
    kind = type(value)
    if kind is dict:
        return {key: _fresh(inner) for key, inner in value.items()}
    return [_fresh(inner) for inner in value] if kind is list or kind is tuple else value
