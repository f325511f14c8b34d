"""The examples beside the policies: what each must let in, and what it must refuse.

A file holds one object, or two: the object before an update and after it. `# as: USER` names who asks, and
`# also: POLICY ...` other policies that the same mistake breaks.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from generator.document import Body
from generator.policy import Admission
from generator.policy.admission import ANYBODY

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "policies" / "examples"
ALSO = re.compile(r"^# also: (.+)$", re.MULTILINE)
USER = re.compile(r"^# as: (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Example:
    policy: str
    name: str
    admission: Admission
    also: tuple[str, ...] = ()

    @property
    def is_accepted(self) -> bool:
        return self.name.startswith("accepted-")

    @property
    def expected(self) -> set[str]:
        """The policies that must refuse it."""
        return set() if self.is_accepted else {self.policy, *self.also}

    def __str__(self) -> str:
        return f"{self.policy}/{self.name}"


def read_examples() -> Iterator[Example]:
    for path in sorted(FOLDER.glob("*/*.yaml")):
        text = path.read_text("utf-8")
        user = USER.search(text)
        *old, body = yaml.load_all(text, yaml.CSafeLoader)
        admission = Admission(body, old[0] if old else None, user[1] if user else ANYBODY)
        also = ALSO.search(text)
        yield Example(path.parent.name, path.stem, admission, tuple(also[1].split()) if also else ())


def parameters() -> Body:
    found: Body = yaml.load((FOLDER / "parameters.yaml").read_text("utf-8"), yaml.CSafeLoader)
    return found
