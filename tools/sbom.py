"""Of what is an image made? A CycloneDX document of a hashed lock: each package, its version and its hashes.

The lock says everything that such a document needs, and the image installs nothing else; `make image-test` compares
the two. So no scanner has to guess from a finished image.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPECIFICATION = "1.6"
PINNED = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?==(?P<version>[^ ;\\]+)")
HASH = re.compile(r"--hash=sha256:(?P<digest>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Package:
    """A package of the lock; `name` is in the index's own spelling."""

    name: str
    version: str
    digests: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, version: str, digests: tuple[str, ...] = ()) -> "Package":
        return cls(re.sub(r"[-_.]+", "-", name).lower(), version, digests)

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version.replace('+', '%2B')}"


def packages(lock: str) -> Iterator[Package]:
    """The packages of a lock in requirements format, hashes on the lines that follow."""
    for block in re.split(r"\n(?=[A-Za-z0-9])", "\n" + lock):
        pinned = PINNED.match(block.strip())
        if pinned:
            yield Package.of(
                pinned["name"], pinned["version"], tuple(found["digest"] for found in HASH.finditer(block))
            )


def document(name: str, version: str, lock: str) -> dict[str, Any]:
    """The bill of materials of an image; the same lock always gives the same document."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": name, "name": name, "version": version}},
        "components": [_component(package) for package in sorted(packages(lock), key=lambda each: each.purl)],
    }


def _component(package: Package) -> dict[str, Any]:
    """The hashes are those of all files that may be installed as this version: one for each platform."""
    files = [{"type": "distribution", "url": package.purl, "hashes": [{"alg": "SHA-256", "content": digest}]}
             for digest in package.digests]  # fmt: skip
    return {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "externalReferences": files,
    }


def main(arguments: list[str]) -> int:
    """`python -m tools.sbom NAME VERSION LOCK` writes the document to stdout."""
    if len(arguments) != 3:  # noqa: PLR2004 -- as many as the line above names
        sys.stderr.write("usage: python -m tools.sbom NAME VERSION LOCK\n")
        return 1
    name, version, lock = arguments
    try:
        text = Path(lock).read_text(encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"`{lock}` cannot be read: {error.strerror}\n")
        return 1
    json.dump(document(name, version, text), sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
