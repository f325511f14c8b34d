"""CEL as an API server speaks it: which names and functions there are, and an error's line and column.

There are two environments. In the one that *checks*, a quantity is opaque, so that `quantity(a) > 1` is an error here
as it is there; the one that *evaluates* carries it as a map, because the library runs no opaque values of ours.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_optional, ext_strings

from generator.quantity import is_quantity, to_quantity

NAMES = ("object", "oldObject", "request", "params", "namespaceObject")
ERROR = re.compile(r"ERROR: <input>:(?P<line>\d+):(?P<column>\d+): (?P<text>.*)")
UNDECLARED = re.compile(r"undeclared reference to '([^']+)'")
ONLY_IN_KUBERNETES = frozenset(
    {
        *("authorizer", "url", "isURL", "ip", "isIP", "cidr", "isCIDR", "semver", "isSemver", "namedFormat"),
        *("getScheme", "getHost", "getHostname", "getPort", "getEscapedPath", "getQuery", "find", "findAll"),
        *("isSorted", "sum", "min", "max", "indexOf", "lastIndexOf", "sets", "format", "validate", "compareTo"),
        *("isLessThan", "asInteger", "asApproximateFloat", "isInteger", "sign", "add", "sub", "all", "exists"),
        *("transformList", "transformMap", "transformMapEntry", "existsOne"),
    }
)
"""What an API server knows and we do not, at least not in every form: no mistake, but not judged here."""
Quantity = dict[str, str]
Activation = cel.Activation


class CelError(Exception):
    """An expression that does not compile, with the position in it; both numbers count from 1."""

    def __init__(self, line: int, column: int, text: str, undeclared: frozenset[str] = frozenset()) -> None:
        super().__init__(text)
        self.line = line
        self.column = column
        self.beyond_us = sorted(undeclared & ONLY_IN_KUBERNETES)
        """Names that an API server knows and we do not."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What CEL says in place of a value."""

    text: str


class Program:
    """A compiled expression."""

    __slots__ = ("_expression",)

    def __init__(self, expression: cel.Expression) -> None:
        self._expression = expression

    def run(self, given: cel.Activation) -> Any:
        """The value, or a `Failure`."""
        try:
            value = self._expression.eval(given)
        except RuntimeError as error:
            return Failure(_first_line(str(error)))
        plain = value.plain_value()
        return Failure(_first_line(str(plain))) if value.type() == cel.Type.ERROR else plain


@cache
def check(text: str, *results: str) -> None:
    """Compile as strictly as an API server does; once, since the policies of both sides of a plan are mostly the same.

    Args:
        text: The expression.
        results: Names of the types that it may have; any without them.

    Raises:
        CelError: it does not compile, or has another type.
    """
    found = _compile(_checking(), text).return_type().name()
    if results and found not in results:
        raise CelError(
            1, 1, f"must be of the type {' or '.join(each.lower() for each in results)}, not {found.lower()}"
        )


@cache
def compile_(text: str) -> Program:
    """Compile for evaluation what has been checked: its types need no second look, and the same text no second time.

    Raises:
        CelError: it is nested too deeply for the library.
    """
    return Program(_compile(_evaluating(), text, disable_check=True))


def given(**values: Any) -> cel.Activation:
    """Values by name, in the library's own form: turning objects into it is most of an evaluation, and is done once."""
    return _evaluating().Activation({**dict.fromkeys(NAMES), **values})


def literal(value: Any) -> str:
    """Plain data as CEL spells it."""
    return f"dyn({json.dumps(value, ensure_ascii=False)})"


def _compile(environment: cel.Env, text: str, *, disable_check: bool = False) -> cel.Expression:
    try:
        return environment.compile(text, disable_check=disable_check)
    except RuntimeError as error:
        found = ERROR.search(str(error))
        if found is None:
            raise CelError(1, 1, _first_line(str(error))) from None
        undeclared = frozenset(name.split(".")[0] for name in UNDECLARED.findall(str(error)))
        raise CelError(int(found["line"]), int(found["column"]), _plain(found["text"]), undeclared) from None


def _first_line(text: str) -> str:
    return _plain(text.partition("\n")[0])


def _plain(text: str) -> str:
    """Without the library's own marks."""
    return re.sub(r" \(in container ''\)| \[[A-Z_]+\]$|^[A-Z_]+: ", "", text.strip())


@cache
def _checking() -> cel.Env:
    return _environment(cel.Type.AbstractType("kubernetes.Quantity"))


@cache
def _evaluating() -> cel.Env:
    return _environment(cel.Type.Map(cel.Type.STRING, cel.Type.STRING))


def _environment(quantity: cel.Type) -> cel.Env:
    text, truth = cel.Type.STRING, cel.Type.BOOL
    functions = [
        _function("quantity", "string_to_quantity", quantity, [text], lambda given: _carried(to_quantity(given))),
        _function("isQuantity", "is_quantity_string", truth, [text], is_quantity),
        _function("isGreaterThan", "quantity_is_greater_than", truth, [quantity, quantity], _greater, member=True),
    ]
    return cel.NewEnv(
        variables=dict.fromkeys(NAMES, cel.Type.DYN),
        extensions=[ext_strings.ExtStrings(), ext_optional.ExtOptional(), ext_bindings.ExtBindings()],
        functions=functions,
    )


def _function(
    name: str,
    overload: str,
    result: cel.Type,
    parameters: list[cel.Type],
    run: Callable[..., Any],
    *,
    member: bool = False,
) -> cel.FunctionDecl:
    return cel.FunctionDecl(name, [cel.Overload(overload, result, parameters, member, run)])


def _carried(value: Fraction) -> Quantity:
    """One form for one amount, so that equal quantities are equal."""
    return {"quantity": str(value)}


def _greater(one: Quantity, other: Quantity) -> bool:
    return Fraction(one["quantity"]) > Fraction(other["quantity"])
