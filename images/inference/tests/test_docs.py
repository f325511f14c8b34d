"""The page about the server names whatever a user can meet: paths, metrics, exit codes and ways to fetch."""

import argparse
import re
from pathlib import Path

from inference.errors import CANNOT_HEAL, TRY_AGAIN, WRONG_INPUT
from inference.fetch import cli
from inference.flags import transformers_parser
from tests.servers import echo_served, in_process

PAGE = (Path(__file__).parents[3] / "docs" / "inference.md").read_text(encoding="utf-8")


def test_every_path_is_named() -> None:
    with in_process(echo_served) as server:
        paths = server.client.get("/openapi.json").json()["paths"]
    assert len(paths) > 10
    for path, methods in paths.items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in PAGE.replace("{name:path}", "{name}")


def test_every_metric_of_ours_is_named() -> None:
    with in_process(echo_served) as server:
        text = server.client.get("/prometheus/metrics").text
    families = set(re.findall(r"^# HELP (\S+)", text, re.MULTILINE))
    assert len(families) > 10
    assert [name for name in families if f"`{name}`" not in PAGE] == []


def test_flags_and_exit_codes_on_the_page_exist() -> None:
    named = set(re.findall(r"`(--[a-z_0-9]+)", PAGE))
    known = {flag for action in transformers_parser()._actions for flag in action.option_strings}
    assert named - known == set()
    assert all(f"\n| {code} | " in PAGE for code in (0, WRONG_INPUT, CANNOT_HEAL, TRY_AGAIN))


def test_every_flag_says_what_it_is_for() -> None:
    silent = [action.option_strings for action in transformers_parser()._actions if not action.help]
    assert silent == []


def test_every_source_of_weights_is_shown() -> None:
    choices = next(a.choices for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction))
    assert [name for name in choices if f"fetch-weights {name} " not in PAGE] == []
