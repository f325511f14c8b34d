"""Is the image built from what is pinned, by nobody in particular, and for the pod that is rolled out?

Read from the Dockerfile, since no test reaches a registry.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.settings import Settings
from tests.installation.rendered import NAME, NAMESPACE, container, rendered_objects

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "images" / "reconciler"
LOCK = "requirements/reconciler.txt"


@dataclass(frozen=True, slots=True)
class Instruction:
    name: str
    text: str


def instructions(text: str) -> list[Instruction]:
    """Comments left out, continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = (line.split(maxsplit=1) for line in joined.splitlines())
    return [Instruction(name.upper(), " ".join(rest.split())) for name, rest in found]


DOCKERFILE = instructions((FOLDER / "Dockerfile").read_text())


def named(name: str, among: list[Instruction] = DOCKERFILE) -> list[str]:
    return [each.text for each in among if each.name == name]


def last_stage() -> list[Instruction]:
    start = max(index for index, each in enumerate(DOCKERFILE) if each.name == "FROM")
    return DOCKERFILE[start:]


def test_each_stage_begins_with_a_base_by_a_digest_that_nobody_presumes() -> None:
    bases = [text.split()[0] for text in named("FROM")]
    assert len(bases) == 2
    assert set(bases) == {"${BASE}@${DIGEST}"}
    arguments = named("ARG", DOCKERFILE[: DOCKERFILE.index(next(each for each in DOCKERFILE if each.name == "FROM"))])
    assert "DIGEST" in arguments
    (base,) = [text.partition("=")[2] for text in arguments if text.startswith("BASE=")]
    assert "@" not in base


def test_nothing_is_fetched_but_by_pip_with_hashes_and_without_a_compiler() -> None:
    assert named("ADD") == []
    runs = named("RUN")
    assert not [run for run in runs if re.search(r"\b(curl|wget|apt|apt-get|git|gcc|make)\b", run)]
    (install,) = [part for run in runs for part in run.split("&&") if "install" in part]
    words = shlex.split(install)
    assert "--require-hashes" in words
    assert "--no-deps" in words
    assert words[words.index("--only-binary") + 1] == ":all:"
    assert words[words.index("-r") + 1] == "/build/reconciler.txt"
    assert not [word for word in words if "://" in word]


def test_the_last_stage_runs_nothing_as_root_and_holds_no_installer_of_ours() -> None:
    stage = last_stage()
    assert named("RUN", stage) == []
    (user,) = named("USER", stage)
    ids = user.split(":")
    assert all(each.isdecimal() and int(each) > 0 for each in ids)
    assert stage.index(Instruction("USER", user)) < stage.index(
        Instruction("ENTRYPOINT", named("ENTRYPOINT", stage)[0])
    )
    (environment,) = named("ENV", stage)
    assert "HOME=/" in shlex.split(environment)  # a user by number has none, and a library that asks ends the start
    (venv,) = [run for run in named("RUN") if " venv " in run]
    assert "--without-pip" in venv


@pytest.mark.parametrize("cluster", ["dev", "prod"])
def test_the_pod_and_the_image_agree(cluster: str) -> None:
    """On who runs, on the ports, and that the pod leaves the command to the image."""
    pod = rendered_objects(cluster)["Deployment", NAMESPACE, NAME]["spec"]["template"]["spec"]["securityContext"]
    assert named("USER") == [f"{pod['runAsUser']}:{pod['runAsGroup']}"]
    settings = Settings()
    assert named("EXPOSE") == [f"{settings.metrics_port} {settings.health_port}"]
    assert not {"command", "args"} & container(cluster).keys()
    assert named("ENTRYPOINT") == ['["python", "-m", "reconciler"]']


def test_what_it_says_of_itself() -> None:
    (label,) = named("LABEL")
    keys = {pair.partition("=")[0] for pair in shlex.split(label)}
    assert keys == {f"org.opencontainers.image.{key}" for key in ("title", "description", "licenses", "revision")}
    assert named("HEALTHCHECK") == []


def test_only_what_is_copied_is_sent_to_the_builder() -> None:
    lines = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    copied = {text.split()[0] for text in named("COPY") if not text.startswith("--from=")}
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied == {LOCK, "reconciler"}
    assert all((ROOT / path).exists() for path in copied)


def test_each_line_of_the_lock_has_hashes() -> None:
    """`--require-hashes` would refuse it, but only where the image is built."""
    text = (ROOT / LOCK).read_text().replace("\\\n", " ")
    packages = [line for line in text.splitlines() if re.match(r"[a-z0-9]", line)]
    assert packages
    assert not [line for line in packages if "--hash=sha256:" not in line]
    assert not [line for line in packages if "==" not in line]
