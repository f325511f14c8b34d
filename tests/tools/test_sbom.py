"""A bill of materials says what the lock says, in the form that scanners read."""

import json
from pathlib import Path

import pytest

from tools.sbom import document, main, packages

ROOT = Path(__file__).parents[2]
A, B = "a" * 64, "b" * 64
LOCK = f"""\
# a comment
Two_Words.x[extra]==1.0+cpu ; sys_platform == "linux" \\
    --hash=sha256:{A} \\
    --hash=sha256:{B}
    # via something==9.9
zlib==2.0 \\
    --hash=sha256:{B}
"""


def test_a_package_keeps_its_name_version_and_hashes() -> None:
    first, second = packages(LOCK)
    assert (first.purl, first.digests) == ("pkg:pypi/two-words-x@1.0%2Bcpu", (A, B))
    assert (second.name, second.version, second.digests) == ("zlib", "2.0", (B,))


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_every_package_of_a_lock_is_a_component(target: str) -> None:
    path = ROOT / "images" / "inference" / "requirements" / f"{target}.txt"
    lock = path.read_text("utf-8")
    made = document("image", "v", lock)
    assert len(made["components"]) == sum(
        "==" in line and not line.startswith((" ", "#")) for line in lock.splitlines()
    )
    digests = [sum_ for each in made["components"] for file in each["externalReferences"] for sum_ in file["hashes"]]
    assert len(digests) == lock.count("--hash=sha256:")
    assert len({each["bom-ref"] for each in made["components"]}) == len(made["components"])


def test_the_command_writes_the_document_or_says_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(LOCK)
    assert main(["server", "v1", str(lock)]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["bomFormat"], made["metadata"]["component"]["version"]) == ("CycloneDX", "v1")
    assert main(["server", "v1", str(tmp_path / "none.txt")]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert main([]) == 1
