"""`fetch-weights`: the init container's command. Exit 0 done, 1 wrong input, 2 cannot heal, 75 try again."""

import argparse
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import NoReturn

from inference import logs
from inference.errors import TRY_AGAIN, StartError
from inference.fetch import identity
from inference.fetch.azureml import AzureML, Workspace
from inference.fetch.blob import BlobFolder
from inference.fetch.download import Pace, download
from inference.fetch.files import Source, chosen
from inference.fetch.hub import HubRepository
from inference.fetch.intact import check_shards
from inference.fetch.place import Place
from inference.fetch.web import Web
from inference.flags import Parser

log = logging.getLogger("inference.fetch")

HUB = "https://huggingface.co"
PLACE_OF_WORKSPACE = ("subscription", "resource_group", "workspace")


def run() -> NoReturn:
    """The process: a signal ends it at once, since every byte that has arrived is accounted for."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str], sleep: Callable[[float], object] | None = None, pace: Pace | None = None) -> int:
    logs.configure()
    try:
        options = parser().parse_args(arguments)
        with closing(Web(sleep)) as web:
            fetch(options, web, pace or Pace())
    except StartError as error:
        log.error(str(error))  # noqa: TRY400 -- the message is the interface, a traceback is none
        return error.exit_code
    return 0


def fetch(options: argparse.Namespace, web: Web, pace: Pace) -> None:
    """Nothing where the folder is complete; otherwise list, download, check, publish."""
    place = Place(options.into.absolute(), _asked(options))
    if place.complete():
        log.info("`%s` already holds the model", place.into)
        return
    place.check()
    source = _source(options, web)
    with place.held():
        if not place.complete():
            _fill(place, source, web, pace)


def _fill(place: Place, source: Source, web: Web, pace: Pace) -> None:
    log.info("fetching %s into `%s`", source.title, place.into)
    files = chosen(source.files(), source.title)
    unchecked = [file.path for file in files if file.checksum is None]
    if unchecked:
        log.warning("the source has no checksum of %s; sizes and headers are compared", ", ".join(unchecked))
    place.prepare()
    place.check_room(files)
    download(files, place, web, source.authorization, pace)
    check_shards(place.model, [file.path for file in files])
    place.publish(files)
    log.info("complete", extra={"fields": {"files": len(files), "bytes": sum(file.size for file in files)}})


def parser() -> argparse.ArgumentParser:
    parser = Parser(prog="fetch-weights", allow_abbrev=False, description="Put a model's safetensors into a folder")
    sources = parser.add_subparsers(dest="source", required=True, parser_class=Parser)
    blob = sources.add_parser("azureblob", help="a folder of an Azure Blob container", allow_abbrev=False)
    _add(blob, "account", r"[a-z0-9]{3,24}", required=True)
    _add(blob, "container", r"[a-z0-9](-?[a-z0-9]){2,62}|\$root", required=True)
    _add(blob, "prefix", r"(?!.*(^|/)\.\.?(/|$))[^\x00-\x1f\\]*", default="")
    ml = sources.add_parser("azureml", help="a model of an Azure ML registry or workspace", allow_abbrev=False)
    for name in ("registry", *PLACE_OF_WORKSPACE):
        _add(ml, name, r"[\w(][\w.()-]{0,254}")
    for name in ("model", "version"):
        _add(ml, name, r"[A-Za-z0-9_][\w.-]{0,254}", required=True)
    hub = sources.add_parser("huggingface", help="a repository of the Hugging Face Hub at a commit", allow_abbrev=False)
    hub.add_argument("--repo", required=True, help="ORGANIZATION/NAME")
    hub.add_argument("--revision", required=True, help="a commit of 40 hexadecimal digits")
    for one in (blob, ml, hub):
        one.add_argument("--into", required=True, type=Path, help="the folder to fill, inside of a volume")
    return parser


def _add(parser: argparse.ArgumentParser, name: str, pattern: str, *, default: str | None = None,
         required: bool = False) -> None:  # fmt: skip
    def word(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise argparse.ArgumentTypeError(f"`{text}` is no {name.replace('_', ' ')}")
        return text

    parser.add_argument(f"--{name.replace('_', '-')}", type=word, default=default, required=required)


def _asked(options: argparse.Namespace) -> str:
    """The command line without the folder: what a complete folder is compared with."""
    given = {key: value for key, value in sorted(vars(options).items()) if key != "into" and value is not None}
    return " ".join(f"{key}={value}" for key, value in given.items())


def _source(options: argparse.Namespace, web: Web) -> Source:
    if options.source == "azureblob":
        endpoint = f"https://{options.account}.blob.core.windows.net"
        return BlobFolder(web, endpoint, options.container, options.prefix, identity.bearer(identity.STORAGE, web))
    if options.source == "huggingface":
        return HubRepository(web, os.environ.get("HF_ENDPOINT", HUB).rstrip("/"), options.repo, options.revision)
    return _azureml(options, web)


def _azureml(options: argparse.Namespace, web: Web) -> BlobFolder:
    home = [getattr(options, name) for name in PLACE_OF_WORKSPACE]
    if bool(options.registry) == any(home) or (any(home) and not all(home)):
        raise StartError(
            "name either `--registry`, or all of `--subscription`, `--resource-group` and `--workspace`",
            "see `fetch-weights azureml --help`",
        )
    management = identity.bearer(identity.MANAGEMENT, web)
    service = AzureML(web, identity.bearer(identity.DISCOVERY, web), management)
    if options.registry:
        return service.in_registry(options.registry, options.model, options.version)
    storage = identity.bearer(identity.STORAGE, web)
    return service.in_workspace(Workspace(*home), options.model, options.version, storage)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    """Leave at once, whatever the workers wait for; written by hand, as a handler may not enter a stream twice."""
    message = f"{signal.Signals(number).name} came; the next start goes on where this one stopped"
    record = logging.LogRecord(log.name, logging.ERROR, "", 0, message, None, None)
    os.write(sys.stderr.fileno(), (logs.JsonLines().format(record) + "\n").encode())
    os._exit(TRY_AGAIN)
