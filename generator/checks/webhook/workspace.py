"""Is the Workspace as a whole well formed: its name, its one job, and annotations that have an effect?"""

import re
from collections.abc import Iterator

from generator.checks.webhook.setting import Setting
from generator.checks.webhook.view import View
from generator.finding import Finding

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
CASELESS = frozenset({"kaito.sh/node-image-family"})
"""Annotations whose values KAITO compares without regard to case."""


def name(view: View, _: Setting) -> Iterator[Finding]:
    if not DNS_LABEL.fullmatch(view.name):
        text = "is not a DNS-1123 label"
        hint = "use at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends"
        yield view.finding("name", "metadata.name", text, hint)


def one_job(view: View, _: Setting) -> Iterator[Finding]:
    present = [job for job in ("inference", "tuning") if getattr(view, job) is not None]
    if view.kind == "Workspace" and len(present) != 1:
        got = "both" if present else "neither"
        hint = "a Workspace either serves a model or tunes one"
        yield view.finding("one-job", "inference", f"and `tuning`: exactly one must be set, here {got}", hint)


def annotations(view: View, setting: Setting) -> Iterator[Finding]:
    for key, allowed in setting.facts.admission.annotations.items():
        if key in view.annotations and not _takes(key, view.annotations[key], allowed):
            listed = " or ".join(f'`"{value}"`' for value in allowed)
            text = f"is `{view.annotations[key]}`, which KAITO does not take"
            yield view.finding("annotation", f"{view.paths.annotations}[{key}]", text, f"use {listed}, or leave it out")


def _takes(key: str, value: object, allowed: tuple[str, ...]) -> bool:
    if not isinstance(value, str):
        return False
    return (value.lower() if key in CASELESS else value) in allowed


RULES = (name, one_job, annotations)
