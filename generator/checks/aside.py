"""A check in a process of its own, beside the others: a large fleet is judged on two cores.

A fork has all that was read and rendered without a copy being made, and gives back only its findings.
"""

import os
import pickle
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from generator.finding import CannotRunError, Finding

Check = Callable[[], Iterable[Finding]]


def can_be_aside() -> bool:
    """Whether there is a second core, and a system that can fork."""
    return hasattr(os, "fork") and len(os.sched_getaffinity(0)) > 1


def aside(check: Check) -> Callable[[], list[Finding]]:
    """Start a check; the call that comes back waits for its findings, and raises what the check raised."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _answer(theirs, check)
    os.close(theirs)
    return lambda: _result(ours, child)


def _answer(pipe: int, check: Check) -> None:
    """The child's whole life: nothing of the parent's, such as half-written output, may be finished by it."""
    status = 1
    try:
        with os.fdopen(pipe, "wb") as stream:
            stream.write(_packed(check))
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, it must be seen, and must not unwind what is the parent's
        traceback.print_exc()
    finally:
        os._exit(status)


def _packed(check: Check) -> bytes:
    answer: Any
    try:
        answer = list(check())
    except CannotRunError as error:
        answer = error
    return pickle.dumps(answer)


def _result(pipe: int, child: int) -> list[Finding]:
    with os.fdopen(pipe, "rb") as stream:
        packed = stream.read()
    os.waitpid(child, 0)
    if not packed:
        raise ChildProcessError("a check ended without an answer")
    answer = pickle.loads(packed)  # noqa: S301 - written by our own child, through a pipe that nobody else has
    if isinstance(answer, CannotRunError):
        raise answer
    found: list[Finding] = answer
    return found
