"""What does the cluster answer when one object is applied as a dry run, and what does that answer mean?"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from generator.checks.server.served import Resource
from generator.document import Document
from generator.kube import Answer, Kube

STAND_IN = "default"
"""The namespace that every cluster has: where an object is tried whose own is not there yet."""
REFUSED, FORBIDDEN, NOT_FOUND = 400, 403, 404
RIGHTS = re.compile(r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]*)"')
"""How the server says that a user lacks a right; quotas and policies answer 403 as well, in other words."""
NEEDS = re.compile(r'(?P<resource>[a-z]+)(?:\.[a-z0-9.-]+)? "(?P<name>[^"]+)" not found')
PREAMBLE = re.compile(r"^failed to create typed patch object \([^)]*\): (errors: )?")

Name = tuple[str, str, str]
"""Plural, namespace and name of an object."""


class Result(Enum):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    FORBIDDEN = "forbidden"
    """The user may not ask."""
    WAITS = "waits"
    """It cannot be judged before another object of ours is there."""


@dataclass(frozen=True, slots=True)
class Verdict:
    document: Document
    result: Result
    message: str = ""
    warnings: tuple[str, ...] = ()
    absent: str = ""
    """The object's namespace, where it is not there and another stood in."""


def try_object(kube: Kube, document: Document, resource: Resource, rendered: Collection[Name]) -> Verdict:
    """Apply one object as a dry run; `rendered` are all the objects that a sync would make."""
    body = document.body
    namespace, name = body["metadata"].get("namespace", STAND_IN), body["metadata"]["name"]
    answer = kube.dry_run(resource.path(name, namespace), body)
    if answer.status != NOT_FOUND or answer.about != "namespaces":
        return _judge(document, answer, namespace, rendered)
    moved = {**body, "metadata": {**body["metadata"], "namespace": STAND_IN}}
    answer = kube.dry_run(resource.path(name, STAND_IN), moved)
    return _judge(document, answer, namespace, rendered, absent=namespace)


def _judge(document: Document, answer: Answer, namespace: str, rendered: Collection[Name], absent: str = "") -> Verdict:
    if answer.status < REFUSED:
        return Verdict(document, Result.ACCEPTED, "", answer.warnings, absent)
    message, result = PREAMBLE.sub("", answer.message), Result.REFUSED
    needed = NEEDS.search(message)
    if answer.status == FORBIDDEN and (right := RIGHTS.search(message)):
        message, result = f"`{right['user']}` may not {right['verb']} `{right['resource']}`", Result.FORBIDDEN
    elif needed and (needed["resource"], namespace, needed["name"]) in rendered:
        result = Result.WAITS
    return Verdict(document, result, message, answer.warnings, absent)
