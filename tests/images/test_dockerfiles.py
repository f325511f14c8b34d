"""What a Dockerfile must not do: trust a tag, install what no hash names, run as root, or lose a signal in a shell."""

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
INFERENCE = ROOT / "images" / "inference"
FILES = sorted((ROOT / "images").glob("*/Dockerfile"))
every_dockerfile = pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)


@dataclass(frozen=True)
class Line:
    """One instruction, its continuation lines joined."""

    word: str
    rest: str


@dataclass(frozen=True)
class Stage:
    base: str
    name: str
    lines: Sequence[Line]

    def last(self, word: str) -> str:
        return next((line.rest for line in reversed(self.lines) if line.word == word), "")


def instructions(path: Path) -> Iterator[Line]:
    text = re.sub(r"^\s*#.*\n", "", path.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(str.strip, text.splitlines()):
        word, _, rest = line.strip().partition(" ")
        yield Line(word.upper(), rest.strip())


def stages(path: Path) -> list[Stage]:
    """Each stage with what it takes over from the stages before it."""
    found: list[Stage] = []
    for line in instructions(path):
        if line.word == "FROM":
            base, _, name = line.rest.partition(" AS ")
            inherited = next((list(stage.lines) for stage in found if stage.name == base), [])
            found.append(Stage(base, name, inherited))
        elif found:
            stage = found.pop()
            found.append(Stage(stage.base, stage.name, [*stage.lines, line]))
    return found


def targets(path: Path) -> list[Stage]:
    """The stages that become images: those that no other stage uses."""
    all_ = stages(path)
    used = {stage.base for stage in all_} | {name for stage in all_ for line in stage.lines for name in _copied(line)}
    return [stage for stage in all_ if stage.name not in used or not stage.name]


def _copied(line: Line) -> list[str]:
    return re.findall(r"--from=(\S+)", line.rest) if line.word == "COPY" else []


@every_dockerfile
def test_every_base_is_named_by_a_digest_that_the_builder_gives(path: Path) -> None:
    names = {stage.name for stage in stages(path)}
    for stage in stages(path):
        assert stage.base == "${BASE}@${DIGEST}" or stage.base in names
    assert [line.rest for line in instructions(path) if line.word == "ARG" and "DIGEST" in line.rest] == ["DIGEST"]


@every_dockerfile
def test_only_wheels_whose_hash_is_locked_are_installed(path: Path) -> None:
    runs = [line.rest for line in instructions(path) if line.word == "RUN"]
    installs = [run for run in runs if re.search(r"\bpip\b.*\binstall\b", run)]
    assert installs
    for run in installs:
        assert {"--require-hashes", "--no-deps", "--only-binary"} <= set(run.split())
    assert not [run for run in runs if re.search(r"\b(curl|wget|git)\b", run)]
    assert not [line for line in instructions(path) if line.word == "ADD"]
    for stage in targets(path):
        assert not [
            line for line in stage.lines if line.word == "RUN" and re.search(r"\b(apt|apt-get|gcc)\b", line.rest)
        ]


@every_dockerfile
def test_every_image_runs_without_rights_and_hears_signals(path: Path) -> None:
    assert targets(path)
    for stage in targets(path):
        assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", stage.last("USER"))
        started = stage.last("ENTRYPOINT") or stage.last("CMD")
        assert all(isinstance(word, str) for word in json.loads(started))
        assert "org.opencontainers.image.revision" in " ".join(
            line.rest for line in stage.lines if line.word == "LABEL"
        )


@every_dockerfile
def test_what_is_copied_is_there_and_reaches_the_build(path: Path) -> None:
    context = path.parent if (path.parent / ".dockerignore").exists() else ROOT
    ignore = context / ".dockerignore" if context == path.parent else path.with_name("Dockerfile.dockerignore")
    let_through = [line[1:] for line in ignore.read_text("utf-8").splitlines() if line.startswith("!")]
    assert ignore.read_text("utf-8").splitlines()[1] == "*"
    for line in instructions(path):
        if line.word == "COPY" and "--from=" not in line.rest:
            for source in line.rest.split()[:-1]:
                assert (context / source).exists()
                assert any(source == each or source.startswith(f"{each}/") for each in let_through)


def test_the_server_s_images_fit_the_rendered_pods() -> None:
    """User, folders and programs are a contract between the image and the templates."""
    workspace = yaml.safe_load((ROOT / "clusters/dev/blob-download/workspace.yaml").read_text("utf-8"))
    pod = workspace["inference"]["template"]["spec"]
    paths = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    for stage in targets(INFERENCE / "Dockerfile"):
        wanted = f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
        assert stage.last("USER") == wanted
        environment = " ".join(line.rest for line in stage.lines if line.word == "ENV")
        folders = re.findall(r"\b(?:HOME|[A-Z_]*(?:CACHE_HOME|CACHE_DIR|CACHE_ROOT|HF_HOME))=(/\w+)", environment)
        assert len(folders) >= 6
        assert set(folders) <= paths
        assert stage.last("HEALTHCHECK").partition("CMD ")[2].startswith('["')
        assert stage.last("EXPOSE") == str(pod["containers"][0]["ports"][0]["containerPort"])
    for container in (*pod["initContainers"], *pod["containers"]):
        assert (INFERENCE / "bin" / container["command"][0]).is_file()
    assert (INFERENCE / "workspace" / "tfs" / "inference_api.py").is_file()


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_a_lock_holds_what_its_target_asks_for(target: str) -> None:
    folder = INFERENCE / "requirements"
    wanted = re.findall(r"^([a-z][a-z0-9-]*)", (folder / f"{target}.in").read_text("utf-8"), re.MULTILINE)
    lock = (folder / f"{target}.txt").read_text("utf-8")
    locked = re.findall(r"^([a-z0-9][a-z0-9._-]*)==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE)
    assert set(wanted) <= set(locked)
    assert len(locked) == len(re.findall(r"^[a-z0-9][a-z0-9._-]*(?:\[.*\])?==", lock, re.MULTILINE))
    assert ("vllm" in locked) is (target == "gpu")


def test_triton_s_compiler_knows_one_module(tmp_path: Path) -> None:
    """Triton calls it as a compiler; anything else that asks for one is told that there is none."""
    (tmp_path / "KEY").mkdir()
    (tmp_path / "KEY" / "cuda_utils.cpython-311-x86_64-linux-gnu.so").write_bytes(b"module")
    command = [
        str(INFERENCE / "bin" / "triton-module"),
        "-O3",
        "-shared",
        "-o",
        str(tmp_path / "out.so"),
        "-l:libcuda.so.1",
    ]
    environment = {"PATH": "/usr/bin:/bin", "TRITON_MODULE": str(tmp_path)}
    for source, code in (("cuda_utils.c", 0), ("kernel.c", 1)):
        done = subprocess.run(
            [*command, f"{tmp_path}/{source}"], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code
        assert ("no compiler" in done.stderr) is bool(code)
    assert (tmp_path / "out.so").read_bytes() == b"module"
