"""`kaitops schemas`: what is written from the code and the policies: JSON Schemas for editors, docs/, a README."""

import json
from pathlib import Path

import click

from generator.cli import FINDINGS
from generator.cli.session import repository_of, say
from generator.cli.sync import command as sync
from generator.model import KINDS
from generator.policy.page import policy_page
from generator.reference import pages


@click.group("schemas", invoke_without_command=True)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a file is stale.")
@click.pass_context
def command(ctx: click.Context, *, check: bool) -> None:
    """Write the editor schemas and the generated pages.

    The pages are docs/catalog.md, docs/verdicts.md and policies/README.md.
    """
    if ctx.invoked_subcommand is None:
        _write(repository_of(ctx).root, check=check)


command.add_command(sync)


def _write(root: Path, *, check: bool) -> None:
    wanted = {f"catalog/schema/{schema_file(kind)}": schema_text(kind) for kind in KINDS}
    wanted |= {f"docs/{name}": text for name, text in pages().items()}
    policies = policy_page(root)
    wanted |= {"policies/README.md": policies} if policies else {}
    stale = [name for name, text in wanted.items() if not _same(root / name, text)]
    if check:
        for name in stale:
            click.echo(f"{name}: error: the file is stale [schemas/stale]\n  hint: run `kaitops schemas`")
        if stale:
            raise SystemExit(FINDINGS)
        say(f"{len(wanted)} schemas and pages are fresh")
        return
    for name in stale:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(wanted[name], "utf-8")
    say(f"wrote {len(stale)} of {len(wanted)} files in catalog/schema/, docs/ and policies/")


def schema_file(kind: str) -> str:
    """`RagEngine` → `rag-engine.schema.json`."""
    words = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind)
    return f"{words.removeprefix('-')}.schema.json"


def schema_text(kind: str) -> str:
    schema = KINDS[kind].model_json_schema(by_alias=True)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


def _same(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text("utf-8") == text
