"""Is each mistake in the catalog found where it stands, under the right rule, in the words that help, and alone?

Each file of `invalid/` is one wrong entry. Its first lines say what must be found: `# expect: LINE:COLUMN RULE:
MESSAGE`, after it maybe `# hint: HINT`, and `# file: PATH` where the entry does not become `case.yaml` in its kind's
folder. The entry joins the small catalog of `valid/`, which has no findings of its own.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from generator.cli import main
from generator.compile import compile_catalog
from generator.finding import Finding, Place, Severity
from generator.model import FOLDERS
from generator.repository import Repository
from generator.source import MAX_BYTES

HERE = Path(__file__).parent
FACTS = HERE.parents[1] / "catalog" / "facts"
CASES = sorted((HERE / "invalid").glob("*.yaml"))
ENTRIES_LIE = "entries lie in `catalog/models/`, `catalog/tuning/`, `catalog/rag/`, `catalog/clusters/`"
EXPECT = re.compile(r"# expect: (?P<line>\d+)(:(?P<column>\d+))? (?P<rule>[a-z/0-9-]+): (?P<message>.+)")


@dataclass(frozen=True, slots=True)
class Expected:
    line: int
    column: int
    rule: str
    message: str
    hint: str | None

    def covers(self, finding: Finding) -> bool:
        return (
            (finding.where.line, finding.where.column, finding.rule) == (self.line, self.column, self.rule)
            and finding.message.startswith(self.message)
            and (finding.hint == self.hint or (self.hint is None and not finding.hint))
        )


def head_of(case: Path) -> list[str]:
    lines = case.read_bytes().decode("utf-8").split("\n")
    return [line for line in lines if line.startswith(("# expect: ", "# hint: ", "# file: "))]


def expectations(case: Path) -> Iterator[Expected]:
    lines = head_of(case)
    for number, line in enumerate(lines):
        found = EXPECT.fullmatch(line)
        if found:
            after = lines[number + 1] if number + 1 < len(lines) else ""
            hint = after.removeprefix("# hint: ") if after.startswith("# hint: ") else None
            yield Expected(int(found["line"]), int(found["column"] or 0), found["rule"], found["message"], hint)


def target_of(case: Path) -> str:
    """Where in the catalog the case belongs."""
    for line in head_of(case):
        if line.startswith("# file: "):
            return line.removeprefix("# file: ")
    kind = re.search(r"^kind: (\w+)$", case.read_bytes().decode("utf-8"), re.MULTILINE)
    return f"{FOLDERS.get(kind[1] if kind else 'Model', 'models')}/case.yaml"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose catalog has no findings; a test that adds a file takes it away again."""
    root = tmp_path_factory.mktemp("repository")
    shutil.copytree(HERE / "valid", root / "catalog")
    (root / "catalog" / "facts").symlink_to(FACTS)
    return root


@contextmanager
def added(root: Path, where: str, content: bytes) -> Iterator[None]:
    target = root / "catalog" / where
    assert not target.exists(), "a case must not replace an entry of the valid catalog"
    target.write_bytes(content)
    try:
        yield
    finally:
        target.unlink()


def findings(root: Path) -> list[Finding]:
    return compile_catalog(Repository(root)).findings


def errors(root: Path) -> list[Finding]:
    return [finding for finding in findings(root) if finding.severity is Severity.ERROR]


def test_the_small_catalog_has_nothing_to_complain_about(root: Path) -> None:
    compiled = compile_catalog(Repository(root))
    assert compiled.findings == []
    assert compiled.rendering
    assert compiled.rendering.documents


