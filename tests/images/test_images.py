"""The images, built for real and started as Kubernetes would start them."""

import importlib.metadata
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images import containers
from tests.images.containers import Image, Pod, built, started
from tools.sbom import Package, packages

pytestmark = [pytest.mark.image, pytest.mark.slow]
IMAGES = containers.ROOT / "images"
INFERENCE = IMAGES / "inference"
COMPILERS = re.compile(r"(.*-)?(gcc|g\+\+|cc|c\+\+|clang|tcc|ld|as|make|nvcc)(-\d+)?")
COMMAND = ("accelerate", "launch", "--num_processes", "1", "--num_machines", "1", "tfs/inference_api.py",
           "--pipeline", "text-generation", "--trust_remote_code", "--allow_remote_files",
           "--pretrained_model_name_or_path", "/models/tiny", "--torch_dtype", "float32")  # fmt: skip
MAKE_MODEL = "import sys; sys.path.insert(0, '/source'); from pathlib import Path; from tests import models; "
MAKE_MODEL += "models.save(Path('/models/tiny'), models.llama())"
ASK = """
import json, sys, time, urllib.error, urllib.request

def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request("http://127.0.0.1:5000" + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)

for _ in range(600):
    try:
        ask("/health")
        break
    except (urllib.error.URLError, ConnectionError):
        time.sleep(0.2)
body = {"messages": [{"role": "user", "content": "count"}], "max_tokens": 8, "temperature": 0}
prompt = {"prompt": "one two", "return_full_text": False, "generate_kwargs": {"max_length": 16, "do_sample": False}}
model = ask("/v1/models")["data"][0]["id"]
print(json.dumps({"openai": ask("/v1/chat/completions", body | {"model": model}), "kaito": ask("/chat", prompt)}))
"""


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    reason = containers.missing()
    if reason:
        pytest.skip(reason)
    containers.install_tools()


@pytest.fixture(scope="session")
def server() -> Iterator[Image]:
    with built("inference", INFERENCE, target="cpu") as image:
        yield image


@pytest.fixture
def volumes(tmp_path: Path) -> dict[str, Path]:
    """The pod's emptyDirs, which the group of its user may write."""
    made = {path: tmp_path / path.strip("/") for path in ("/cache", "/tmp", "/models")}  # noqa: S108 -- a volume of the pod's own
    for folder in made.values():
        folder.mkdir()
        os.chown(folder, 10001, 10001)
    return made


def check_hardened(image: Image) -> None:
    """No rights, no compiler, nothing that changes the user; what it is says its label."""
    user = image.settings["User"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert re.fullmatch(r"[0-9a-f]{40}", image.settings["Labels"]["org.opencontainers.image.revision"])
    assert image.settings["Labels"]["org.opencontainers.image.licenses"] == "MIT"
    programs = {path.name: path for path in image.files() if os.access(path, os.X_OK) and "bin" in path.parts}
    assert not [str(path) for name, path in programs.items() if COMPILERS.fullmatch(name)]
    assert programs


def test_the_server_s_image_is_hardened(server: Image) -> None:
    check_hardened(server)
    assert not [path for path in server.files() if path.stat().st_mode & 0o6000]
    assert server.settings["StopSignal"] == "SIGTERM"
    assert server.settings["Cmd"][0] == "accelerate"
    written = server.root / "opt/server/lib/python3.11/site-packages"
    assert not (written / "pip").exists()
    assert (server.root / "workspace/tfs/inference_api.py").is_file()


def test_the_bill_of_materials_is_what_the_image_holds(server: Image) -> None:
    folder = server.root / "opt/server/lib/python3.11/site-packages"
    found = {Package.of(each.name, each.version).purl for each in importlib.metadata.distributions(path=[str(folder)])}
    assert found == {package.purl for package in packages((INFERENCE / "requirements/cpu.txt").read_text())}


def test_it_chats_by_the_manifest_s_command_and_ends_on_sigterm(server: Image, volumes: dict[str, Path]) -> None:
    with started(server, ["python3", "-c", MAKE_MODEL], volumes | {"/source": INFERENCE}) as making:
        _, complaint = making.process.communicate(timeout=300)
        assert making.process.returncode == 0, complaint
    with started(server, COMMAND, volumes) as pod:
        answers = json.loads(pod.run("python3", "-c", ASK))
        assert answers["openai"]["choices"][0]["message"]["role"] == "assistant"
        assert answers["openai"]["usage"]["completion_tokens"] > 0
        assert isinstance(answers["kaito"]["Result"], str)
        check_health_check(pod)
        os.kill(pod.pid, signal.SIGTERM)
        _, log = pod.process.communicate(timeout=60)
        assert pod.process.returncode == 0, log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert lines
    assert not [line for line in lines if line["level"] == "error"]


def check_health_check(pod: Pod) -> None:
    kind, *words = pod.image.settings["Healthcheck"]["Test"]
    assert kind == "CMD"
    pod.run(*words)


def test_the_fetcher_starts_in_the_init_container(server: Image, volumes: dict[str, Path]) -> None:
    words = ("fetch-weights", "azureblob", "--account", "examplemodels", "--container", "models", "--prefix", "m",
             "--into", "/models/m")  # fmt: skip
    with started(server, words, {path: volumes[path] for path in ("/tmp", "/models")}) as pod:  # noqa: S108 -- a volume of the pod's own
        _, log = pod.process.communicate(timeout=60)
    assert pod.process.returncode == 2
    assert "the pod has no workload identity" in json.loads(log.splitlines()[-1])["message"]


@pytest.mark.skipif(not (IMAGES / "reconciler").is_dir(), reason="this tree has no image of the reconciler")
def test_the_reconciler_s_image_starts(tmp_path: Path) -> None:
    with built("reconciler", containers.ROOT) as image:
        check_hardened(image)
        with started(image, [*image.settings["Entrypoint"], "--help"], {"/tmp": tmp_path}) as pod:  # noqa: S108 -- a volume of the pod's own
            _, complaint = pod.process.communicate(timeout=60)
        assert pod.process.returncode == 0, complaint
