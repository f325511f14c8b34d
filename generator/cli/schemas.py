"""`kaitops schemas`: JSON Schemas of the catalog's kinds, for editors."""

import json
from pathlib import Path

import click

from generator.cli import FINDINGS
from generator.cli.session import repository_of, say
from generator.model import KINDS


@click.command("schemas")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a schema is stale.")
@click.pass_context
def command(ctx: click.Context, *, check: bool) -> None:
    """Write the editor schemas of the catalog."""
    folder = repository_of(ctx).schemas
    wanted = {schema_file(kind): schema_text(kind) for kind in KINDS}
    stale = [name for name, text in wanted.items() if not _same(folder / name, text)]
    if check:
        for name in stale:
            click.echo(f"catalog/schema/{name}: error: the schema is stale [schemas/stale]")
            click.echo("  hint: run `kaitops schemas`")
        if stale:
            raise SystemExit(FINDINGS)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (folder / name).write_text(wanted[name], "utf-8")
    say(f"wrote {len(stale)} of {len(wanted)} schemas in catalog/schema/")


def schema_file(kind: str) -> str:
    """`RagEngine` → `rag-engine.schema.json`."""
    words = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind)
    return f"{words.removeprefix('-')}.schema.json"


def schema_text(kind: str) -> str:
    schema = KINDS[kind].model_json_schema(by_alias=True)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


def _same(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text("utf-8") == text
