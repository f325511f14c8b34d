"""Weights arrive whole, checked and at once, or the exit code says who has to act."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from inference.errors import StartError
from inference.fetch.download import Pace
from inference.fetch.files import RemoteFile, chosen
from inference.fetch.progress import Progress
from tests.fetching import AZUREBLOB, HUGGINGFACE, PACE, REGISTRY, WORKSPACE, contents, fetch, last_line
from tests.internet import Internet, Reply, Request
from tests.stores import COMMIT, Hub, a_model, weights

CDN = "cdn.example.com"


@pytest.fixture
def hub(internet: Internet) -> Hub:
    made = Hub(a_model())
    internet.services |= {"huggingface.co": made, CDN: made.cdn}
    return made


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "models" / "m"


def test_a_model_arrives_whole_and_a_second_start_asks_nobody(hub: Hub, internet: Internet, into: Path) -> None:
    wanted = dict(hub.files) | {"sub/notes.txt": b"n", "empty.txt": b""}
    hub.files |= {"pytorch_model.bin": b"pickle", "README.md": b"#", ".hidden.json": b"{}"} | wanted
    assert fetch(HUGGINGFACE, into) == 0
    assert contents(into) == wanted
    assert {path.name for path in into.parent.iterdir()} == {"m", ".m.lock"}
    before = len(internet.seen)
    assert fetch(HUGGINGFACE, into) == 0
    assert len(internet.seen) == before
    (into / "model.safetensors").write_bytes(b"cut")
    assert fetch(HUGGINGFACE, into) == 0
    assert contents(into) == wanted


def test_another_commit_takes_the_folder_over(hub: Hub, into: Path) -> None:
    assert fetch(HUGGINGFACE, into) == 0
    hub.files["config.json"] = b'{"model_type": "bloom"}'
    other = [word if word != COMMIT else COMMIT[::-1] for word in HUGGINGFACE]
    assert fetch(other, into) == 1  # the fake knows only the one commit
    assert contents(into)["config.json"] == b'{"model_type": "llama"}'
    assert fetch([*HUGGINGFACE[:2], "example-org/other", *HUGGINGFACE[3:]], into) == 0
    assert contents(into)["config.json"] == b'{"model_type": "bloom"}'


def test_the_token_stays_with_the_hub_when_it_sends_us_elsewhere(
    hub: Hub, internet: Internet, into: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf-secret")
    assert fetch(HUGGINGFACE, into) == 0
    assert {request.headers["authorization"] for request in internet.asked("huggingface.co")} == {"Bearer hf-secret"}
    assert internet.asked(CDN)
    assert not [request for request in internet.asked(CDN) if "authorization" in request.headers]
    hub.page_size = 2
    into.joinpath("config.json").unlink()
    internet.fault("huggingface.co", Reply(200, b"[]", {"Link": f'<https://{CDN}/more>; rel="next"'}))
    assert fetch(HUGGINGFACE, into) == 2
    assert "another host" in last_line(captured := capsys.readouterr().err)
    assert "hf-secret" not in captured


@pytest.mark.usefixtures("hub")
def test_a_redirect_out_of_tls_is_refused(internet: Internet, into: Path) -> None:
    internet.fault("huggingface.co", Reply(302, headers={"Location": f"http://{CDN}/x"}), path="/resolve/")
    assert fetch(HUGGINGFACE, into) == 2


@pytest.mark.usefixtures("internet")
def test_long_lists_come_in_pages(hub: Hub, into: Path) -> None:
    hub.page_size = 2
    hub.files |= {f"{number}.txt": b"%d" % number for number in range(5)}
    assert fetch(HUGGINGFACE, into) == 0
    assert contents(into) == hub.files


def test_passing_trouble_is_sat_out(hub: Hub, internet: Internet, into: Path) -> None:
    busy = Reply(429, headers={"Retry-After": "120"})
    internet.fault("huggingface.co", busy, Reply(503), Reply(500), path="/tree/")
    internet.fault(CDN, Reply(502), Reply(504))
    pauses: list[float] = []
    assert fetch(HUGGINGFACE, into, pauses) == 0
    assert contents(into) == hub.files
    assert len(pauses) == 5
    assert max(pauses) == 120


def test_cut_connections_go_on_where_they_broke_off(hub: Hub, internet: Internet, into: Path) -> None:
    """Twenty cuts in one part are more than six attempts, but each got further."""
    whole = hub.files["model.safetensors"]

    def cut(request: Request) -> Reply | None:
        if request.host != CDN or request.bounds is None:
            return None
        reply = hub.cdn(request)
        return Reply(206, reply.body, reply.headers, cut=10_000) if len(reply.body) > 10_000 else None

    internet.faults.append(cut)
    assert fetch(HUGGINGFACE, into, pace=Pace(part_bytes=200_000, workers=1)) == 0
    assert contents(into) == hub.files
    starts = [request.bounds[0] for request in internet.asked(CDN) if request.bounds]
    assert starts[:3] == [0, 10_000, 20_000]
    assert len(starts) == -(-len(whole) // 10_000)


def test_a_download_that_broke_off_asks_only_for_the_rest(hub: Hub, internet: Internet, into: Path) -> None:
    internet.fault(CDN, *[Reply(503)] * 30, path="model")
    assert fetch(HUGGINGFACE, into) == 75
    assert not into.exists()
    internet.faults.clear()
    internet.seen.clear()
    assert fetch(HUGGINGFACE, into) == 0
    assert contents(into) == hub.files
    files = [request.path for request in internet.seen if "/resolve/" in request.path]
    assert {path.rpartition("/")[2] for path in files} == {"model.safetensors"}


def start(source: Sequence[str], into: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "inference.fetch", *source, "--into", str(into)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_killed_goes_on_where_it_was(
    number: signal.Signals, hub: Hub, internet: Internet, into: Path
) -> None:
    hub.files["model.safetensors"] = weights(3 * (64 << 20))
    seen, go = threading.Event(), threading.Event()

    def stall(request: Request) -> Reply | None:
        """Of three parts, the last never comes."""
        if request.host == CDN and request.bounds and request.bounds[0] >= 128 << 20:
            seen.set()
            go.wait(60)
        return None

    internet.services[CDN] = lambda request: stall(request) or hub.cdn(request)
    process = start(HUGGINGFACE, into)
    try:
        assert seen.wait(60)
        journal = into.parent / ".m.partial" / "journals" / "model.safetensors"
        while journal.read_text().count("\n") < 3:
            assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
        go.set()
    if number is signal.SIGTERM:
        assert process.returncode == 75
        assert "SIGTERM" in last_line(err)
    assert not into.exists()
    internet.seen.clear()
    internet.services[CDN] = hub.cdn
    again = start(HUGGINGFACE, into)
    _, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    asked = sorted(request.bounds[0] for request in internet.asked(CDN) if request.bounds)
    assert asked[0] == 128 << 20
    assert contents(into)["model.safetensors"] == hub.files["model.safetensors"]


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (Reply(403, headers={"X-Error-Code": "GatedRepo"}), 2, "accept the model's terms"),
        (Reply(401), 2, "the right to read it"),
        (Reply(404, headers={"X-Error-Code": "RevisionNotFound"}), 1, "--revision"),
        (Reply(500), 75, "failed 6 times"),
        (Reply(418), 2, "answered 418"),
        (Reply(200, b"<html>"), 2, "no JSON"),
        (Reply(200, b'[{"type": "file", "path": "x.json"}]'), 2, "an entry that is no file"),
        (Reply(200, b"[]"), 1, "holds no file"),
    ],
)
@pytest.mark.usefixtures("hub")
def test_the_exit_code_says_who_has_to_act(
    *, reply: Reply, code: int, words: str, internet: Internet, into: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    internet.fault("huggingface.co", *[reply] * 6)
    assert fetch(HUGGINGFACE, into) == code
    assert words in last_line(capsys.readouterr().err)
    assert not into.exists()


def test_what_the_way_spoilt_is_fetched_once_more(hub: Hub, internet: Internet, into: Path) -> None:
    good = hub.files["model.safetensors"]
    spoilt = good[:1000] + b"?" + good[1001:]
    range_ = {"Content-Range": f"bytes 0-99999/{len(good)}"}
    internet.fault(CDN, Reply(206, spoilt[:100_000], range_))
    assert fetch(HUGGINGFACE, into, pace=Pace(part_bytes=100_000, workers=1)) == 0
    assert contents(into) == hub.files


def test_what_the_source_spoilt_is_never_published(
    hub: Hub, internet: Internet, into: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = hub.files["model.safetensors"]
    internet.services[CDN] = Hub({"model.safetensors": good[:-1] + b"?"}).cdn
    assert fetch(HUGGINGFACE, into) == 2
    assert "does not have its checksum" in last_line(capsys.readouterr().err)
    assert not into.exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda files: files.update({"model.safetensors": files["model.safetensors"][:-9]}), "describes 250"),
        (lambda files: files.update({"model.safetensors": b"\x80\x04pickle" + bytes(90)}), "no header of safetensors"),
        (lambda files: files.update({"model.safetensors": b""}), "no header of safetensors"),
        (
            lambda files: files.update(
                {"model.safetensors.index.json": json.dumps({"weight_map": {"w": "model-2.safetensors"}}).encode()}
            ),
            "names `model-2.safetensors`, which the source lacks",
        ),
        (lambda files: files.update({"model.safetensors.index.json": b"[]"}), "is no index"),
    ],
)
def test_a_model_that_was_uploaded_in_part_is_refused(
    spoil: Callable[[dict[str, bytes]], None], words: str, hub: Hub, into: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(hub.files)
    assert fetch(HUGGINGFACE, into) == 2
    assert words in last_line(capsys.readouterr().err)
    assert not into.exists()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"x" * 10),
        Reply(206, b"x" * 100_000, {"Content-Range": "bytes 0-99999/7"}),
        Reply(206, b"x" * 100_001, {"Content-Range": "bytes 0-99999/250078"}),
        Reply(416),
    ],
)
def test_an_answer_that_is_not_the_part_is_not_taken(reply: Reply, hub: Hub, internet: Internet, into: Path) -> None:
    internet.fault(CDN, reply)
    assert fetch(HUGGINGFACE, into) in {2, 75}
    assert not into.exists()
    assert fetch(HUGGINGFACE, into) == 0
    assert contents(into) == hub.files


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([*HUGGINGFACE[:3], "--revision", "main"], "pin a commit"),
        (["huggingface", "--repo", "no slash", "--revision", COMMIT], "ORGANIZATION/NAME"),
        (["huggingface", "--repo", "../..", "--revision", COMMIT], "ORGANIZATION/NAME"),
        (["azureml", "--model", "m", "--version", "1"], "--registry"),
        ([*REGISTRY, "--workspace", "w"], "--registry"),
        ([*WORKSPACE[:1], *WORKSPACE[3:]], "--registry"),
        (["azureml", "--registry", "r", "--model", "a/../b", "--version", "1"], "no model"),
        (["azureblob", "--account", "examplemodels"], "--container"),
        (["azureblob", "--account", "evil.example/", "--container", "models"], "no account"),
        ([*AZUREBLOB[:-1], "../other"], "no prefix"),
        ([*AZUREBLOB, "--prefx", "x"], "--prefx"),
        (["ftp"], "ftp"),
        ([], "--help"),
    ],
)
def test_wrong_input_is_exit_1_in_one_line(
    wrong: list[str], words: str, internet: Internet, into: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(wrong, into) == 1
    err = capsys.readouterr().err
    assert len(err.strip().splitlines()) == 1
    assert words in last_line(err)
    assert not internet.seen


@pytest.mark.usefixtures("hub")
def test_a_token_with_a_line_break_is_named_without_being_shown(
    internet: Internet, into: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf\nsecret")
    assert fetch(HUGGINGFACE, into) == 1
    assert "secret" not in last_line(capsys.readouterr().err)
    assert not internet.seen


def file(path: str) -> RemoteFile:
    return RemoteFile(path, 1, "")


GOOD = [file("config.json"), file("model.safetensors")]


OUTSIDE = ["../evil.json", "/etc/evil.json", "a\\b.json", "a/../../b.txt", "a//b.json", "./b.json", "a\x7f.json"]


@pytest.mark.parametrize("path", [*OUTSIDE, "x" * 300 + ".json"])
def test_files_that_lead_out_of_the_folder_are_refused(path: str) -> None:
    with pytest.raises(StartError, match="no plain path"):
        chosen([*GOOD, file(path)], "it")


def test_only_what_a_server_reads_is_fetched() -> None:
    beside = [
        "tokenizer.model",
        "merges.txt",
        "chat_template.jinja",
        "modeling.py",
        "vocab.tiktoken",
        "s/2.safetensors",
    ]
    left = [
        "pytorch_model.bin",
        "a.pt",
        "model.onnx",
        "README.md",
        ".fetched.json",
        "tf_model.h5",
        "run.sh",
        "consolidated.safetensors",
    ]
    kept = chosen([*GOOD, *map(file, beside), *map(file, left)], "it")
    assert [each.path for each in kept] == ["config.json", "model.safetensors", *beside]
    assert chosen([file("config.json"), file("consolidated.safetensors")], "it")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "holds no file"),
        ([file("config.json"), file("pytorch_model.bin")], "only pickled weights such as `pytorch_model.bin`"),
        ([file("config.json")], "no `\\*.safetensors`"),
        ([file("sub/config.json"), file("sub/model.safetensors")], "no `config.json` at its top"),
    ],
)
def test_a_source_that_is_no_model_is_refused(files: list[RemoteFile], words: str) -> None:
    with pytest.raises(StartError, match=words):
        chosen(files, "it")


@pytest.mark.usefixtures("hub")
def test_a_disk_that_is_too_small_is_said_before_the_download(
    internet: Internet, into: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert fetch(HUGGINGFACE, into) == 2
    assert "GiB more" in last_line(capsys.readouterr().err)
    assert not internet.asked(CDN)


@pytest.mark.usefixtures("hub")
def test_a_disk_that_fills_up_is_said_in_one_sentence(into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _block: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert fetch(HUGGINGFACE, into) == 2
    assert not into.exists()


@pytest.mark.usefixtures("hub", "internet")
def test_what_is_not_ours_is_not_replaced(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter.txt").write_text("dear")
    assert fetch(HUGGINGFACE, home) == 1
    assert fetch(HUGGINGFACE, home / "letter.txt") == 1
    assert fetch(HUGGINGFACE, Path("/proc")) == 1
    assert fetch(HUGGINGFACE, home / "letter.txt" / "m") == 2
    assert (home / "letter.txt").read_text() == "dear"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert fetch(HUGGINGFACE, empty) == 0


@pytest.mark.usefixtures("hub")
def test_two_starts_at_once_fetch_once(internet: Internet, into: Path) -> None:
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(fetch(HUGGINGFACE, into))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0, 0]
    assert len([request for request in internet.seen if "/tree/" in request.path]) == 1


def test_a_journal_that_was_cut_while_it_was_written_counts_what_is_whole(
    hub: Hub, internet: Internet, into: Path
) -> None:
    internet.fault(CDN, *[Reply(503)] * 40)
    assert fetch(HUGGINGFACE, into) == 75
    journal = into.parent / ".m.partial" / "journals" / "model.safetensors"
    journal.write_text(journal.read_text().splitlines()[0] + "\n1\n2")
    partial = into.parent / ".m.partial" / "model" / "model.safetensors"
    with partial.open("r+b") as disk:
        disk.seek(PACE.part_bytes)
        disk.write(hub.files["model.safetensors"][PACE.part_bytes : 2 * PACE.part_bytes])
    internet.faults.clear()
    internet.seen.clear()
    assert fetch(HUGGINGFACE, into) == 0
    assert {request.bounds for request in internet.asked(CDN)} == {
        (0, 100_000),
        (200_000, len(hub.files["model.safetensors"])),
    }


def test_a_file_in_full_size_that_no_journal_knows_counts_for_nothing(
    hub: Hub, internet: Internet, into: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A process may die between making the file in its size and the first byte."""
    internet.fault(CDN, *[Reply(503)] * 40)
    assert fetch(HUGGINGFACE, into) == 75
    (into.parent / ".m.partial" / "journals" / "model.safetensors").unlink()
    internet.faults.clear()
    capsys.readouterr()
    assert fetch(HUGGINGFACE, into) == 0
    assert contents(into) == hub.files
    assert "once more" not in capsys.readouterr().err


def test_progress_is_said_every_ten_seconds_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    progress = Progress(1000, 500, lambda: now[0])
    with caplog.at_level("INFO"):
        for now[0], size in ((1, 100), (10, 100), (11, 100), (30, 200)):
            progress.add(size)
    said = [vars(record)["fields"] for record in caplog.records]
    assert [(each["bytes"], each["percent"]) for each in said] == [(700, 70.0), (1000, 100.0)]
    assert said[0]["seconds_left"] == 15


def test_the_checksums_of_a_commit_are_git_s(hub: Hub, into: Path, internet: Internet) -> None:
    """A small file has no other checksum than the one of its Git object."""
    changed = dict(hub.files) | {"config.json": b'{"model_type": "LLAMA"}'}
    original = internet.services["huggingface.co"]
    internet.services["huggingface.co"] = lambda request: (
        original(request) if "/tree/" in request.path else Hub(changed)(request)
    )
    assert fetch(HUGGINGFACE, into) == 2
