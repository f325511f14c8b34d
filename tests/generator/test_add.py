"""Does `kaitops add` write a valid entry, whole or not at all, and keep the token to itself?"""

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPMessage
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request

import pytest
import yaml

from generator.assess import Assessor
from generator.cli import main
from generator.compile import Compiled, compile_catalog
from generator.figures import load_fit_facts
from generator.fit.config import shape_of
from generator.fit.entry import written_shape
from generator.hub import _Redirects
from generator.newentry import entry_name
from generator.repository import Repository
from tests.generator.fit.test_config import (
    DEEPSEEK_V3,
    GEMMA_3_27B,
    GEMMA_4_31B,
    GPT_OSS_20B,
    LLAMA_31_8B,
    NEMOTRON_3_NANO,
    QWEN_38_27B,
)

from .hub_server import COMMIT, FakeHub, running

SENTINEL = "hf_never_print_this_1234567890"
FILE = "catalog/models/small-llama.yaml"
REPOSITORY = "acme/Small-Llama"
A10, A100 = "Standard_NV36ads_A10_v5", "Standard_NC24ads_A100_v4"


@dataclass(frozen=True, slots=True)
class Result:
    code: int
    out: str
    err: str


Kaitops = Callable[..., Result]


@pytest.fixture
def kaitops(workshop: Repository, capsys: pytest.CaptureFixture[str]) -> Kaitops:
    def run(*words: str | Path) -> Result:
        with pytest.raises(SystemExit) as stop:
            main(["-C", str(workshop.root), *map(str, words)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        assert SENTINEL not in captured.out + captured.err
        return Result(stop.value.code if isinstance(stop.value.code, int) else -1, captured.out, captured.err)

    return run


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with running() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server


def written(root: Path, file: str = FILE) -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load((root / file).read_text("utf-8"))["spec"]
    return spec


def nothing_is_left(root: Path) -> bool:
    names = {path.name for path in (root / "catalog" / "models").iterdir()}
    return not any("llama.yaml" in name and name != "llama-3-1-8b.yaml" for name in names) and not any(
        name.startswith(".") for name in names
    )


def test_an_open_model(kaitops: Kaitops, hub: FakeHub, workshop: Repository) -> None:
    hub.put(REPOSITORY, LLAMA_31_8B, total_size=8 << 30, cardData={"license": "apache-2.0"})
    result = kaitops("add", REPOSITORY, "--owner", "chat")
    assert (result.code, result.out) == (0, FILE + "\n")
    spec = written(workshop.root)
    assert spec["owner"] == "chat"
    assert spec["license"] == "apache-2.0"
    assert spec["source"] == {"preset": {"name": REPOSITORY, "revision": COMMIT}}
    assert spec["serving"] == {"context": 8192}
    assert spec["clusters"] == {"dev": {"sku": A10}}, "the cheapest that fits, on dev alone"
    assert spec["architecture"]["weightsGiB"] == 8.0
    assert "cache" not in spec["architecture"]
    text = (workshop.root / FILE).read_text("utf-8")
    assert "# The cheapest allowed size that fits: one node at 3.20 USD per hour (list price of 2026-06-18)," in text


def test_the_result_renders_and_validates(kaitops: Kaitops, hub: FakeHub) -> None:
    hub.put(REPOSITORY, LLAMA_31_8B, total_size=8 << 30, cardData={"license": "apache-2.0"})
    assert kaitops("render").code == 0
    before = kaitops("validate", "--skip", "build")
    assert kaitops("add", REPOSITORY, "--owner", "chat", "--cluster", "dev", "--cluster", "prod").code == 0
    assert kaitops("render").code == 0
    after = kaitops("validate", "--skip", "build")
    assert (before.code, after.code) == (0, 0)
    assert FILE not in after.out, "the new entry itself has no finding of any kind"


def test_on_prod_it_gets_a_host_and_the_cheapest_size_there(
    kaitops: Kaitops, hub: FakeHub, workshop: Repository
) -> None:
    hub.put(REPOSITORY, LLAMA_31_8B, total_size=8 << 30, cardData={"license": "apache-2.0"})
    assert kaitops("add", REPOSITORY, "--owner", "chat", "--cluster", "prod").code == 0
    assert written(workshop.root)["clusters"] == {"prod": {"sku": A100, "host": "small-llama.models.example.com"}}


def test_more_context_takes_a_larger_size(kaitops: Kaitops, hub: FakeHub, workshop: Repository) -> None:
    hub.put(REPOSITORY, LLAMA_31_8B, total_size=14 << 30, cardData={"license": "apache-2.0"})
    assert kaitops("add", REPOSITORY, "--owner", "chat", "--context", "100000").code == 0
    assert written(workshop.root)["clusters"]["dev"]["sku"] == A100


def test_a_size_with_little_headroom_is_not_the_first_choice(
    kaitops: Kaitops, hub: FakeHub, workshop: Repository
) -> None:
    """20,000 tokens leave 0.4 GiB of an A10: it fits, but the next release of the engine may not."""
    hub.put(REPOSITORY, LLAMA_31_8B, total_size=14 << 30, cardData={"license": "apache-2.0"})
    assert kaitops("add", REPOSITORY, "--owner", "chat", "--context", "20000").code == 0
    assert written(workshop.root)["clusters"]["dev"]["sku"] == A100


def test_a_gated_model_needs_a_token_and_names_its_secret(
    kaitops: Kaitops, hub: FakeHub, workshop: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", SENTINEL)
    hub.put(REPOSITORY, LLAMA_31_8B, total_size=8 << 30, gated="manual", tags=["license:llama3.1"])
    assert kaitops("add", REPOSITORY, "--owner", "chat", "--cluster", "dev", "--cluster", "prod").code == 0
    spec = written(workshop.root)
    assert spec["source"]["preset"]["token"] == {"secret": "small-llama-token", "vaultKey": "hub-token-small-llama"}
    assert spec["license"] == "llama3.1"
    assert {token for _, token in hub.asked} == {f"Bearer {SENTINEL}"}
    assert SENTINEL not in (workshop.root / FILE).read_text("utf-8")


def test_the_token_goes_to_no_other_host(kaitops: Kaitops, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` is another host than `127.0.0.1`, though the same server: the redirect is followed without it."""
    monkeypatch.setenv("HF_TOKEN", SENTINEL)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    hub.put(REPOSITORY, LLAMA_31_8B, total_size=8 << 30, cardData={"license": "mit"})
    path = f"/{REPOSITORY}/resolve/{COMMIT}/config.json"
    hub.pages["/elsewhere"] = hub.pages[path]
    away = hub.endpoint.replace("127.0.0.1", "localhost") + "/elsewhere"
    hub.pages[path] = (302, {"Location": away}, b"")
    assert kaitops("add", REPOSITORY, "--owner", "chat").code == 0
    tokens = dict(hub.asked)
    assert tokens["/elsewhere"] is None
    assert tokens[path] == f"Bearer {SENTINEL}"


def test_a_redirect_never_leaves_https() -> None:
    request = Request("https://hub.example.com/a", headers={"Authorization": f"Bearer {SENTINEL}"})
    with pytest.raises(URLError, match="from https to somewhere less safe"):
        _Redirects().redirect_request(request, BytesIO(), 302, "", HTTPMessage(), "http://hub.example.com/a")


def test_a_redirect_on_the_same_host_keeps_it(kaitops: Kaitops, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", SENTINEL)
    hub.put(REPOSITORY, LLAMA_31_8B, total_size=8 << 30, cardData={"license": "mit"})
    path = f"/{REPOSITORY}/resolve/{COMMIT}/config.json"
    hub.pages["/cache"] = hub.pages[path]
    hub.pages[path] = (307, {"Location": "/cache"}, b"")
    assert kaitops("add", REPOSITORY, "--owner", "chat").code == 0
    assert dict(hub.asked)["/cache"] == f"Bearer {SENTINEL}"


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ((401, {}, b""), "the hub gives no access to `acme/Small-Llama` (401)"),
        ((404, {}, b""), "the hub has no `acme/Small-Llama`"),
        ((429, {"Retry-After": "30"}, b""), "try again in 30 s"),
        ((500, {}, b""), "the hub answers 500"),
        (b"<html>", "is no JSON"),
        (b"[]", "is no JSON object"),
        (b'{"sha": "main"}', "the hub names no commit"),
        (
            json.dumps({"sha": COMMIT, "siblings": [{"rfilename": "pytorch_model.bin", "size": 9}]}).encode(),
            "no safetensors",
        ),
        ((302, {"Location": "file:///etc/passwd"}, b""), "to where kaitops does not follow"),
        ((302, {"Location": f"/api/models/{REPOSITORY}/revision/main"}, b""), "to where kaitops does not follow"),
    ],
)
def test_a_hub_that_does_not_help(
    *,
    kaitops: Kaitops,
    hub: FakeHub,
    workshop: Repository,
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes | tuple[int, dict[str, str], bytes],
    complaint: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", SENTINEL)
    hub.pages[f"/api/models/{REPOSITORY}/revision/main"] = answer
    result = kaitops("add", REPOSITORY, "--owner", "chat")
    assert result.code == 2
    assert complaint in result.err
    assert nothing_is_left(workshop.root)


def test_an_answer_that_is_too_large(kaitops: Kaitops, hub: FakeHub) -> None:
    hub.put(REPOSITORY, LLAMA_31_8B, total_size=8 << 30)
    hub.pages[f"/{REPOSITORY}/resolve/{COMMIT}/config.json"] = b" " * ((32 << 20) + 1)
    result = kaitops("add", REPOSITORY, "--owner", "chat")
    assert result.code == 2
    assert "has more than 33,554,432 bytes" in result.err


@pytest.mark.parametrize(
    ("endpoint", "complaint"),
    [
        ("http://hub.example.com", "`HF_TOKEN` would travel in plain"),
        ("file:///etc", "is no URL of a hub"),
        ("https://user:secret@hub.example.com", "is no URL of a hub"),
        ("http://127.0.0.1:1", "cannot ask the hub"),
    ],
)
def test_an_endpoint_that_will_not_do(
    kaitops: Kaitops, monkeypatch: pytest.MonkeyPatch, endpoint: str, complaint: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", SENTINEL)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    result = kaitops("add", REPOSITORY, "--owner", "chat")
    assert result.code == 2
    assert complaint in result.err
    assert "secret" not in result.err


def test_a_hub_that_never_answers(kaitops: Kaitops, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections wait in the queue of a socket that nobody accepts from."""
    monkeypatch.setattr("generator.hub.TIMEOUT", 0.1)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        result = kaitops("add", REPOSITORY, "--owner", "chat")
    assert result.code == 2
    assert "it does not answer in time" in result.err
    assert "give its files yourself with `--config` and `--index`" in result.err


def from_files(tmp_path: Path, config: dict[str, Any], *more: str) -> list[str | Path]:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), "utf-8")
    return ["add", REPOSITORY, "--owner", "chat", "--config", path, "--weights-gib", "8", *more]


def test_from_files_without_a_hub(kaitops: Kaitops, workshop: Repository, tmp_path: Path) -> None:
    result = kaitops(*from_files(tmp_path, LLAMA_31_8B, "--revision", COMMIT, "--license", "mit"))
    assert result.code == 0
    assert written(workshop.root)["source"]["preset"]["revision"] == COMMIT


def test_what_the_files_do_not_say_is_left_to_people(kaitops: Kaitops, workshop: Repository, tmp_path: Path) -> None:
    assert kaitops(*from_files(tmp_path, LLAMA_31_8B)).code == 0
    spec = written(workshop.root)
    assert spec["license"] == "unknown"
    assert "revision" not in spec["source"]["preset"]
    text = (workshop.root / FILE).read_text("utf-8")
    assert "# Its card names no licence that fits here" in text
    assert "# Without a `revision` KAITO follows the main branch" in text


@pytest.mark.parametrize(
    "config",
    [DEEPSEEK_V3, GEMMA_3_27B, GEMMA_4_31B, GPT_OSS_20B, QWEN_38_27B, NEMOTRON_3_NANO, LLAMA_31_8B],
    ids=lambda config: config["architectures"][0],
)
def test_the_entry_says_the_shape_that_the_config_says(
    kaitops: Kaitops, workshop: Repository, tmp_path: Path, config: dict[str, Any]
) -> None:
    """What is written into the catalog and read from it again counts as the config itself does."""
    assert kaitops(*from_files(tmp_path, config)).code == 0
    compiled = compile_catalog(workshop)
    spec = compiled.catalog.models["small-llama"].value.spec
    assert spec.architecture is not None
    assert written_shape(spec.architecture) == shape_of(config, 8.0)


def test_nothing_is_overwritten(kaitops: Kaitops, workshop: Repository, tmp_path: Path) -> None:
    words = from_files(tmp_path, LLAMA_31_8B)
    path = workshop.root / FILE
    path.write_text("mine\n", "utf-8")
    result = kaitops(*words)
    assert result.code == 2
    assert "`small-llama` is in the catalog already" in result.err
    assert path.read_text("utf-8") == "mine\n"
    assert kaitops(*words, "--name", "phi-4").code == 2
    assert kaitops(*words, "--name", "another").code == 0


def test_an_entry_that_breaks_a_rule_is_not_written(kaitops: Kaitops, workshop: Repository, tmp_path: Path) -> None:
    result = kaitops(*from_files(tmp_path, LLAMA_31_8B, "--name", "gateway"))
    assert result.code == 1
    assert "is the name of a platform part" in result.err
    assert not (workshop.root / "catalog/models/gateway.yaml").exists()


def test_code_of_the_repository_is_refused_with_the_way_out(
    kaitops: Kaitops, workshop: Repository, tmp_path: Path
) -> None:
    config = {"architectures": ["OwnForCausalLM"], "auto_map": {"AutoModel": "modeling.Own"}}
    words = from_files(tmp_path, config, "--revision", COMMIT)
    result = kaitops(*words)
    assert result.code == 2
    assert "needs code of its repository to run" in result.err
    assert "--trust-remote-code" in result.err
    result = kaitops(*words, "--trust-remote-code")
    assert result.code == 2, "nobody can tell which size"
    assert kaitops(*words, "--trust-remote-code", "--sku", A100).code == 0
    spec = written(workshop.root)
    assert spec["serving"]["trustRemoteCode"] is True
    assert "architecture" not in spec


def test_code_that_nobody_needs_is_not_asked_for(kaitops: Kaitops, workshop: Repository, tmp_path: Path) -> None:
    """Phi-3's repositories carry code that engines have built in."""
    assert kaitops(*from_files(tmp_path, LLAMA_31_8B | {"auto_map": {"AutoModel": "m.X"}})).code == 0
    assert "trustRemoteCode" not in written(workshop.root)["serving"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("add", "no-organisation"), "is no repository of the hub"),
        (("add", "../etc/passwd"), "is no repository of the hub"),
        (("add", REPOSITORY, "--revision", "main"), "is no commit"),
        (("add", REPOSITORY, "--index", "x.json"), "belong to `--config`"),
        (("add", REPOSITORY, "--cluster", "pord"), "did you mean `prod`"),
        (("add", REPOSITORY, "--owner", "nobody"), "`nobody` owns no namespace"),
        (("add", REPOSITORY), "name a team with `--owner`: `chat`, `platform`, `research`, `search`"),
    ],
)
def test_mistakes_at_the_prompt(kaitops: Kaitops, words: tuple[str, ...], complaint: str) -> None:
    result = kaitops(*words)
    assert result.code == 2
    assert complaint in result.err


def test_a_model_that_no_allowed_size_holds(kaitops: Kaitops, workshop: Repository, tmp_path: Path) -> None:
    result = kaitops(*from_files(tmp_path, LLAMA_31_8B, "--context", "200000"))
    assert result.code == 2
    assert "no size that cluster `dev` allows holds it at 200,000 tokens" in result.err
    assert nothing_is_left(workshop.root)


@pytest.mark.parametrize(
    ("repository", "name"),
    [
        ("Qwen/Qwen3-8B", "qwen3-8b"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3-1-8b-instruct"),
        ("01-ai/01_Model.", "model-01-model"),
    ],
)
def test_names(repository: str, name: str) -> None:
    assert entry_name(repository) == name


def test_a_known_preset_needs_no_architecture(
    kaitops: Kaitops, workshop: Repository, tmp_path: Path, fleet: Compiled
) -> None:
    words = from_files(tmp_path, LLAMA_31_8B)
    words[1] = "mistralai/Mistral-7B-v0.3"
    assert kaitops(*words).code == 0
    spec = compile_catalog(workshop).catalog.models["mistral-7b-v0-3"].value.spec
    assert spec.architecture is None
    facts = fleet.facts
    assessor = Assessor(facts.kaito, facts.skus, load_fit_facts(workshop.facts, facts.kaito))
    assert assessor.shape(spec).kaito_weights_gib == 13.5
