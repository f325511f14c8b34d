"""`kaitops render`: the catalog into `clusters/`; or only what would change."""

import click

from generator.cli.options import clusters_option
from generator.cli.session import repository_of, say
from generator.remember import memory_of


@click.command("render")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when the committed tree differs.")
@click.option("--diff", is_flag=True, help="Write nothing; print what would change.")
@clusters_option("Only this cluster; may be repeated.")
@click.option("--allow-prune", is_flag=True, help="Allow a render that deletes a large part of a cluster.")
@click.option("--force", is_flag=True, help="Overwrite rendered files that somebody edited by hand.")
@click.option(
    "--no-cache", is_flag=True, help="Compare in full, even what was checked before; so it is where CI is set."
)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    check: bool,
    diff: bool,
    clusters: tuple[str, ...],
    allow_prune: bool,
    force: bool,
    no_cache: bool,
) -> None:
    """Render the catalog into clusters/.

    Writes only files that differ, never over a file that somebody edited by hand, and nothing at all when an entry
    has a mistake.
    """
    repository = repository_of(ctx)
    memory = memory_of(repository) if check and not (diff or clusters or no_cache) else None
    if memory is None or not memory.is_clean():
        from generator.cli.rendering import run  # noqa: PLC0415 - an unchanged repository needs none of it

        run(repository, clusters, check=check, diff=diff, force=force, allow_prune=allow_prune)
        if memory:
            memory.keep_clean()
    if check:
        say("the committed tree is what the catalog renders")
