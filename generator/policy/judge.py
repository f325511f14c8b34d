"""Which policies does an object break, and what do they say?

Nearly every object breaks none. So all policies of one resource are joined into one expression that is true when none
is broken; only an object for which it is anything else is judged policy by policy. Joining never changes a verdict: a
conditional passes errors on, and "true" is the only answer that is believed.
"""

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from generator.document import Body
from generator.finding import Finding
from generator.policy.admission import Admission, group_version, plural
from generator.policy.cel import Activation, CelError, Failure, Program, compile_, given, literal
from generator.policy.compiler import CompiledPolicy, compile_policy, names_in
from generator.policy.shape import Rule
from generator.policy.source import Policy

Resource = tuple[str, str, str]
"""Group, version and resource."""
Asked = tuple[str | None, str | None, str]
"""API version, kind and operation: what decides which policies judge an object."""
REQUEST = re.compile(r"\brequest\b(?:\.(\w+))?")
REQUEST_FIELDS = frozenset({"kind", "resource", "operation", "name", "namespace", "userInfo", "dryRun"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """One demand that an object does not meet, in the policy's own words."""

    policy: Policy
    message: str
    demand: int | None = None
    """Which of the policy's demands; none where the policy could not be evaluated."""


class Judge:
    """The policies, compiled, with the parameters of one cluster."""

    def __init__(self, policies: Iterable[CompiledPolicy], parameters: Body | None) -> None:
        self._policies = tuple(policies)
        self._parameters = parameters
        self._benches: dict[Asked, _Bench] = {}
        self._joined: dict[tuple[CompiledPolicy, ...], Program | None] = {}

    def refusals(self, admission: Admission) -> list[Refusal]:
        """Everything that the policies have against an object; empty where they let it in."""
        asked = (admission.body.get("apiVersion"), admission.body.get("kind"), admission.operation)
        bench = self._benches.get(asked)
        if bench is None:
            bench = self._benches[asked] = self._bench(admission)
        if not bench.policies:
            return []
        known = {"object": admission.body, "oldObject": admission.old}
        if bench.joined is not None:
            request = {name: value for name, value in admission.request.items() if name in bench.asks}
            if bench.joined.run(given(**known, request=request)) is True:
                return []
        everything = given(**known, request=admission.request, params=self._parameters)
        return [refusal for each in bench.policies for refusal in _judged(each, everything)]

    def _bench(self, admission: Admission) -> "_Bench":
        resource = _resource(admission.body)
        policies = tuple(each for each in self._policies if _matches(each.policy.rules, resource, admission.operation))
        if policies not in self._joined:
            self._joined[policies] = _join(policies, self._parameters)
        return _Bench(policies, self._joined[policies], _asks(policies))


@dataclass(frozen=True, slots=True)
class _Bench:
    """What judges one kind of object."""

    policies: tuple[CompiledPolicy, ...]
    joined: Program | None
    asks: Container[str]
    """Fields of the request that the policies ask for: handing the others over would be in vain."""


def _asks(policies: Iterable[CompiledPolicy]) -> Container[str]:
    texts = " ".join(text for each in policies for text in each.texts)
    mentions = set(REQUEST.findall(texts))
    return REQUEST_FIELDS if "" in mentions else mentions


def compile_policies(policies: Iterable[Policy], findings: list[Finding]) -> list[CompiledPolicy]:
    """Those that can be judged; what is wrong with the others goes to `findings`."""
    compiled = (compile_policy(each, findings) for each in policies)
    return [each for each in compiled if each is not None]


def _resource(body: Body) -> Resource:
    group, version = group_version(body)
    return group, version, plural(str(body.get("kind", "")))


def _matches(rules: Iterable[Rule], resource: Resource, operation: str) -> bool:
    group, version, name = resource
    return any(
        _any(rule.api_groups, group)
        and _any(rule.api_versions, version)
        and _any(rule.operations, operation)
        and _any(rule.resources, name)
        for rule in rules
    )


def _any(allowed: Iterable[str], value: str) -> bool:
    return any(each in ("*", "*/*", value) for each in allowed)


def _judged(compiled: CompiledPolicy, known: Activation) -> Iterator[Refusal]:
    """The verdict of one policy; what cannot be evaluated is refused where the policy fails closed."""
    answers = [condition.run(known) for condition in compiled.condition_programs]
    if any(answer is False for answer in answers):
        return
    failures = [answer for answer in answers if isinstance(answer, Failure)]
    if failures:
        yield from _failed(compiled, failures[0])
        return
    for index, program in enumerate(compiled.demand_programs):
        answer = program.run(known)
        if isinstance(answer, Failure):
            yield from _failed(compiled, answer)
        elif answer is not True:
            yield Refusal(compiled.policy, _message(compiled, index, known), index)


def _failed(compiled: CompiledPolicy, failure: Failure) -> Iterator[Refusal]:
    if compiled.policy.fails_closed:
        yield Refusal(compiled.policy, f"cannot be judged, and is refused therefore: {failure.text}")


def _message(compiled: CompiledPolicy, index: int, known: Activation) -> str:
    """As an API server chooses: the message expression's text, if it is one line and not empty."""
    expression, demand = compiled.message_programs[index], compiled.policy.demands[index]
    said = expression.run(known) if expression else None
    if isinstance(said, str) and said.strip() and "\n" not in said:
        return said.strip()
    return demand.message.strip() or f"failed expression: {' '.join(demand.expression.text.split())}"


def _join(policies: Sequence[CompiledPolicy], parameters: Body | None) -> Program | None:
    """One expression for all of them; None where the library takes no expression that large.

    The parameters are part of it: turning them into the library's form for each object would take most of the time.
    """
    bound = {"params": literal(parameters), **_shared(policies)}
    alike: dict[tuple[str, ...], list[CompiledPolicy]] = defaultdict(list)
    for compiled in policies:
        alike[compiled.conditions].append(compiled)
    text = " && ".join(_guarded(conditions, group, bound) for conditions, group in alike.items()) or "true"
    bindings = "".join(f"cel.bind({name}, {text}, " for name, text in bound.items())
    try:
        return compile_(f"{bindings}{text}{')' * len(bound)}")
    except CelError:
        return None


def _shared(policies: Iterable[CompiledPolicy]) -> dict[str, str]:
    """The variables that several policies define alike, with those that they use themselves."""
    texts: dict[str, list[str]] = defaultdict(list)
    for compiled in policies:
        for name, text in compiled.variables.items():
            texts[name].append(text)
    bound: dict[str, str] = {}
    for compiled in policies:
        for name, text in compiled.variables.items():
            below = names_in(text)
            if (
                len(texts[name]) > 1
                and len(set(texts[name])) == 1
                and all(f"variables_{each}" in bound for each in below)
            ):
                bound[f"variables_{name}"] = text
    return bound


def _guarded(conditions: Sequence[str], policies: Iterable[CompiledPolicy], bound: Container[str]) -> str:
    """Policies with the same match conditions, as one text that is true when none of them is broken."""
    matched = " && ".join(f"({each})" for each in conditions) or "true"
    return f"(({matched}) ? ({' && '.join(_text(each, bound) for each in policies)}) : true)"


def _text(compiled: CompiledPolicy, bound: Container[str]) -> str:
    """One policy's demands, with the variables that are its own around them."""
    demands = " && ".join(f"({each})" for each in compiled.demands)
    for name, text in reversed(compiled.variables.items()):
        if f"variables_{name}" not in bound:
            demands = f"cel.bind(variables_{name}, {text}, {demands})"
    return demands