def test_every_case_says_what_it_expects() -> None:
    assert len(CASES) >= 85
    assert [case.name for case in CASES if not list(expectations(case))] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_mistake_is_found_in_its_place_and_nothing_else(root: Path, case: Path) -> None:
    where = target_of(case)
    with added(root, where, case.read_bytes()):
        compiled = compile_catalog(Repository(root))
    found = [finding for finding in compiled.findings if finding.severity is Severity.ERROR]
    expected = list(expectations(case))
    assert len(found) == len(expected), found
    for one, wanted in zip(found, sorted(expected, key=lambda one: (one.line, one.column)), strict=True):
        assert one.where.file == f"catalog/{where}"
        assert wanted.covers(one), (one, wanted)
    assert compiled.rendering is None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_message_is_a_sentence_for_people(case: Path) -> None:
    for wanted in expectations(case):
        for words in filter(None, (wanted.message, wanted.hint)):
            assert not words.endswith("."), words
            assert not re.search(r"Errno|Traceback|pydantic|\bstr\b|NoneType|<class|regex", words), words
        assert not wanted.message[0].isupper() or wanted.message.startswith(("KAITO", "Tuning ", "Model ")), wanted
        assert wanted.hint or wanted.rule == "catalog/shape", f"no way out: {wanted.message}"


