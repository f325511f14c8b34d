"""Which series does a PromQL expression read, and with which labels?

The parser is a compiled one that follows Prometheus' own grammar: a pattern over the text would take a function, a
label or a word in quotes for a metric.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import promql_parser as parser


class PromqlError(ValueError):
    """An expression that is not PromQL; the message is the parser's."""


@dataclass(frozen=True, slots=True)
class Selector:
    """One metric as an expression reads it."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]
    """Label, operator and value of each matcher."""

    @property
    def component(self) -> str:
        """The part of the platform whose scrape it reads, where it names one."""
        return next((value for label, _, value in self.matchers if label == "component"), "")


@dataclass(frozen=True, slots=True)
class Reading:
    """All that an expression reads."""

    selectors: tuple[Selector, ...]
    grouping: frozenset[str]
    """Labels that it groups, joins or copies by."""


@cache
def read(expression: str) -> Reading:
    """What `expression` reads.

    Raises:
        PromqlError: it is not PromQL.
    """
    try:
        nodes: list[parser.Expr] = []
        parser.walk(parser.parse(expression), nodes.append)
    except ValueError as error:
        raise PromqlError(str(error)) from error
    selectors = [_selector(node) for node in nodes if isinstance(node, parser.VectorSelector)]
    return Reading(tuple(selectors), frozenset(label for node in nodes for label in _labels(node)))


def _selector(node: parser.VectorSelector) -> Selector:
    matchers = [(one.name, _operator(one), one.value) for one in node.matchers.matchers if one.name != "__name__"]
    return Selector(node.name or "", tuple(matchers))


def _operator(matcher: parser.Matcher) -> str:
    return str(matcher.op).rpartition(".")[2]


def _labels(node: parser.Expr) -> Iterable[str]:
    if isinstance(node, parser.AggregateExpr) and node.modifier:
        return node.modifier.labels
    if isinstance(node, parser.BinaryExpr) and node.modifier and node.modifier.matching:
        return node.modifier.matching.labels
    return ()
