"""A policy becomes programs; each mistake in it is said at its line and column.

A policy's variables are bound by name around the expression that uses them: evaluated when first needed and once, as an
API server does. A policy is checked as a whole; only one that is wrong is looked at expression by expression.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property

from generator.finding import Finding, Place, Severity
from generator.policy.cel import CelError, Program, check, compile_
from generator.policy.source import Expression, Policy

TOKEN = re.compile(
    r"""(?:[rR][bB]?|[bB][rR]?)?(?:'''.*?'''|\"\"\".*?\"\"\")|[rR](?:'[^'\n]*'|"[^"\n]*")"""
    r"""|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|//[^\n]*|(?<![\w.])variables\.(?P<name>\w+)""",
    re.DOTALL,
)
"""What may look like a variable and is none, and what is one."""
BOUND = re.compile(r"\bvariables_(\w+)")
NOT_EVALUATED = "policy/not-evaluated"
TRUTH, TEXT = "BOOL", "STRING"


class CompiledPolicy:
    """What judges an object, compiled when it is first needed; and its texts, for joining several policies."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.variables = {each.name: bound(each.expression.text) for each in policy.variables}
        """Name → text, in order; references to variables are spelled as bound names."""
        self.conditions = tuple(each.expression.text for each in policy.conditions)
        self.demands = tuple(bound(each.expression.text) for each in policy.demands)
        self.messages = tuple(
            bound(each.message_expression.text) if each.message_expression else "" for each in policy.demands
        )

    @property
    def texts(self) -> tuple[str, ...]:
        return (*self.conditions, *self.variables.values(), *self.demands, *self.messages)

    @cached_property
    def condition_programs(self) -> tuple[Program, ...]:
        return tuple(compile_(text) for text in self.conditions)

    @cached_property
    def demand_programs(self) -> tuple[Program, ...]:
        return tuple(self._compiled(text) for text in self.demands)

    @cached_property
    def message_programs(self) -> tuple[Program | None, ...]:
        return tuple(self._compiled(text) if text else None for text in self.messages)

    def _compiled(self, text: str) -> Program:
        return compile_(with_variables(text, self.variables)[0])


def compile_policy(policy: Policy, findings: list[Finding]) -> CompiledPolicy | None:
    """The policy, ready to judge; None where something in it is wrong, or beyond what can be judged here."""
    compiled = CompiledPolicy(policy)
    found = [_not_evaluated(policy, place, what) for place, what in policy.unjudged]
    found += [] if _is_sound(compiled) else list(_mistakes(policy))
    findings += found
    return None if found else compiled


def _is_sound(compiled: CompiledPolicy) -> bool:
    """Whether every expression is right and of its type, without a word on what is wrong."""
    messages = [text for text in compiled.messages if text]
    try:
        check(around(_listed((*compiled.conditions, *compiled.demands)), compiled.variables), f"LIST<{TRUTH}>")
        if messages:
            check(with_variables(_listed(messages), compiled.variables)[0], f"LIST<{TEXT}>")
    except CelError:
        return False
    return True


def _listed(texts: Iterable[str]) -> str:
    return f"[{', '.join(f'({text})' for text in texts)}]"


def _mistakes(policy: Policy) -> Iterator[Finding]:
    """What is wrong with each expression by itself; what uses a variable that is wrong is not blamed for it."""
    declared: dict[str, str] = {}
    broken: set[str] = set()
    for name, expression, kinds, sees_variables in _expressions(policy):
        text = bound(expression.text) if sees_variables else expression.text
        body, lines = with_variables(text, declared)
        try:
            if not broken.intersection(BOUND.findall(body)):
                check(body, *kinds)
        except CelError as error:
            broken.add(name)
            yield _said(policy, expression, error, lines)
        if name:
            declared[name] = text


def _expressions(policy: Policy) -> Iterator[tuple[str, Expression, tuple[str, ...], bool]]:
    """Each expression: the variable that it defines, if any, the types it may have, and whether it sees variables."""
    yield from (("", each.expression, (TRUTH,), False) for each in policy.conditions)
    yield from ((each.name, each.expression, (), True) for each in policy.variables)
    for demand in policy.demands:
        yield "", demand.expression, (TRUTH,), True
        if demand.message_expression:
            yield "", demand.message_expression, (TEXT,), True


def _said(policy: Policy, expression: Expression, error: CelError, lines: int) -> Finding:
    where = expression.place(error.line - lines, error.column) if error.line > lines else expression.first
    if error.beyond_us:
        return _not_evaluated(policy, where, " and ".join(f"`{name}`" for name in error.beyond_us))
    message = BOUND.sub(r"variables.\1", str(error))
    return Finding(where, "policy/cel", f"the expression is wrong: {message}")


def _not_evaluated(policy: Policy, where: Place, what: str) -> Finding:
    message = f"`{policy.name}` is not evaluated here, because it uses {what}: only an API server can judge it"
    return Finding(where, NOT_EVALUATED, message, "`kaitops validate --context` asks one", Severity.WARNING)


def bound(text: str) -> str:
    """References to variables spelled as bound names, each as long as before so that columns stay."""
    return TOKEN.sub(lambda found: f"variables_{found['name']}" if found["name"] else found[0], text)


def around(text: str, variables: dict[str, str]) -> str:
    """An expression inside bindings of variables."""
    before = "".join(f"cel.bind(variables_{name}, {value}\n,\n" for name, value in variables.items())
    return f"{before}{text}\n{')' * len(variables)}"


def with_variables(text: str, declared: dict[str, str]) -> tuple[str, int]:
    """The expression inside bindings of the variables that it needs, and the number of lines that come before it."""
    needed = {name: declared[name] for name in _needed(text, declared)}
    return around(text, needed), sum(value.count("\n") + 2 for value in needed.values())


def _needed(text: str, declared: dict[str, str]) -> list[str]:
    """The variables that a text uses, and those that they use themselves, in the order of declaration."""
    wanted = set(names_in(text))
    for name in reversed(declared):
        if name in wanted:
            wanted |= set(names_in(declared[name]))
    return [name for name in declared if name in wanted]


def names_in(text: str) -> Iterable[str]:
    """The variables that a text with bound names mentions."""
    return BOUND.findall(text)
