"""`kaitops schemas sync`: definitions that no registry carries, taken from a cluster that has the real ones.

Those in `tools/crds/` are written by hand from the published types. Other kinds come from modules whose version is
pinned: a cluster with another one is a matter of that pin, and `validate --context` says where it differs.
"""

from collections.abc import Iterator
from pathlib import Path

import click
import yaml

from generator.checks.server.definitions import differences
from generator.cli import FINDINGS
from generator.cli.session import repository_of, say
from generator.document import Body
from generator.finding import CannotRunError
from generator.kinds import Schema
from generator.kube import Kube, connect

FOLDER = Path("tools") / "crds"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OK, NOT_FOUND = 200, 404


@click.command("sync")
@click.option("--context", required=True, metavar="CTX", help="The kubeconfig context of the cluster.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), metavar="FILE", help="Where CTX is; else as kubectl.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a definition differs.")
@click.pass_context
def command(ctx: click.Context, *, context: str, kubeconfig: Path | None, check: bool) -> None:
    """Take KAITO's definitions from a cluster, and say where they differ from ours.

    Reads the cluster's CRDs and writes those of `tools/crds/` that differ; it changes nothing on the cluster.
    """
    folder = repository_of(ctx).root / FOLDER
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise CannotRunError(f"no definitions in `{folder}`", "run inside the repository that holds the generator")
    kube = connect(context, kubeconfig)
    different = [file for file in files if _sync(file, kube, check=check)]
    verb = "differ" if check else "taken"
    say(
        f"{len(different)} of {len(files)} definitions {verb}" + ("; now run `make schemas`" if verb == "taken" else "")
    )
    if check and different:
        raise SystemExit(FINDINGS)


def _sync(file: Path, kube: Kube, *, check: bool) -> bool:
    """Whether the cluster's definition differs; then it is taken, if that is wanted."""
    ours: Body = yaml.load(file.read_text("utf-8"), yaml.CSafeLoader)
    name = ours["metadata"]["name"]
    answer = kube.get(f"{DEFINITIONS}/{name}")
    if answer.status == NOT_FOUND:
        say(f"{FOLDER.as_posix()}/{file.name}: cluster `{kube.context}` has no such definition: kept")
        return False
    if answer.status != OK:
        raise CannotRunError(
            f"cluster `{kube.context}` does not show `{name}`: {answer.message}",
            "reading definitions needs the right `get` on `customresourcedefinitions`",
        )
    said = [*compare(ours, answer.body)]
    for line in said:
        click.echo(f"{FOLDER.as_posix()}/{file.name}: {line}")
    if said and not check:
        file.write_text(definition_text(answer.body), "utf-8")
    return bool(said)


def compare(ours: Body, theirs: Body) -> Iterator[str]:
    """Where two definitions of a kind differ in what they take."""
    mine, other = _schemas(ours), _schemas(theirs)
    for version in sorted(mine.keys() - other.keys()):
        yield f"{version}: the cluster does not serve it"
    for version in sorted(other.keys() - mine.keys()):
        yield f"{version}: only the cluster serves it"
    for version in sorted(mine.keys() & other.keys()):
        yield from (f"{version}: the cluster's {each.message}" for each in differences(mine[version], other[version]))
        yield from (f"{version}: ours {each.message}" for each in differences(other[version], mine[version]))


def _schemas(definition: Body) -> dict[str, Schema]:
    """What people write into each version that is served: not the status."""
    found = {}
    for version in definition["spec"]["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        properties = {name: field for name, field in schema["properties"].items() if name != "status"}
        if version["served"]:
            found[version["name"]] = {**schema, "properties": properties}
    return found


def definition_text(definition: Body) -> str:
    """A definition as a file: without what belongs to its cluster alone."""
    spec = {name: value for name, value in definition["spec"].items() if name != "conversion"}
    kept = {
        "apiVersion": definition["apiVersion"],
        "kind": definition["kind"],
        "metadata": {"name": definition["metadata"]["name"]},
        "spec": spec,
    }
    head = "# Taken from a cluster by `kaitops schemas sync`, for checks and tests; not for installing.\n"
    return head + yaml.safe_dump(kept, sort_keys=False, width=120)
