"""The command line `kaitops`: arguments in, exit codes out.

Each command lives in a file of its own, which is loaded when it is used.
"""

import contextlib
import gc
import importlib
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from generator.finding import CannotRunError

COMMANDS = {
    "render": "Render the catalog into clusters/.",
    "validate": "Check the catalog and what is rendered from it.",
    "plan": "Show what a change will do to each cluster.",
    "list": "Show the fleet as a table.",
    "show": "Show one entry, resolved, and the files it makes.",
    "add": "Write a new entry for a model of the hub.",
    "fit": "Show on which VM sizes a model fits, and at what price.",
    "promote": "Let a model's canary serve alone, or with another share.",
    "roll": "Move a held model on to its new revision.",
    "schemas": "Write the editor schemas and the generated pages.",
}
"""Name and help of each command: `--help` loads none of them."""

VERSION = "0.1.0"
"""As in pyproject.toml; asking the installed package for it would take a third of the time of `--version`."""
FINDINGS = 1
CANNOT_RUN = 2


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [*COMMANDS]  # `list` is a command, and its module shadows the builtin here

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"generator.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            if args and args[0] not in COMMANDS:
                from generator.words import did_you_mean  # noqa: PLC0415 - only a typing mistake pays for difflib

                hint = did_you_mean(args[0], COMMANDS) or "`kaitops --help` lists them"
                raise click.UsageError(f"no command `{args[0]}`; {hint}", ctx) from None
            raise


COMPLETION = (
    'Completion of commands, options and names: eval "$(_KAITOPS_COMPLETE=bash_source kaitops)" in ~/.bashrc; '
    "zsh_source and fish_source do the same for zsh and fish."
)


@click.group(
    cls=LazyGroup, epilog=COMPLETION, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("-C", "directory", default=".", metavar="DIR", help="Work in the repository that holds DIR.")
@click.version_option(VERSION, message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, directory: str) -> None:
    """Serve open models on AKS by GitOps: a catalog in, checked Kustomize overlays out.

    Exit codes: 0 fine, 1 findings, 2 could not run.
    """
    ctx.obj = Path(directory)


def program() -> None:
    """What `kaitops` starts: `main`, whose objects are left to the system, which takes them back all at once."""
    try:
        main()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):  # whoever read it has seen enough
            stream.flush()
    os._exit(status)


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line; what we cannot do is said in one line, never as a traceback."""
    # What a command builds lives to its end: looking for garbage in it again and again finds none.
    gc.disable()
    try:
        code = cli.main(args=argv, prog_name="kaitops", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        code = CANNOT_RUN
    except click.ClickException as error:
        error.show()
        code = CANNOT_RUN
    except (CannotRunError, OSError) as error:
        _say_why(error)
        code = CANNOT_RUN
    sys.exit(code if isinstance(code, int) else 0)


def _say_why(error: Exception) -> None:
    message = str(error)
    if isinstance(error, OSError) and error.filename:
        message = f"`{error.filename}`: {(error.strerror or message).lower()}"
    click.echo(f"kaitops: {message}", err=True)
    hint = getattr(error, "hint", "")
    if hint:
        click.echo(f"  hint: {hint}", err=True)