@pytest.mark.parametrize("name", ["unknown-field-typo", "tab", "sku-retired", "path-taken", "too-deep", "empty"])
def test_render_refuses_and_writes_nothing(root: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    case = HERE / "invalid" / f"{name}.yaml"
    with added(root, target_of(case), case.read_bytes()), pytest.raises(SystemExit) as exit_:
        main(["-C", str(root), "render"])
    assert exit_.value.code == 1
    assert not (root / "clusters").exists()
    captured = capsys.readouterr()
    assert captured.out == ""
    wanted = next(expectations(case))
    assert f"catalog/{target_of(case)}:{wanted.line}:{wanted.column}: error: {wanted.message}" in captured.err
    assert "nothing was written" in captured.err


def only_error(root: Path) -> tuple[Place, str, str]:
    (found,) = errors(root)
    return found.where, found.rule, found.message


def test_a_huge_file_is_refused_unread(root: Path) -> None:
    with added(root, "models/huge.yaml", b"a: " + b"x" * MAX_BYTES):
        where, rule, message = only_error(root)
    assert (where, rule) == (Place("catalog/models/huge.yaml"), "yaml/too-large")
    assert "262,144 bytes" in message


def test_a_bomb_of_aliases_is_refused_before_it_grows(root: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join(['*' + a] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    with added(root, "models/bomb.yaml", "\n".join(lines).encode()):
        found = errors(root)
    assert {finding.rule for finding in found} == {"yaml/alias"}
    assert len(found) == 10, "as many as a person can use"


@pytest.mark.parametrize(
    ("content", "line"), [(b"\x7fELF\x80\x00", 1), ("kind: Modèle\n".encode("latin-1"), 1), (b"a: b\n# \xff\n", 2)]
)
def test_what_is_not_utf_8_is_refused(root: Path, content: bytes, line: int) -> None:
    with added(root, "models/binary.yaml", content):
        where, rule, _ = only_error(root)
    assert (where, rule) == (Place("catalog/models/binary.yaml", line), "yaml/encoding")


def test_a_control_character_is_found_on_its_line_after_letters_of_several_bytes(root: Path) -> None:
    with added(root, "models/control.yaml", "a: ééééééé\nb: ok\nc: \x01\nd: e\n".encode()):
        where, rule, _ = only_error(root)
    assert (where, rule) == (Place("catalog/models/control.yaml", 3), "yaml/syntax")


def test_a_byte_order_mark_does_no_harm(root: Path) -> None:
    text = (HERE / "valid" / "models" / "assistant.yaml").read_text("utf-8").replace("assistant", "marked")
    with added(root, "models/marked.yaml", b"\xef\xbb\xbf" + text.replace("marked.models", "m.models").encode()):
        assert errors(root) == []


def test_a_link_is_refused_even_to_a_good_entry(root: Path) -> None:
    link = root / "catalog" / "models" / "link.yaml"
    link.symlink_to(root / "catalog" / "models" / "assistant.yaml")
    try:
        where, rule, _ = only_error(root)
    finally:
        link.unlink()
    assert (where, rule) == (Place("catalog/models/link.yaml"), "catalog/file")


def test_a_folder_and_a_stray_file_are_refused(root: Path) -> None:
    folder = root / "catalog" / "models" / "folder.yaml"
    folder.mkdir()
    try:
        with added(root, "models/notes.txt", b"hello"), added(root, "models/case.json", b"{}"):
            found = errors(root)
    finally:
        folder.rmdir()
    assert [finding.where.file for finding in found] == [
        "catalog/models/case.json",
        "catalog/models/folder.yaml",
        "catalog/models/notes.txt",
    ]
    assert {finding.rule for finding in found} == {"catalog/file"}


def test_what_lies_beside_the_folders_of_entries_is_refused(root: Path) -> None:
    """`catalog/model/` looks right in a review, and nothing would ever read it."""
    folder = root / "catalog" / "model"
    folder.mkdir()
    try:
        with added(root, "case.yaml", b"{}"), added(root, "README.md", b"words"):
            found = errors(root)
    finally:
        folder.rmdir()
    assert [(finding.where.file, finding.rule, finding.hint) for finding in found] == [
        ("catalog/case.yaml", "catalog/file", ENTRIES_LIE),
        ("catalog/model", "catalog/file", "did you mean `models`?"),
    ]


def test_two_models_that_want_one_secret_are_told_apart(root: Path) -> None:
    text = (HERE / "valid" / "models" / "gated.yaml").read_text("utf-8").replace("gated", "second")
    with added(root, "models/second.yaml", text.encode()):
        where, rule, message = only_error(root)
    assert (where.file, rule) == ("catalog/models/second.yaml", "catalog/shared-object")
    assert message == "ExternalSecret `hub-token` in namespace `chat` is rendered by `gated` already"


def test_a_broken_file_makes_no_second_complaint_about_what_refers_to_it(root: Path) -> None:
    """`handbook` asks for `assistant`: where that file is broken, only the file itself is wrong."""
    file = root / "catalog" / "models" / "assistant.yaml"
    text = file.read_text("utf-8")
    file.write_text(text.replace("license:", "licence:"), "utf-8")
    try:
        found = errors(root)
    finally:
        file.write_text(text, "utf-8")
    assert {finding.where.file for finding in found} == {"catalog/models/assistant.yaml"}


def test_a_broken_cluster_makes_no_second_complaint(root: Path) -> None:
    file = root / "catalog" / "clusters" / "dev.yaml"
    text = file.read_text("utf-8")
    file.write_text(text.replace("environment: dev", "environment: test"), "utf-8")
    try:
        found = errors(root)
    finally:
        file.write_text(text, "utf-8")
    assert [(finding.where.file, finding.rule) for finding in found] == [("catalog/clusters/dev.yaml", "catalog/shape")]


def test_one_mistake_on_two_clusters_is_said_once_per_place(root: Path) -> None:
    text = (HERE / "valid" / "models" / "assistant.yaml").read_text("utf-8").replace("assistant", "twice")
    with added(root, "models/twice.yaml", text.replace("phi-4-mini-instruct", "falcon-7b").encode()):
        found = errors(root)
    assert [finding.rule for finding in found] == ["catalog/retired-preset"]


def test_what_was_taken_down_is_said_where_it_is_still_named(root: Path) -> None:
    """A tuning is retired to free its node; what it made stays in the registry, under a digest."""
    model = (root / "catalog" / "models" / "assistant.yaml").read_text("utf-8")
    tuning = (root / "catalog" / "tuning" / "dolly.yaml").read_text("utf-8")
    with changed(root / "catalog" / "tuning" / "dolly.yaml", tuning.replace("spec:", "spec:\n  retired: true")):
        case = (HERE / "invalid" / "adapter-in-another-namespace.yaml").read_bytes()
        with added(root, "models/case.yaml", case):
            (found,) = errors(root)
    assert found.message == "Tuning `dolly` is retired"
    assert found.hint == "name what it made by its digest, in `image`"
    with changed(root / "catalog" / "models" / "assistant.yaml", model.replace("spec:", "spec:\n  retired: true")):
        assert {one.message for one in errors(root)} == {"Model `assistant` is retired"}
    with changed(root / "catalog" / "models" / "assistant.yaml", model.replace("spec:", "spec:\n  suspended: true")):
        (found,) = findings(root)
    assert found.severity is Severity.WARNING
    assert found.message.startswith("Model `assistant` is suspended")


@contextmanager
def changed(path: Path, text: str) -> Iterator[None]:
    before = path.read_text("utf-8")
    assert text != before
    path.write_text(text, "utf-8")
    try:
        yield
    finally:
        path.write_text(before, "utf-8")
