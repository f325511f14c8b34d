"""The workflow of the images: what is published was scanned, is signed by its digest, and no image is forgotten."""

from pathlib import Path
from typing import Any

import yaml

from tests.images.test_dockerfiles import FILES, targets

ROOT = Path(__file__).parents[2]
JOBS: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/images.yml").read_text("utf-8"))["jobs"]
PUBLISH = JOBS["publish"]
INCLUDED = PUBLISH["strategy"]["matrix"]["include"]


def commands() -> str:
    return "\n".join(step.get("run", "") for step in PUBLISH["steps"])


def test_every_image_and_every_target_is_published() -> None:
    built = {(each["file"], each["target"]) for each in INCLUDED}
    assert built
    for path in FILES:
        for stage in targets(path):
            assert (str(path.relative_to(ROOT)), stage.name) in built
    for each in INCLUDED:
        assert (ROOT / each["context"]).is_dir()
        assert (ROOT / each["lock"]).is_file()


def test_only_a_tag_that_was_scanned_is_published_with_no_more_rights_than_that_takes() -> None:
    assert PUBLISH["needs"] == "scan"
    assert PUBLISH["if"] == "github.event_name == 'push'"
    assert JOBS["scan"]["permissions"] == {"contents": "read"}
    assert PUBLISH["permissions"] == {"contents": "read", "packages": "write", "id-token": "write"}
    assert JOBS["scan"]["steps"][-1]["run"] == "make scan"


def test_what_is_signed_is_named_by_the_digest_that_was_pushed() -> None:
    text = commands()
    assert "RepoDigests" in text
    for command in ("cosign sign --yes", "cosign attest --yes --type cyclonedx --predicate sbom.cdx.json"):
        assert f'{command} "$PUSHED"' in text
    assert text.index("docker push") < text.index("cosign sign")


def test_the_token_reaches_only_the_step_that_pushes() -> None:
    assert [step["name"] for step in PUBLISH["steps"] if "github.token" in str(step.get("env", {}))] == ["push"]
